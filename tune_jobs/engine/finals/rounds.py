"""Draw the fresh seeds and folds that finalists are trained on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tune_jobs.engine.data.dataset import Replica, TrainingData
from tune_jobs.engine.data.evaluation import fresh_replicas, held_out_share
from tune_jobs.engine.data.splitting import Array
from tune_jobs.engine.errors import JobError
from tune_jobs.engine.job.finalists import Finalists
from tune_jobs.engine.seeds import derive
from tune_jobs.engine.space.configs import Config

if TYPE_CHECKING:
    from tune_jobs.engine.data.dataset import Dataset
    from tune_jobs.engine.job.job import Job


@dataclass(frozen=True)
class Rounds:
    """The seeds and folds that finalists are trained on.

    In time order all repeats hold out the same windows, and only seeds are fresh.

    Attributes:
        batches: the replicas of each task of a finalist.
        choosing: how many of the batches choose; as many confirm.
        overlap: held-out rows / training rows, 0 without data.
        level: of all intervals.
        constants: what every config holds in addition to its hyperparameters.
        dataset: the rows that the replicas are cut from, None without data.
    """

    batches: Sequence[tuple[Replica, ...]]
    choosing: int
    overlap: float
    level: float
    constants: Config
    dataset: Dataset | None = field(default=None, repr=False)


def make_rounds(job: Job, dataset: Dataset | None, finalists: Finalists, *, trials: int) -> Rounds:
    """Draw fresh seeds and folds, the same for all finalists.

    If a search's trials are one fit each, so is a finalist's task; else its replicas are a whole
    repeat of the folds, trained in step.

    Args:
        job: the job that was searched.
        dataset: the job's data.
        finalists: how many scores choose; as many confirm.
        trials: of the search, whose size that of the finals may follow.
    """
    wanted, level = finalists.size(trials).scores, finalists.level
    seed = derive(job.seed, "finalists")
    if dataset is None:
        fits = [(Replica(derive(seed, f"fit {number}")),) for number in range(2 * wanted)]
        return Rounds(fits, wanted, 0.0, level, job.constants(None) | {"rungs": []})
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
        constants=job.constants(whole) | {"rungs": []},
        dataset=replace(whole, training=replace(whole.training, replicas=())),
    )


def check_rounds(job: Job, dataset: Dataset | None) -> None:
    """Refuse data that finalists could not be trained on, before the search rather than after it.

    Raises:
        JobError: if they could not; it says why, and what to do.
    """
    if job.finalists is None:
        return
    try:
        make_rounds(job, dataset, job.finalists, trials=job.num_trials)
    except JobError as reason:
        raise JobError(f"finalists: {reason}; to run without finals add --finalists 0") from None


def without_patience(config: Config, max_epochs: int) -> Config:
    """Return a config that is trained to the whole budget, whatever its patience."""
    return {**config, "patience": max_epochs} if "patience" in config else config


def bare(training: TrainingData) -> TrainingData:
    """Return training data for fits whose scores nobody reads."""
    return replace(training, replicas=(), scorers={})


def take_validation(training: TrainingData, replica: Replica) -> Array:
    """Return the features of the rows that a replica holds out."""
    features = training.x_validation
    return features if replica.validation is None else features[replica.validation]


def select(training: TrainingData, replica: Replica) -> TrainingData:
    """Return a replica's rows as training and validation set.

    Args:
        training: the two sets of a search, or the rows of both in each of the two.
        replica: numbers rows of the validation set on from those of the training set.
    """
    x, y = (training.x_train, training.x_validation), (training.y_train, training.y_validation)
    return replace(
        training,
        x_train=_take(*x, replica.train),
        y_train=_take(*y, replica.train),
        x_validation=_take(*x, replica.validation),
        y_validation=_take(*y, replica.validation),
        replicas=(),
    )


def join_rows(training: TrainingData, count: int, few: int) -> TrainingData:
    """Return training data with all rows to train, and the first few again to validate.

    Args:
        training: as for :func:`select`.
        count: of all rows.
        few: how many validate.
    """
    x, y = training.x_train, training.y_train
    if len(y) < count:
        x = np.concatenate([x, training.x_validation])
        y = np.concatenate([y, training.y_validation])
    few_x, few_y = x[:few], y[:few]
    return replace(
        training, x_train=x, y_train=y, x_validation=few_x, y_validation=few_y, replicas=()
    )


def _take(first: Array, second: Array, rows: Any) -> Array:
    """Return rows of two arrays as if they were one, without making that."""
    in_first = rows < len(first)
    if in_first.all():
        return np.asarray(first[rows])
    found = np.empty((len(rows), *first.shape[1:]), np.result_type(first, second))
    found[in_first] = first[rows[in_first]]
    found[~in_first] = second[rows[~in_first] - len(first)]
    return found
