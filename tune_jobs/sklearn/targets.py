"""The target of a search: what it is, and the numbers that a model learns from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tune_jobs.engine.data.scoring.outputs import Meaning
from tune_jobs.engine.data.splitting import Array
from tune_jobs.engine.errors import JobError

Task = Literal["classification", "regression"]
TASKS = ("classification", "regression")

# A target of whole numbers with more different values is taken for a number to predict.
MOST_CLASSES = 20


@dataclass(frozen=True)
class Target:
    """The target of a search.

    Attributes:
        values: as they came.
        encoded: what the model learns: codes of classes from 0, or numbers.
        classes: the classes in the order of their codes; of several labels, a list of them; None
            for numbers.
        meaning: what the outputs of a model mean.
    """

    values: Array
    encoded: Array
    classes: Any
    meaning: Meaning

    @property
    def signature(self) -> dict[str, Any]:
        """What a config holds about the target: ``task``, and the number of ``outputs``."""
        meaning = self.meaning
        outputs = meaning.classes if meaning.task == "multiclass" else meaning.targets
        return {"task": meaning.task, "outputs": outputs}


def find_task(y: Array, task: Task | None) -> Task:
    """Return what a target is: classes unless it is fractions, or many different whole numbers.

    Raises:
        JobError: for an unknown task.
    """
    if task is not None:
        if task not in TASKS:
            raise JobError(f"task is {task!r}, but must be one of {', '.join(TASKS)} or None")
        return task
    from sklearn.utils.multiclass import type_of_target

    if type_of_target(y).startswith("continuous"):
        return "regression"
    is_number = y.dtype.kind in "iuf" and y.ndim == 1
    return "regression" if is_number and len(np.unique(y)) > MOST_CLASSES else "classification"


def read_target(y: Array, task: Task) -> Target:
    """Encode a target.

    Raises:
        ValueError: for a target of no classes, or of one class only.
    """
    if task == "regression":
        numbers = y.astype(float)
        targets = 1 if y.ndim == 1 else y.shape[1]
        meaning = Meaning("regression", targets=targets)
        return Target(numbers, numbers.astype(np.float32), None, meaning)
    from sklearn.utils.multiclass import check_classification_targets

    check_classification_targets(y)
    if y.ndim == 2:
        return _read_labels(y)
    classes, codes = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(
            f"y has only 1 class, {classes[0]!r}, but a classifier needs at least 2 classes"
        )
    if len(classes) == 2:
        return Target(y, codes.astype(np.float32), classes, Meaning("binary", 2))
    return Target(y, codes.astype(np.int32), classes, Meaning("multiclass", len(classes)))


def _read_labels(y: Array) -> Target:
    """Encode several labels of 0 and 1 per row.

    Raises:
        ValueError: for other values.
    """
    if not np.isin(y, (0, 1)).all():
        raise ValueError("y has several columns, so each must be a label of 0 and 1")
    labels = [np.array([0, 1])] * y.shape[1]
    return Target(y, y.astype(np.float32), labels, Meaning("binary", 2, y.shape[1]))
