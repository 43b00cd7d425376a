"""What every kind of column can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, TypedDict, get_args

import pyarrow as pa

from tune_jobs.engine.data.reading.refine import Reading
from tune_jobs.engine.data.splitting import Array

Role = Literal["number", "missing", "part", "word", "code"]
ROLES: tuple[Role, ...] = get_args(Role)  # the order of features in the matrix

NO_VALUE = "it has no value in the training set"  # why a column is dropped


class Column(TypedDict, total=False):
    """The preprocessing learnt for a column; its keys depend on its kind."""

    name: str
    kind: str
    mean: float
    scale: float
    fill: float
    indicator: bool
    categories: list[str]
    first: float
    parts: list[str]
    means: list[float]
    scales: list[float]
    words: list[str]
    reading: Reading


@dataclass(frozen=True)
class Fitted:
    """The result of fitting a column.

    Attributes:
        column: its preprocessing, None if it is dropped.
        warning: what looks wrong with it.
        dropped: why it is dropped, if it is.
    """

    column: Column | None
    warning: str | None = None
    dropped: str | None = None


class Kind(Protocol):
    """A kind of column."""

    @property
    def name(self) -> str:
        """Its name in the preprocessing."""

    @property
    def is_text(self) -> bool:
        """True if a CSV file must give it as text, whatever it looks like."""

    @property
    def is_quantity(self) -> bool:
        """True if it is a number to predict, rather than a class, when it is the target."""

    def takes(self, arrow: pa.DataType) -> bool:
        """Return whether values of an Arrow type are of this kind."""

    def count_missing(self, values: pa.ChunkedArray) -> int:
        """Count the rows without a value."""

    def content(self, name: str, values: pa.ChunkedArray) -> list[object]:
        """Return texts and arrays that are the same for equal values, however they are stored."""

    def fit(self, name: str, values: pa.ChunkedArray, train: Array, max_categories: int) -> Fitted:
        """Learn the preprocessing from the rows ``train`` alone.

        Raises:
            JobError: for values that cannot be used, in any row.
        """

    def features(self, column: Column) -> list[Role]:
        """Return the roles of the features that it makes."""

    def count_codes(self, column: Column) -> list[int]:
        """Return for each of its features that is a code how many codes there are."""

    def encode(self, column: Column, values: pa.ChunkedArray) -> list[Array]:
        """Make the features, one value per row.

        Raises:
            JobError: for values that the preprocessing cannot take.
        """

    def read_raw(self, name: str, values: pa.ChunkedArray) -> Array:
        """Return the values as the exported model takes them, shape (rows,).

        Raises:
            JobError: for values that it cannot take.
        """


def constant(value: str) -> str:
    """Say that a column is dropped for it has one value."""
    return f"it is {value} in the whole training set"
