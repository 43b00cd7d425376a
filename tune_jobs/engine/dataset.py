"""A dataset: the arrays that trials learn from, and the test part that is kept from them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tune_jobs.engine.errors import JobError

if TYPE_CHECKING:
    from tune_jobs.engine.arrangement import Arrangement
    from tune_jobs.engine.scorers import Scorer

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Replica:
    """One fit of a config: its seed, and its rows of the training and the validation part."""

    seed: int
    train: Array | None = None
    validation: Array | None = None


@dataclass(frozen=True)
class TrainingData:
    """What a trainable gets: features of shape (rows, ...) and targets of shape (rows,).

    ``replicas`` are trained in step; with folds, both parts are the same rows. ``scorers`` are
    called with the truth, of shape (rows,), and the model's outputs, of shape (rows, outputs), and
    reported as ``val_<name>``.
    """

    x_train: Array
    y_train: Array
    x_validation: Array
    y_validation: Array
    replicas: tuple[Replica, ...] = ()
    scorers: Mapping[str, Scorer] = field(default_factory=dict)


@dataclass(frozen=True)
class Dataset:
    """A table or a set of images, ready to be trained on.

    Attributes:
        training: the training and validation parts.
        x_test: the features of the test part, which the search never sees.
        y_test: its targets.
        raw_test: the test part as the exported model takes it: raw columns, or the images.
        signature: task, shape and sizes, as a trainable's ``build`` needs them.
        preprocessing: what was learnt from the training part, as plain JSON.
        fingerprint: a hash of the content, whatever the file format, the split and the seed.
        warnings: what is allowed but probably not meant, one line each.
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


@dataclass(frozen=True)
class Split:
    """Which rows belong to which part; the test part is in the order drawn, the rest in theirs."""

    train: Array
    validation: Array
    test: Array


def check_fractions(**fractions: float) -> None:
    """Refuse fractions that leave a part empty.

    Raises:
        JobError: unless each is between 0 and 1, and all together are below 1.
    """
    for name, value in fractions.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
            raise JobError(f"{name} is {value!r}, but must be a fraction between 0 and 1")
    if sum(fractions.values()) >= 1:
        shown = " and ".join(f"{name}={value}" for name, value in fractions.items())
        raise JobError(f"{shown} leave nothing to train on; together they must be below 1")


def split_rows(
    rows: int, seed: int, *, validation: float, test: float, classes: Array | None = None
) -> Split:
    """Draw the parts, each class spread over them in proportion where ``classes`` has its codes.

    A ``test`` of 0 leaves the test part empty, for data that brings its own.

    Raises:
        JobError: where there are too few rows, or too few of a class.
    """
    kept, drawn = np.arange(rows), np.arange(0)
    if test:
        kept, drawn = _take_off(kept, test * rows, seed, classes)
    train, held = _take_off(kept, validation * rows, seed, classes)
    if classes is not None and len(np.unique(classes[train])) < len(np.unique(classes)):
        raise JobError(f"the {rows} rows are too few to have each class in the training part")
    return Split(np.sort(train), np.sort(held), drawn)


def kept_rows(split: Split) -> Array:
    """The rows of the training part, then of the validation part."""
    return np.concatenate([split.train, split.validation])


def standardisation(values: Array) -> tuple[float, float]:
    """Mean and standard deviation; the latter is 1 where all values are one."""
    low, high = float(values.min()), float(values.max())
    if low == high:
        return low, 1.0
    return float(values.mean()), float(values.std()) or 1.0


def digest(parts: Iterable[Any]) -> str:
    """A hash of texts and arrays, the latter read in pieces so that mapped files stay on disk."""
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


def _take_off(kept: Array, wanted: float, seed: int, classes: Array | None) -> tuple[Array, Array]:
    from sklearn.model_selection import train_test_split

    stratify = None if classes is None else classes[kept]
    try:
        left, drawn = train_test_split(
            kept, test_size=max(1, round(wanted)), random_state=seed, stratify=stratify
        )
    except ValueError as error:
        among = "" if classes is None else f" with {len(np.unique(classes))} classes in each"
        raise JobError(
            f"{len(kept)} rows cannot be split into parts{among}: {str(error).split('. ')[0]}"
        ) from None
    return left, drawn
