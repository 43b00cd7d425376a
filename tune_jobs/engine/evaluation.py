"""How a configuration is scored: on one validation part, or on folds and several seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from tune_jobs.engine.dataset import Array, Replica
from tune_jobs.engine.errors import JobError, check_whole_number
from tune_jobs.engine.seeds import derive

if TYPE_CHECKING:
    from tune_jobs.engine.dataset import Dataset


@dataclass(frozen=True)
class Evaluation:
    """Each trial fits folds x repeats replicas of its config, in step, and reports their mean.

    With ``folds`` the training and the validation part together are cut anew for each repeat, each
    class spread in proportion; every row is scored once a repeat. Every config gets the same folds
    and the same seeds, so that comparisons are paired. The preprocessing stays the one that was
    learnt from the training part.

    Raises:
        JobError: for less than one fold or repeat.
    """

    folds: int = 1
    repeats: int = 1

    def __post_init__(self) -> None:
        for name in ("folds", "repeats"):
            check_whole_number(f"Evaluation: {name}", getattr(self, name), 1)

    def apply(self, dataset: Dataset, seed: int) -> Dataset:
        """The dataset with its replicas; the test part is left alone.

        Raises:
            JobError: where a fold would be empty or lack a class.
        """
        if self.folds == 1:
            seeds = [derive(seed, f"repeat {repeat}") for repeat in range(self.repeats)]
            replicas = tuple(Replica(each) for each in seeds)
            return replace(dataset, training=replace(dataset.training, replicas=replicas))
        whole = join_parts(dataset)
        repeats = [draw_replicas(whole, self.folds, seed, each) for each in range(self.repeats)]
        return _with_replicas(whole, tuple(chain(*repeats)))


def fresh_replicas(
    dataset: Dataset, evaluation: Evaluation | None, seed: int, rounds: int
) -> tuple[Dataset, list[tuple[Replica, ...]]]:
    """Replicas that no search has seen: folds cut anew, and new seeds, for each round.

    There are as many folds as the evaluation has, or as make the part that is held out as large
    as the validation part was.

    Returns:
        The dataset with training and validation rows together, and the replicas of each round.

    Raises:
        JobError: where a fold would be empty or lack a class.
    """
    whole = join_parts(dataset)
    folds = evaluation.folds if evaluation else 1
    if folds == 1:
        folds = _count_folds(whole, len(dataset.training.y_validation))
    found = [
        draw_replicas(whole, folds, derive(seed, f"round {number}"), 0) for number in range(rounds)
    ]
    return _with_replicas(whole, found[0]), found


def held_out_share(replicas: Sequence[Replica]) -> float:
    """Rows held out for each row trained on, n2/n1 in Nadeau and Bengio (2003), on average."""
    return float(np.mean([len(each.validation) / len(each.train) for each in replicas]))  # type: ignore[arg-type]


def join_parts(dataset: Dataset) -> Dataset:
    """The dataset with the rows of both parts in each, unless it is so already."""
    parts = dataset.training
    if parts.replicas and parts.replicas[0].train is not None:
        return dataset
    x = np.concatenate([parts.x_train, parts.x_validation])
    y = np.concatenate([parts.y_train, parts.y_validation])
    joined = replace(parts, x_train=x, y_train=y, x_validation=x, y_validation=y, replicas=())
    return replace(dataset, training=joined)


def draw_replicas(whole: Dataset, folds: int, seed: int, repeat: int) -> tuple[Replica, ...]:
    """The replicas of one repeat, one a fold, over the rows of a dataset with joined parts."""
    cut = cut_folds(
        len(whole.training.y_train), folds, derive(seed, f"folds {repeat}"), _classes(whole)
    )
    return tuple(
        Replica(derive(seed, f"repeat {repeat}, fold {fold}"), train, held)
        for fold, (train, held) in enumerate(cut)
    )


def _with_replicas(whole: Dataset, replicas: tuple[Replica, ...]) -> Dataset:
    """The dataset with these replicas; a config knows the rows that the first is trained on."""
    rows = len(replicas[0].train)  # type: ignore[arg-type]
    training = replace(whole.training, replicas=replicas)
    return replace(whole, training=training, signature=whole.signature | {"rows": rows})


def _count_folds(whole: Dataset, held: int) -> int:
    """How many folds hold out so many rows each; at least 2, and no more than a class allows."""
    classes, wanted = _classes(whole), round(len(whole.training.y_train) / held)
    return max(2, wanted if classes is None else min(wanted, _count_rarest(classes)))


def _classes(whole: Dataset) -> Array | None:
    """The classes of the rows of a dataset with joined parts, or None where they are numbers."""
    return None if whole.signature["task"] == "regression" else whole.training.y_train


def cut_folds(rows: int, folds: int, seed: int, classes: Array | None) -> list[tuple[Array, Array]]:
    """Training and validation rows of each fold; stratified where there are classes.

    Raises:
        JobError: where there are too few rows, or too few of a class.
    """
    from sklearn.model_selection import KFold, StratifiedKFold

    kind = KFold if classes is None else StratifiedKFold
    few = rows if classes is None else _count_rarest(classes)
    if few < folds:
        among = "rows" if classes is None else "rows of the rarest class"
        raise JobError(f"Evaluation: {folds} folds need as many {among}, but there are {few}")
    cutter = kind(n_splits=folds, shuffle=True, random_state=seed)
    target = np.zeros(rows) if classes is None else classes
    return [(np.asarray(a), np.asarray(b)) for a, b in cutter.split(np.zeros(rows), target)]


def _count_rarest(classes: Array) -> int:
    """How many rows the rarest class has."""
    return int(np.unique(classes, return_counts=True)[1].min())
