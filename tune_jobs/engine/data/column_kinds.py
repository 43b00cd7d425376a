"""The kinds of columns that a model can learn from.

A kind is one class here, which does everything that depends on the kind: recognise it, learn its
preprocessing, make its features, read it raw, warn. To add a kind, write such a class, append it to
``KINDS``, and repeat its features with Keras' operations in ``trainables/preprocessing.py``, which
puts the preprocessing into the exported model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa

from tune_jobs.engine.data.arrays import (
    Coded,
    coded,
    count_nulls,
    is_text,
    numbers,
    value_type,
)
from tune_jobs.engine.data.dataset import standardisation
from tune_jobs.engine.data.kinds.dates import Dates
from tune_jobs.engine.data.kinds.kind import NO_VALUE, Column, Fitted, Kind, Role, constant
from tune_jobs.engine.data.kinds.texts import count_missing_texts, read_texts, text_content
from tune_jobs.engine.data.kinds.words import WORDS, is_free_text
from tune_jobs.engine.data.splitting import Array
from tune_jobs.engine.errors import JobError
from tune_jobs.engine.names import ignoring

# Categories that have a code however few rows they have, and the rows that any other needs.
ALWAYS_CODED, FEWEST_ROWS = 50, 2

IDENTIFIER_SHARE, IDENTIFIER_ROWS = 0.9, 20  # distinct values among how many: a name, not a class


@dataclass(frozen=True)
class Numbers:
    """Numbers, standardised; missing ones are filled with the median and get an indicator.

    There is an indicator only if values were missing in the training set. Booleans are 0 and 1. A
    column without any value has no other type in Arrow, and is always dropped.
    """

    name: str
    is_quantity: bool
    takes: Callable[[pa.DataType], bool]
    is_text: Literal[False] = False

    def count_missing(self, values: pa.ChunkedArray) -> int:
        """Count nulls and NaN."""
        return count_nulls(values)

    def content(self, name: str, values: pa.ChunkedArray) -> list[object]:
        """Return the numbers."""
        return [numbers(name, values)]

    def fit(
        self,
        name: str,
        values: pa.ChunkedArray,
        train: Array,
        max_categories: int,  # noqa: ARG002
    ) -> Fitted:
        """Learn mean, scale and median; drop a column that is constant or has no value."""
        learnt = numbers(name, values)[train]
        known = learnt[~np.isnan(learnt)]
        if not len(known):
            return Fitted(None, dropped=NO_VALUE)
        if len(known) == len(learnt) and known.min() == known.max():
            return Fitted(None, dropped=constant(f"{known[0]:g}"))
        mean, scale = standardisation(known)
        return Fitted(
            {
                "name": name,
                "kind": self.name,
                "mean": mean,
                "scale": scale,
                "fill": float(np.median(known)),
                "indicator": len(known) < len(learnt),
            }
        )

    def features(self, column: Column) -> list[Role]:
        """Return the number, and the indicator if there is one."""
        return ["number", "missing"] if column["indicator"] else ["number"]

    def count_codes(self, column: Column) -> list[int]:  # noqa: ARG002
        """Return nothing: no feature is a code."""
        return []

    def encode(self, column: Column, values: pa.ChunkedArray) -> list[Array]:
        """Standardise the numbers; refuse those too far from the training set's."""
        given = numbers(column["name"], values)
        missing = np.isnan(given)
        filled = np.where(missing, column["fill"], given)
        with np.errstate(over="ignore"):
            encoded = ((filled - column["mean"]) / column["scale"]).astype(np.float32)
        if not np.isfinite(encoded).all():
            raise JobError(
                f"column {column['name']!r} has values too far from the training set's mean of "
                f"{column['mean']:g}, at a standard deviation of {column['scale']:g}; "
                "drop their rows"
            )
        return [encoded, missing] if column["indicator"] else [encoded]

    def read_raw(self, name: str, values: pa.ChunkedArray) -> Array:
        """Return float64, NaN if missing."""
        return numbers(name, values)


@dataclass(frozen=True)
class Categories:
    """Texts, as codes of the most frequent ones; missing, rare and unseen ones have the code 0."""

    name: str = "categorical"
    is_quantity: Literal[False] = False
    is_text: Literal[True] = True

    def takes(self, arrow: pa.DataType) -> bool:
        """Return whether values are texts."""
        return is_text(arrow)

    def count_missing(self, values: pa.ChunkedArray) -> int:
        """Count nulls and empty texts."""
        return count_missing_texts(values)

    def content(self, name: str, values: pa.ChunkedArray) -> list[object]:  # noqa: ARG002
        """Return the distinct texts and the codes."""
        return text_content(values)

    def fit(self, name: str, values: pa.ChunkedArray, train: Array, max_categories: int) -> Fitted:
        """Learn the most frequent texts; drop a constant column, warn of an identifier."""
        found = coded(values)
        codes = found.codes[train]
        distinct, counts = np.unique(codes[codes >= 0], return_counts=True)
        if not len(distinct):
            return Fitted(None, dropped=NO_VALUE)
        texts = [found.values[code] for code in distinct]
        if len(texts) == 1 and counts[0] == len(codes):
            return Fitted(None, dropped=constant(repr(texts[0])))
        if is_free_text(name, texts, counts):
            return WORDS.fit(name, values, train, max_categories)
        # No string of numpy's or Keras' can end in a NUL, so such a value stays without a code.
        codable = [pair for pair in zip(-counts, texts, strict=True) if not pair[1].endswith("\0")]
        ranked = sorted(codable)[:max_categories]
        often = sorted(
            text
            for place, (less, text) in enumerate(ranked)
            if place < ALWAYS_CODED or -less >= FEWEST_ROWS
        )
        column: Column = {"name": name, "kind": self.name, "categories": often}
        return Fitted(column, _suspicion(name, counts))

    def features(self, column: Column) -> list[Role]:  # noqa: ARG002
        """Return the code."""
        return ["code"]

    def count_codes(self, column: Column) -> list[int]:
        """Return how many codes there are, 0 among them."""
        return [len(column["categories"]) + 1]

    def encode(self, column: Column, values: pa.ChunkedArray) -> list[Array]:
        """Return the codes."""
        return [_codes(coded(values), column["categories"])]

    def read_raw(self, name: str, values: pa.ChunkedArray) -> Array:  # noqa: ARG002
        """Return texts, "" if missing."""
        return read_texts(values)


def _is_number(arrow: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_integer(arrow) or types.is_floating(arrow) or types.is_decimal(arrow))


NUMERIC = Numbers("numeric", is_quantity=True, takes=_is_number)
BOOLEAN = Numbers("boolean", is_quantity=False, takes=pa.types.is_boolean)
EMPTY = Numbers("empty", is_quantity=False, takes=pa.types.is_null)
CATEGORICAL = Categories()
DATE = Dates()
KINDS: tuple[Kind, ...] = (NUMERIC, BOOLEAN, CATEGORICAL, EMPTY, DATE, WORDS)


def kind_of(arrow: pa.DataType) -> Kind | None:
    """Return the kind of an Arrow type, a dictionary's by its values; None if there is no kind."""
    return next((kind for kind in KINDS if kind.takes(value_type(arrow))), None)


def kind_named(name: str) -> Kind:
    """Return the kind that the preprocessing calls by a name."""
    return next(kind for kind in KINDS if kind.name == name)


def _suspicion(name: str, counts: Array) -> str | None:
    rows = int(counts.sum())
    if rows < IDENTIFIER_ROWS or len(counts) < IDENTIFIER_SHARE * rows:
        return None
    return (
        f"column {name!r} looks like an identifier: {len(counts):,} distinct values in {rows:,} "
        f"rows; leave it out with {ignoring(name)}, or keep it beside the predictions "
        f"(--id '{name}')"
    )


def _codes(column: Coded, categories: Sequence[str]) -> Array:
    known = {value: place for place, value in enumerate(categories, start=1)}
    # One entry more than there are values: -1, a missing value, takes the last, which is 0.
    table = np.array([*(known.get(value, 0) for value in column.values), 0], np.float32)
    coded_rows: Array = table[column.codes]
    return coded_rows
