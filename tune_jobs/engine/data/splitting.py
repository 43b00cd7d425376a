"""Split rows into training, validation and test set, and cut folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from tune_jobs.engine.errors import JobError

Array = np.ndarray[Any, Any]
Fold = tuple[Array, Array]  # the rows to train on, and those held out

# Where rows come from, if the validation or the test set is a table of its own.
OWN, VALIDATION, TEST = 0, 1, 2


@dataclass(frozen=True)
class Split:
    """The rows of each set; those of the test set in the order drawn, the others in their order."""

    train: Array
    validation: Array
    test: Array


class Arrangement(Protocol):
    """Rows that belong together or follow one another, and so cannot be split at random."""

    @property
    def most_folds(self) -> int:
        """The largest number of folds that the rows can be cut into."""
        ...

    def take(self, rows: Array) -> Arrangement:
        """Return the arrangement of some of the rows."""
        ...

    def split(
        self, seed: int, *, validation: float, test: float, classes: Array | None = None
    ) -> Split:
        """Split the rows into training, validation and test set, near the fractions."""
        ...

    def fold(self, folds: int, seed: int, classes: Array | None = None) -> Sequence[Fold]:
        """Cut the rows into folds."""
        ...


def check_fractions(**fractions: float) -> None:
    """Refuse fractions that leave a set empty.

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
    rows: int,
    seed: int,
    *,
    validation: float,
    test: float,
    classes: Array | None = None,
    origins: Array | None = None,
) -> Split:
    """Draw the sets, with each class spread in proportion if ``classes`` has codes of classes.

    A ``test`` of 0 leaves the test set empty, for data that brings its own. A set that ``origins``
    names is given; the others are drawn from the rest.

    Raises:
        JobError: if there are too few rows, or too few of a class.
    """
    origins = np.zeros(rows, int) if origins is None else origins
    kept, held, drawn = (np.flatnonzero(origins == each) for each in (OWN, VALIDATION, TEST))
    rows = len(kept)
    if test and not len(drawn):
        kept, drawn = _take_off(kept, test * rows, seed, classes)
    if not len(held):
        kept, held = _take_off(kept, validation * rows, seed, classes)
    if classes is not None and len(np.unique(classes[kept])) < len(np.unique(classes)):
        raise JobError(f"{rows} rows are too few to have each class in the training set")
    return Split(np.sort(kept), np.sort(held), drawn)


def kept_rows(split: Split) -> Array:
    """Return the rows of the training set, then of the validation set."""
    return np.concatenate([split.train, split.validation])


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
            f"{len(kept)} rows cannot be split in two{among}: {str(error).split('. ')[0]}"
        ) from None
    return left, drawn


def cut_folds(rows: int, folds: int, seed: int, classes: Array | None) -> list[tuple[Array, Array]]:
    """Return the training and validation rows of each fold, stratified if there are classes.

    Raises:
        JobError: if there are too few rows, or too few of a class.
    """
    from sklearn.model_selection import KFold, StratifiedKFold

    kind = KFold if classes is None else StratifiedKFold
    few = rows if classes is None else count_rarest(classes)
    if few < folds:
        among = "rows" if classes is None else "rows of the rarest class"
        raise JobError(f"Evaluation: {folds} folds need as many {among}, but there are {few}")
    cutter = kind(n_splits=folds, shuffle=True, random_state=seed)
    target = np.zeros(rows) if classes is None else classes
    return [(np.asarray(a), np.asarray(b)) for a, b in cutter.split(np.zeros(rows), target)]


def count_rarest(classes: Array) -> int:
    """Count the rows of the rarest class."""
    return int(np.unique(classes, return_counts=True)[1].min())
