"""The features of a search: numbers as they are, or raw columns, encoded in each fold anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from tune_jobs.engine.data.column_kinds import kind_named
from tune_jobs.engine.data.columns import count_codes, encode, fit_columns
from tune_jobs.engine.data.kinds.kind import Column
from tune_jobs.engine.data.sources import is_frame, read_table
from tune_jobs.engine.data.splitting import Array, Fold

# The most frequent categories of a text column that have a code, as in ``table``.
MOST_CATEGORIES = 50


class Encoder(Protocol):
    """Turns features into the matrix that a model takes."""

    @property
    def signature(self) -> dict[str, Any]:
        """What a config holds about the features."""
        ...

    def encode(self, x: Any) -> Array:
        """Return the matrix of some rows."""
        ...


@dataclass(frozen=True)
class AsTheyAre:
    """Numbers that a model takes as they are.

    Attributes:
        shape: of a row.
    """

    shape: tuple[int, ...]

    @property
    def signature(self) -> dict[str, Any]:
        """What a config holds about the features."""
        return {"input_shape": list(self.shape), "categories": []}

    def encode(self, x: Any) -> Array:
        """Return the numbers as float32."""
        return np.asarray(x, dtype=np.float32)


@dataclass(frozen=True)
class Encoded:
    """The features of a search, ready to be trained on.

    Attributes:
        x: the matrix; with raw columns, one block of all rows per fold, each encoded by what was
            learnt from the fold's training rows.
        folds: the rows of the matrix that each fold trains on, and those that it holds out.
        encoder: what was learnt from all rows, for the final model.
        whole: the matrix of all rows for the final model.
    """

    x: Array
    folds: Sequence[Fold]
    encoder: Encoder
    whole: Array


def encode_numbers(x: Array, folds: Sequence[Fold]) -> Encoded:
    """Return features that are numbers already."""
    encoder = AsTheyAre(x.shape[1:])
    matrix = encoder.encode(x)
    return Encoded(matrix, folds, encoder, matrix)


@dataclass(frozen=True)
class RawColumns:
    """Columns of a DataFrame, which the engine's own preprocessing turns into numbers.

    Attributes:
        columns: what was learnt of each.
        codes: how many codes each categorical column has at most.
    """

    columns: Sequence[Column]
    codes: Sequence[int]

    @property
    def signature(self) -> dict[str, Any]:
        """What a config holds about the features."""
        kinds = [kind_named(column["kind"]).features(column) for column in self.columns]
        return {"input_shape": [sum(map(len, kinds))], "categories": list(self.codes)}

    def encode(self, x: Any) -> Array:
        """Return the encoded matrix of a DataFrame.

        Raises:
            JobError: for values that the columns cannot take.
        """
        (matrix,) = encode(read_table(x), self.columns, [np.arange(len(x))])
        return matrix


def encode_columns(frame: Any, folds: Sequence[Fold]) -> Encoded:
    """Return the features of raw columns, encoded for each fold by its training rows alone.

    Raises:
        JobError: for columns that cannot be learnt from.
    """
    table, rows = read_table(frame), np.arange(len(frame))
    whole, _ = fit_columns(table, rows, MOST_CATEGORIES)
    fitted = [_fit_alike(table, train, whole) for train, _ in folds]
    codes = np.max([count_codes(each) for each in [whole, *fitted]], axis=0).astype(int).tolist()
    blocks = [encode(table, columns, [rows])[0] for columns in fitted]
    placed = [
        (train + number * len(rows), held + number * len(rows))
        for number, (train, held) in enumerate(folds)
    ]
    encoder = RawColumns(whole, codes)
    return Encoded(np.concatenate(blocks), placed, encoder, encoder.encode(frame))


def _fit_alike(table: pa.Table, train: Array, whole: Sequence[Column]) -> list[Column]:
    """Learn columns from some rows, so that they make the features that all rows make.

    A column without anything to learn in these rows keeps what all rows say of it.
    """
    names = [column["name"] for column in whole]
    learnt = {
        each["name"]: each for each in fit_columns(table.select(names), train, MOST_CATEGORIES)[0]
    }
    found: list[Column] = []
    for column in whole:
        own: Column = {**column, **learnt.get(column["name"], {})}
        if "indicator" in column:
            own["indicator"] = column["indicator"]
        features = [kind_named(each["kind"]).features(each) for each in (own, column)]
        found.append(own if features[0] == features[1] else column)
    return found


def is_raw(x: Any) -> bool:
    """Return whether features are a DataFrame with anything but numbers, or with missing values."""
    if not is_frame(x):
        return False
    numeric = all(each.kind in "iufb" for each in map(_kind_of, x.dtypes))
    return not numeric or bool(x.isna().to_numpy().any())


def _kind_of(dtype: Any) -> np.dtype[Any]:
    return dtype if isinstance(dtype, np.dtype) else np.dtype(object)
