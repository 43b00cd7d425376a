"""The meaning of a trained model's outputs: classes, labels or numbers, a column each.

Scorers, scores on the test set and predictions read outputs here and nowhere else. That outputs are
probabilities, and not logits, is the trainable's business (``trainables/fitting/outputs.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tune_jobs.engine.data.splitting import Array
from tune_jobs.engine.errors import JobError
from tune_jobs.engine.formatting import count

HALF = 0.5  # the probability above which a row is of the second class, unless another is chosen
TOLERANCE = 1e-3  # by which a probability may be beyond 0 or 1, as short floats have it


@dataclass(frozen=True)
class Meaning:
    """What outputs say about the target.

    Attributes:
        task: ``binary``, ``multiclass`` or ``regression``.
        classes: the number of classes; 0 for numbers.
        targets: the number of targets of a row: 1, or several labels or numbers.
        threshold: of two classes, the probability above which the second is predicted.
    """

    task: str
    classes: int = 0
    targets: int = 1
    threshold: float = HALF

    @property
    def is_number(self) -> bool:
        """True if the target is a number, or several."""
        return self.task == "regression"

    @property
    def has_labels(self) -> bool:
        """True if a row has several targets of two classes each."""
        return self.task == "binary" and self.targets > 1

    def probabilities(self, outputs: Array) -> Array:
        """Return the probability of each class, shape (rows, classes), rows adding up to 1.

        One output is the probability of the second of two classes.

        Raises:
            JobError: for another number of outputs than of classes, or no probabilities.
        """
        found = _as_matrix(outputs)
        if found.shape[1] == 1 and self.classes == 2:
            found = np.concatenate([1 - found, found], axis=1)
        if found.shape[1] != self.classes:
            raise JobError(f"{_shown(outputs)}, but there are {self.classes} classes")
        found = _in_range(found, outputs)
        total: Array = found.sum(axis=1, keepdims=True)
        return found / np.where(total > 0, total, 1.0)

    def predicted(self, outputs: Array) -> Array:
        """Return the code of the predicted class, shape (rows,).

        Of two it is the second above the threshold, of more the most probable.

        Raises:
            JobError: for another number of outputs than of classes, or no probabilities.
        """
        return predicted_of(self.probabilities(outputs), self.threshold)

    def label_probabilities(self, outputs: Array) -> Array:
        """Return the probability of each label, shape (rows, labels).

        Raises:
            JobError: for another number of outputs than of labels, or no probabilities.
        """
        found = _as_matrix(outputs)
        if found.shape[1] != self.targets:
            raise JobError(f"{_shown(outputs)}, but there are {self.targets} labels")
        return _in_range(found, outputs)

    def numbers(self, outputs: Array) -> Array:
        """Return the predicted numbers, shape (rows,), or (rows, targets) of several targets.

        Raises:
            JobError: for several outputs of one target, such as quantiles: none is the prediction.
        """
        found = _as_matrix(outputs)
        if found.shape[1] != self.targets:
            raise JobError(
                f"{_shown(outputs)}, but there {'is' if self.targets == 1 else 'are'} "
                f"{count(self.targets, 'number')} to predict"
            )
        return found[:, 0] if self.targets == 1 else found


@dataclass(frozen=True)
class Unit:
    """The unit of a target: ``values * scale + mean`` undoes the standardisation of numbers.

    Several targets have a number each.
    """

    mean: float | tuple[float, ...] = 0.0
    scale: float | tuple[float, ...] = 1.0

    def restore(self, values: Array) -> Array:
        """Return standardised numbers in the target's unit, in float64."""
        restored: Array = values.astype(float) * np.asarray(self.scale) + np.asarray(self.mean)
        return restored


def predicted_of(probabilities: Array, threshold: float) -> Array:
    """Return the code of the predicted class, given the probability of each, which add up to 1."""
    if probabilities.shape[1] == 2:
        return np.asarray(probabilities[:, 1] > threshold).astype(int)
    return np.asarray(probabilities.argmax(axis=1))


OWN = Unit()  # of a target that was not standardised


def unit_of(target: Mapping[str, Any]) -> Unit:
    """Return the unit of a target, given its entry in the preprocessing."""
    mean, scale = target.get("mean", 0.0), target.get("scale", 1.0)
    if isinstance(mean, list | tuple):
        return Unit(tuple(map(float, mean)), tuple(map(float, scale)))
    return Unit(float(mean), float(scale))


def meaning_of(signature: Mapping[str, Any], truth: Array | None = None) -> Meaning:
    """Return the meaning of outputs for a dataset.

    Args:
        signature: the dataset's: its task, and the number of classes or of targets.
        truth: its targets, if they are at hand: they say how many a row has.
    """
    task, outputs = str(signature["task"]), int(signature.get("outputs", 1))
    if task == "multiclass":
        return Meaning(task, outputs)
    targets = outputs
    if truth is not None:
        targets = 1 if truth.ndim == 1 else int(np.prod(truth.shape[1:]))
    return Meaning(task, 2 if task == "binary" else 0, targets)


def meaning_of_outputs(
    outputs: Array, target: Mapping[str, Any], constants: Mapping[str, Any]
) -> Meaning:
    """Return the meaning of a model's outputs for new rows.

    Args:
        outputs: of the model, shape (rows, outputs).
        target: its entry in the preprocessing.
        constants: what every config of the search holds, the dataset's signature included.
    """
    task = target["task"]
    classes = len(target["classes"]) if task == "multiclass" else 1
    found = meaning_of({"outputs": classes} | dict(constants) | {"task": task})
    # Data made by hand may call two softmax outputs two outputs: they are classes, no labels.
    if found.has_labels and found.targets == 2 and "names" not in target:
        total = _as_matrix(outputs).sum(axis=1)
        if np.allclose(total, 1.0, atol=TOLERANCE):
            return Meaning(task, 2)
    return found


def _as_matrix(outputs: Array) -> Array:
    found: Array = outputs.reshape(len(outputs), -1).astype(float)
    return found


def _shown(outputs: Array) -> str:
    return f"the model has outputs of shape {outputs.shape[1:]}"


def _in_range(found: Array, outputs: Array) -> Array:
    if found.size and (found.min() < -TOLERANCE or found.max() > 1 + TOLERANCE):
        raise JobError(
            f"the model's outputs go from {outputs.min():.3g} to {outputs.max():.3g}, but must be "
            "probabilities; end it in sigmoid or softmax"
        )
    return found.clip(0.0, 1.0)
