"""Choose the finalists: the trials that are trained again."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from tune_jobs.engine.analysis.relearn import predict_ends
from tune_jobs.engine.job.finalists import Finalists
from tune_jobs.engine.space.configs import Config
from tune_jobs.engine.space.membership import NO_DEFAULTS, NotInSpaceError, identity

if TYPE_CHECKING:
    from tune_jobs.engine.experiments.experiment import Experiment
    from tune_jobs.engine.job.job import Job


@dataclass(frozen=True)
class Candidate:
    """A trial of the search that is a finalist.

    Attributes:
        trial: its number; 0 for an incumbent that the search did not try.
        config: its config.
        value: its best value in the search; NaN if it has none.
    """

    trial: int
    config: Config
    value: float


def choose_candidates(
    experiment: Experiment, job: Job, count: int, defaults: Mapping[str, Any] = NO_DEFAULTS
) -> list[Candidate]:
    """Choose the best trials of a search, the one with the best value first, each config once.

    If trials were stopped early, those with the best values and those of which the best end is
    expected take turns: a stopped trial may have been on its way to more than what it had.

    A config outside the job's space, which may have changed since, is as the history has it.

    Args:
        experiment: the search's results.
        job: the job that was searched.
        count: how many to choose at most.
        defaults: values of hyperparameters that earlier trials did not have.
    """
    found: dict[str, Candidate] = {}
    for trial, value in _best_in_turn(experiment):
        if len(found) == count:
            break
        config = experiment.configs[trial]
        with suppress(NotInSpaceError):
            config = job.read_config(config, defaults)
        found.setdefault(identity(config), Candidate(trial, config, value))
    return list(found.values())


def _best_in_turn(experiment: Experiment) -> Iterator[tuple[int, float]]:
    """Yield trials with their values, some of them twice."""
    ranked = experiment.ranked
    values = dict(zip(ranked["trial"].tolist(), ranked["value"].astype(float), strict=True))
    for trial in take_turns(list(values), predict_ends(experiment)):
        yield trial, values[trial]


def take_turns(ranked: Sequence[int], ends: Mapping[int, float]) -> Iterator[int]:
    """Yield trials, in turn the next best by value and the next best by expected end.

    Args:
        ranked: the trials, the best value first.
        ends: the loss that is expected of the end of some of them.
    """
    by_end = sorted((trial for trial in ranked if trial in ends), key=ends.__getitem__)
    for pair in zip_longest(ranked, by_end):
        yield from (trial for trial in pair if trial is not None)


def choose_finalists(
    experiment: Experiment,
    job: Job,
    finalists: Finalists,
    defaults: Mapping[str, Any] = NO_DEFAULTS,
) -> list[Candidate]:
    """Choose the best trials of a search; an incumbent always comes first."""
    config, count = finalists.incumbent, finalists.size(len(experiment.trials)).count
    if config is None:
        return choose_candidates(experiment, job, count, defaults)
    own = identity(config)
    others = choose_candidates(experiment, job, count + 1, defaults)
    others = [each for each in others if identity(each.config) != own][:count]
    trials = experiment.trials
    rows = trials[[identity(experiment.configs[number]) == own for number in trials["trial"]]]
    if rows.empty:
        return [Candidate(0, config, math.nan), *others]
    return [Candidate(int(rows["trial"].iloc[0]), config, float(rows["value"].iloc[0])), *others]
