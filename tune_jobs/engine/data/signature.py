"""What is known of a dataset's sets: what a config holds of them, and how they are called."""

from __future__ import annotations

from typing import Any

import numpy as np

from tune_jobs.engine.data.dataset import TrainingData
from tune_jobs.engine.data.splitting import Array
from tune_jobs.engine.data.target import Target, Targets


def signature_of(
    target: Target | Targets, fitted: dict[str, Any], x_train: Array
) -> dict[str, Any]:
    """Return what every config holds of the data; ``fitted`` is the target's preprocessing."""
    unit = {}
    if fitted.get("scale", 1.0) != 1.0 or fitted.get("mean", 0.0) != 0.0:
        unit = {"target_mean": fitted["mean"], "target_scale": fitted["scale"]}
    return unit | {
        "task": target.task,
        "input_shape": list(x_train.shape[1:]),
        "outputs": target.outputs,
        "rows": len(x_train),
    }


def name_sets(
    training: TrainingData, x_test: Array, y_test: Array
) -> dict[str, tuple[Array, Array]]:
    """Return features and targets by the name of the set, the training set first."""
    return {
        "training": (training.x_train, training.y_train),
        "validation": (training.x_validation, training.y_validation),
        "test": (x_test, y_test),
    }


def count_classes(target: Target | Targets) -> dict[Any, int]:
    """Return the rows of each class of one target; nothing for numbers and several targets."""
    if not isinstance(target, Target) or not target.classes:
        return {}
    counts = np.bincount(target.values.astype(int), minlength=len(target.classes)).tolist()
    return dict(zip(target.classes, counts, strict=True))
