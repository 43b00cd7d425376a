"""The finalists: which trials are trained again, and on which fresh seeds and folds."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tune_jobs.engine.job.finalists import Finalists
from tune_jobs.engine.space.configs import Config
from tune_jobs.engine.space.membership import NO_DEFAULTS, NotInSpaceError, from_json, identity

if TYPE_CHECKING:
    from tune_jobs.engine.experiments.experiment import Experiment
    from tune_jobs.engine.job.job import Job


@dataclass(frozen=True)
class Candidate:
    """A trial of the search that is a finalist.

    Attributes:
        trial: its number; 0 for an incumbent that the search did not try.
        config: its config.
        value: its best value in the search; NaN where it has none.
    """

    trial: int
    config: Config
    value: float


def choose_candidates(
    experiment: Experiment, job: Job, count: int, defaults: Mapping[str, Any] = NO_DEFAULTS
) -> list[Candidate]:
    """The best trials of a search, the best first, none of the same config as another.

    A config that is not of the job's space, since that was edited, is as the history has it.

    Args:
        experiment: the search.
        job: what was searched.
        count: how many there are at most.
        defaults: values of hyperparameters that earlier trials did not have.
    """
    found: dict[str, Candidate] = {}
    for row in experiment.ranked.itertuples():
        config = json.loads(row.config)
        with suppress(NotInSpaceError):
            config = from_json(job.space, config, defaults)
        found.setdefault(identity(config), Candidate(row.trial, config, float(row.value)))
        if len(found) == count:
            break
    return list(found.values())


def choose_finalists(
    experiment: Experiment,
    job: Job,
    finalists: Finalists,
    defaults: Mapping[str, Any] = NO_DEFAULTS,
) -> list[Candidate]:
    """The best trials of a search; where there is an incumbent, it comes first in any case."""
    config = finalists.incumbent
    if config is None:
        return choose_candidates(experiment, job, finalists.count, defaults)
    own = identity(config)
    others = choose_candidates(experiment, job, finalists.count + 1, defaults)
    others = [each for each in others if identity(each.config) != own][: finalists.count]
    trials = experiment.trials
    rows = trials[[identity(json.loads(text)) == own for text in trials["config"]]]
    if rows.empty:
        return [Candidate(0, config, math.nan), *others]
    return [Candidate(int(rows["trial"].iloc[0]), config, float(rows["value"].iloc[0])), *others]
