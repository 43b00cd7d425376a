"""How a configuration is scored: on one validation part, or on folds and several seeds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from tune_jobs.engine.dataset import Array, Replica, TrainingData
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
        parts = dataset.training
        x = np.concatenate([parts.x_train, parts.x_validation])
        y = np.concatenate([parts.y_train, parts.y_validation])
        classes = None if dataset.signature["task"] == "regression" else y
        replicas = tuple(
            Replica(derive(seed, f"repeat {repeat}, fold {fold}"), train, held)
            for repeat in range(self.repeats)
            for fold, (train, held) in enumerate(
                cut_folds(len(x), self.folds, derive(seed, f"folds {repeat}"), classes)
            )
        )
        return replace(
            dataset,
            training=TrainingData(x, y, x, y, replicas),
            signature=dataset.signature | {"rows": len(replicas[0].train)},  # type: ignore[arg-type]
        )


def cut_folds(rows: int, folds: int, seed: int, classes: Array | None) -> list[tuple[Array, Array]]:
    """Training and validation rows of each fold; stratified where there are classes.

    Raises:
        JobError: where there are too few rows, or too few of a class.
    """
    from sklearn.model_selection import KFold, StratifiedKFold

    kind = KFold if classes is None else StratifiedKFold
    few = rows if classes is None else int(np.unique(classes, return_counts=True)[1].min())
    if few < folds:
        among = "rows" if classes is None else "rows of the rarest class"
        raise JobError(f"Evaluation: {folds} folds need as many {among}, but there are {few}")
    cutter = kind(n_splits=folds, shuffle=True, random_state=seed)
    target = np.zeros(rows) if classes is None else classes
    return [(np.asarray(a), np.asarray(b)) for a, b in cutter.split(np.zeros(rows), target)]
