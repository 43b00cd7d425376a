"""Validation and test rows that are given, rather than drawn as fractions of all rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tune_jobs.engine.data.dataset import digest
from tune_jobs.engine.data.sources import is_frame
from tune_jobs.engine.data.splitting import (
    OWN,
    TEST,
    VALIDATION,
    Arrangement,
    Array,
    Fold,
    Split,
    check_fractions,
    kept_rows,
    split_rows,
)
from tune_jobs.engine.errors import JobError

ORIGINS = {"validation": VALIDATION, "test": TEST}


@dataclass(frozen=True)
class Apart:
    """Rows of which some are the validation or the test set, as the user has it.

    Attributes:
        origins: which source each row is from.
    """

    origins: Array

    @property
    def most_folds(self) -> int:
        """One: the validation set is held out, whatever the seed."""
        return 1

    def take(self, rows: Array) -> Apart:
        """Return the origins of some rows."""
        return replace(self, origins=self.origins[rows])

    def split(
        self, seed: int, *, validation: float, test: float, classes: Array | None = None
    ) -> Split:
        """Return the sets that are given; the others are drawn from the training rows."""
        return split_rows(
            len(self.origins),
            seed,
            validation=validation,
            test=test,
            classes=classes,
            origins=self.origins,
        )

    def fold(
        self,
        folds: int,
        seed: int,  # noqa: ARG002 - nothing is drawn
        classes: Array | None = None,  # noqa: ARG002 - nothing is cut
    ) -> list[Fold]:
        """Return the training and the validation rows once per fold, for as many fresh seeds."""
        pair = (np.flatnonzero(self.origins == OWN), np.flatnonzero(self.origins != OWN))
        return [pair] * folds


def list_given(**sets: Any) -> dict[int, tuple[str, Any]]:
    """Return the sets that are no fractions, each with its name, by the origin of their rows."""
    return {
        ORIGINS[name]: (f"the {name} table", value)
        for name, value in sets.items()
        if not _is_fraction(value)
    }


def as_fractions(**sets: Any) -> dict[str, float]:
    """Return the fraction of each set, 0 of one that is given."""
    return {name: value if _is_fraction(value) else 0.0 for name, value in sets.items()}


def check_sets(**sets: Any) -> None:
    """Refuse what is neither a table nor a fraction, and fractions that leave a set empty.

    Raises:
        JobError: naming the set.
    """
    check_fractions(**{name: value for name, value in sets.items() if not is_source(value)})


def check_unarranged(arranging: Mapping[str, str | None], **sets: Any) -> None:
    """Refuse columns that arrange rows whose sets are given.

    Raises:
        JobError: naming both.
    """
    column = next((name for name, value in arranging.items() if value is not None), None)
    given = next((name for name, value in sets.items() if not _is_fraction(value)), None)
    if column and given:
        raise JobError(
            f"Evaluation: {column} is {arranging[column]!r}, but the {given} rows are given, so "
            "there is nothing to arrange; give one of the two"
        )


def is_source(value: object) -> bool:
    """Return whether a value is a path or a DataFrame; a number in quotes is neither."""
    if is_frame(value) or isinstance(value, Path):
        return True
    return isinstance(value, str) and bool(value.strip("0123456789. "))


def say_source(source: object) -> str:
    """Return a source in few words: of a DataFrame its size."""
    return f"<DataFrame {source.shape}>" if is_frame(source) else str(source)  # type: ignore[attr-defined]


def mark_origins(fingerprint: str, origins: Array) -> str:
    """Return a fingerprint that follows which rows are given as a set, too, if any are."""
    return digest([fingerprint, origins]) if origins.any() else fingerprint


def arrangement_of(
    arranged: Arrangement | None, origins: Array, split: Split
) -> Arrangement | None:
    """Return what keeps the training and validation rows of a split in order; None if nothing."""
    rows = kept_rows(split)
    if arranged is None and (origins[rows] == VALIDATION).any():
        arranged = Apart(origins)
    return arranged and arranged.take(rows)


def _is_fraction(value: object) -> bool:
    return isinstance(value, int | float)
