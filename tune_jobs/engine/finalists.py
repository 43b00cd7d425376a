"""The finalists: which trials are trained again, and on which fresh seeds and folds."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tune_jobs.engine.comparison import LEVEL
from tune_jobs.engine.dataset import Replica, TrainingData
from tune_jobs.engine.declaration import constants
from tune_jobs.engine.dotted import Config
from tune_jobs.engine.errors import JobError, check_whole_number
from tune_jobs.engine.evaluation import fresh_replicas, held_out_share
from tune_jobs.engine.membership import NO_DEFAULTS, NotInSpaceError, identity, revive
from tune_jobs.engine.seeds import derive

if TYPE_CHECKING:
    from tune_jobs.engine.dataset import Dataset
    from tune_jobs.engine.experiment import Experiment
    from tune_jobs.engine.job import Job


@dataclass(frozen=True)
class Finalists:
    """The best trials of a search are trained again to the full budget, to choose the winner.

    Attributes:
        count: how many.
        scores: how many fresh scores of each the choice rests on, at least; as many again are
            made of the winner and the runner-up for the intervals.
        level: of the confidence intervals.
        ensemble: whether the finalists that are not out are exported together too.
        incumbent: a config that is in use: it is a finalist besides, never out, and wins unless the
            best of the others is clearly better.
        least_gain: by how much that one has to be better, in units of the metric.

    Raises:
        JobError: for a number that is too small or too large.
    """

    count: int = 5
    scores: int = 8
    level: float = LEVEL
    ensemble: bool = False
    incumbent: Config | None = None
    least_gain: float = 0.0

    def __post_init__(self) -> None:
        check_whole_number("Finalists: count", self.count, 1)
        check_whole_number("Finalists: scores", self.scores, 2)
        if not 0.5 <= self.level < 1:
            raise JobError(f"Finalists: level is {self.level!r}, but must be from 0.5 up, below 1")
        if not 0 <= self.least_gain < math.inf:
            raise JobError(f"Finalists: least_gain is {self.least_gain!r}, but must be >= 0")


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


@dataclass(frozen=True)
class Rounds:
    """What finalists are trained on.

    In time order all repeats hold out the same windows, and only seeds are fresh.

    Attributes:
        batches: the replicas of each task of a finalist.
        choosing: how many of the batches choose; as many confirm.
        overlap: held-out rows / training rows, 0 without data.
        level: of all statements.
        constants: what every config holds beside its hyperparameters.
        dataset: the rows that the replicas are cut from, None without data.
    """

    batches: Sequence[tuple[Replica, ...]]
    choosing: int
    overlap: float
    level: float
    constants: dict[str, Any]
    dataset: Dataset | None = field(default=None, repr=False)


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
            config = revive(job.space, config, defaults)
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


def make_rounds(job: Job, dataset: Dataset | None, finalists: Finalists) -> Rounds:
    """Fresh seeds and folds, the same for all finalists.

    Where a search's trials are one fit each, so is a finalist's task; else its replicas are a
    whole repeat of the folds, trained in step.

    Args:
        job: what was searched.
        dataset: what it was searched on.
        finalists: how many scores choose; as many confirm.
    """
    wanted, level = finalists.scores, finalists.level
    seed = derive(job.seed, "finalists")
    if dataset is None:
        fits = [(Replica(derive(seed, f"fit {number}")),) for number in range(2 * wanted)]
        return Rounds(fits, wanted, 0.0, level, constants(job, None) | {"rungs": []})
    in_step = len(dataset.training.replicas) > 1
    whole, repeats = fresh_replicas(dataset, job.evaluation, seed, 2 * wanted)
    choosing = math.ceil(wanted / len(repeats[0])) if in_step else wanted
    batches: list[tuple[Replica, ...]] = list(repeats)
    if not in_step:
        batches = [(replica,) for repeat in repeats for replica in repeat]
    return Rounds(
        batches=batches[: 2 * choosing],
        choosing=choosing,
        overlap=held_out_share(repeats[0]),
        level=level,
        constants=constants(job, whole) | {"rungs": []},
        dataset=replace(whole, training=replace(whole.training, replicas=())),
    )


def check_rounds(job: Job, dataset: Dataset | None) -> None:
    """Refuse data that finalists could not be trained on, before the search rather than after it.

    Raises:
        JobError: saying why, and what to do.
    """
    if job.finalists is None:
        return
    try:
        make_rounds(job, dataset, job.finalists)
    except JobError as reason:
        raise JobError(f"finalists: {reason}; to do without them write --finalists 0") from None


def without_patience(config: Config, max_epochs: int) -> Config:
    """A config that is trained to the whole budget, whatever its patience."""
    return {**config, "patience": max_epochs} if "patience" in config else config


def select(training: TrainingData, replica: Replica) -> TrainingData:
    """A replica's rows as a training and a validation part of their own."""
    return replace(
        training,
        x_train=training.x_train[replica.train],
        y_train=training.y_train[replica.train],
        x_validation=training.x_validation[replica.validation],
        y_validation=training.y_validation[replica.validation],
        replicas=(),
    )
