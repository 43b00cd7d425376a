"""Arrow's columns as arrays of numbers, or of codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tune_jobs.engine.data.splitting import Array
from tune_jobs.engine.errors import JobError

LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Coded:
    """A column as whole numbers: ``values[codes[row]]``, or -1 if the value is missing."""

    codes: Array
    values: list[Any]

    @property
    def counts(self) -> Array:
        """The rows of each value."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.values))

    def spread(self, values: Sequence[Any], arrow: pa.DataType) -> pa.ChunkedArray:
        """Return the column with another value in place of each, null for a missing one."""
        codes = pa.array(self.codes, mask=self.codes < 0)
        return pa.chunked_array([pa.array(values, arrow).take(codes)])


def coded(column: pa.ChunkedArray) -> Coded:
    """Return the column's distinct values and which row has which; an empty string is missing."""
    encoded = without_dictionary(column).dictionary_encode().unify_dictionaries()
    if not encoded.num_chunks:
        return Coded(np.empty(0, np.int32), [])
    values = encoded.chunk(0).dictionary.to_pylist()
    indices = pa.chunked_array([chunk.indices for chunk in encoded.chunks])
    codes = pc.fill_null(indices, -1).to_numpy().copy()
    for place, value in enumerate(values):
        if value is None or value == "":
            codes[codes == place] = -1
    return Coded(codes, values)


def numbers(name: str, column: pa.ChunkedArray, what: str = "column") -> Array:
    """Return the values as float64, NaN if missing.

    Raises:
        JobError: for values that are infinite, or that a 32-bit number cannot hold.
    """
    values: Array = without_dictionary(column).cast(pa.float64(), safe=False).to_numpy()
    if beyond := int((np.abs(values) > LARGEST).sum()):
        raise JobError(
            f"{what} {name!r} has {beyond:,} of {len(values):,} values that are infinite "
            f"or beyond {LARGEST:.1e}; replace them or drop their rows"
        )
    return values


def count_nulls(column: pa.ChunkedArray) -> int:
    """Count the values that are null or NaN."""
    return int(pc.sum(pc.is_null(column, nan_is_null=True)).as_py() or 0)


def without_dictionary(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the column without Arrow's dictionary: its unused, reordered entries mean nothing."""
    return column.cast(value_type(column.type))


def value_type(arrow: pa.DataType) -> pa.DataType:
    """Return the type of the values, which a dictionary only refers to."""
    return arrow.value_type if pa.types.is_dictionary(arrow) else arrow


def is_text(arrow: pa.DataType) -> bool:
    """Return whether values are texts, and not a dictionary of texts."""
    types = pa.types
    return bool(
        types.is_string(arrow) or types.is_large_string(arrow) or types.is_string_view(arrow)
    )
