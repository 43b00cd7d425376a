"""A dataset: the arrays that trials learn from, and a test set that they never see."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tune_jobs.engine.data.inspection.facts import ColumnFacts, as_lines, say_classes
from tune_jobs.engine.data.scoring.scorers import Scorer
from tune_jobs.engine.data.splitting import Arrangement, Array


@dataclass(frozen=True)
class Replica:
    """One fit of a config: its seed, and its rows of the training and the validation set."""

    seed: int
    train: Array | None = None
    validation: Array | None = None


@dataclass(frozen=True)
class TrainingData:
    """The data of a trainable: features of shape (rows, ...) and targets of shape (rows,).

    ``replicas`` are trained in step; with folds, both sets are the same rows. ``scorers`` are
    called with the truth, of shape (rows,), and the model's outputs, of shape (rows, outputs), and
    reported as ``val_<name>``. ``weights_train`` has a number per training row, how much it counts.
    """

    x_train: Array
    y_train: Array
    x_validation: Array
    y_validation: Array
    replicas: tuple[Replica, ...] = ()
    scorers: Mapping[str, Scorer] = field(default_factory=dict)
    weights_train: Array | None = None


@dataclass(frozen=True)
class Dataset:
    """A table or a set of images, ready to be trained on.

    Attributes:
        training: the training and validation sets.
        x_test: the features of the test set, which the search never sees.
        y_test: its targets.
        raw_test: the test set as the exported model takes it: raw columns, or the images.
        signature: task, shape and sizes, as a trainable's ``build`` needs them.
        preprocessing: what was learnt from the training set, as plain JSON.
        fingerprint: a hash of the content, whatever the file format, the split and the seed.
        warnings: what is allowed but probably not meant, one line each.
        notes: how the source was read, if not as it is, one line each.
        columns: of a table, what is known of its first columns.
        width: of a table, the number of its columns.
        classes: the rows of each class of the target; empty for numbers and several targets.
        arrangement: the groups or the times of the training rows, then of the validation rows.
    """

    training: TrainingData
    x_test: Array
    y_test: Array
    raw_test: dict[str, Array] | Array
    signature: dict[str, Any]
    preprocessing: dict[str, Any]
    fingerprint: str
    warnings: tuple[str, ...] = ()
    arrangement: Arrangement | None = None
    notes: tuple[str, ...] = ()
    columns: tuple[ColumnFacts, ...] = ()
    classes: Mapping[Any, int] = field(default_factory=dict)
    width: int = 0

    def describe(self) -> str:
        """Describe the columns of a table, the classes, the sets and what looks wrong, in lines."""
        training = self.training
        sizes = (len(training.x_train), len(training.x_validation), len(self.x_test))
        classes = [f"classes: {say_classes(self.classes)}"] if self.classes else []
        return "\n".join(
            [
                *(as_lines(self.columns, self.width) if self.columns else ()),
                "rows: {:,} to train, {:,} to validate, {:,} to test".format(*sizes),
                *classes,
                *self.notes,
                *(f"warning: {warning}" for warning in self.warnings),
            ]
        )


def standardisation(values: Array) -> tuple[float, float]:
    """Return mean and standard deviation, which is 1 if all values are equal."""
    low, high = float(values.min()), float(values.max())
    if low == high:
        return low, 1.0
    return float(values.mean()), float(values.std()) or 1.0


def digest(parts: Iterable[object]) -> str:
    """Hash texts and arrays, the latter in pieces so that they are not copied at once."""
    made = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, np.ndarray):
            made.update(f"{part.dtype.str}{part.shape}".encode())
            step = max(1, 2**24 // max(1, part[:1].nbytes))
            for start in range(0, len(part), step):
                made.update(np.ascontiguousarray(part[start : start + step]).data.cast("B"))
        else:
            made.update(f"{part}\0".encode("utf-8", "surrogatepass"))
    return made.hexdigest()
