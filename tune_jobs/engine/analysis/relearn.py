"""Learn a history anew, as a searcher would, whichever searcher chose its configs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.experiments.history.replicas import curves_of
from tune_jobs.engine.search.gaussian.curve_model import CurveModel, expect_ends
from tune_jobs.engine.search.knowledge import Knowledge, Memory
from tune_jobs.engine.search.observations import Observation, State
from tune_jobs.engine.space.encoding import can_be_learnt
from tune_jobs.engine.space.membership import NotInSpaceError, from_json
from tune_jobs.engine.space.notation import read_described

if TYPE_CHECKING:
    from tune_jobs.engine.experiments.experiment import Experiment

# With fewer configs that have a loss, nothing is said.
FEWEST = 8

# How the states of trials are learned; one that was cut off counts as running.
STATES: Mapping[str, State] = {"failed": "failed", "complete": "ended", "stopped": "ended"}


@dataclass(frozen=True)
class Relearned:
    """The knowledge in a history.

    Attributes:
        knowledge: of its trials, and of the results that it imported.
        trials: the number of the trial of each known config, 0 for an imported one.
    """

    knowledge: Knowledge
    trials: Sequence[int]


def relearn(experiment: Experiment) -> Relearned | None:
    """Return what a history says; None if no model can learn its space."""
    about = experiment.description
    space = read_described(about.space)
    if about.max_epochs is None or not can_be_learnt(space):
        return None
    memory, trials = Memory(space, about.goal), []
    known = [*_trials_of(experiment), *_imported_by(experiment, about.max_epochs)]
    for place, (trial, observed) in enumerate(known):
        with suppress(NotInSpaceError, JobError):  # of a space that was edited
            memory.learn(str(place), replace(observed, config=from_json(space, observed.config)))
            trials.append(trial)
    return Relearned(memory.knowledge(about.max_epochs), trials)


def _trials_of(experiment: Experiment) -> Iterator[tuple[int, Observation]]:
    curves = curves_of(experiment.epochs, experiment.goal)
    for row in experiment.trials.itertuples():
        values = curves.get(row.trial, ()) if row.state != "failed" else ()
        curve = [(epoch, value) for epoch, value in values if math.isfinite(value)]
        state = STATES.get(row.state, "running")
        yield row.trial, Observation(experiment.configs[row.trial], curve, state)


def _imported_by(experiment: Experiment, end: int) -> Iterator[tuple[int, Observation]]:
    for each in experiment.segments.imported():
        curve = () if each.score is None else ((end, each.score),)
        state: State = "failed" if each.score is None else "ended"
        yield 0, Observation(each.config, curve, state)


def predict_ends(experiment: Experiment) -> Mapping[int, float]:
    """Return for each trial the loss that a Gaussian process expects of its last epoch.

    The losses are on a scale of the process. Empty if no trial was stopped early, so that scores
    are comparable as they are, or if too little is known.
    """
    relearned = relearn(experiment) if (experiment.trials["state"] == "stopped").any() else None
    if relearned is None or len(relearned.knowledge.scored) < FEWEST:
        return {}
    try:
        ends = expect_ends(CurveModel(), relearned.knowledge)
    except (np.linalg.LinAlgError, FloatingPointError, ValueError):
        return {}  # losses that no model can tell apart, as 1e300 and 1e-300
    known = zip(relearned.trials, relearned.knowledge.known, strict=True)
    scored = [trial for trial, each in known if each.is_scored]
    return {trial: end for trial, end in zip(scored, ends.tolist(), strict=True) if trial}
