"""Dates and timestamps, as numbers that a model can learn from.

``trainables/preprocessing.py`` repeats the arithmetic with Keras' operations, number by number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa

from tune_jobs.engine.data.arrays import count_nulls, without_dictionary
from tune_jobs.engine.data.dataset import standardisation
from tune_jobs.engine.data.kinds.kind import NO_VALUE, Column, Fitted, Role, constant
from tune_jobs.engine.data.splitting import Array

MICROSECONDS = 86_400_000_000  # of a day


@dataclass(frozen=True)
class Dates:
    """Dates as year, month, day of the week, hour and days since the first, each standardised.

    A part that is the same in all training rows is left out. A missing date is filled with the
    median, and gets an indicator.
    """

    name: str = "date"
    is_text: Literal[False] = False
    is_quantity: Literal[False] = False

    def takes(self, arrow: pa.DataType) -> bool:
        """Return whether values are dates or timestamps."""
        return bool(pa.types.is_date(arrow) or pa.types.is_timestamp(arrow))

    def count_missing(self, values: pa.ChunkedArray) -> int:
        """Count nulls."""
        return count_nulls(values)

    def content(self, name: str, values: pa.ChunkedArray) -> list[object]:
        """Return the days."""
        return [self.read_raw(name, values)]

    def fit(
        self,
        name: str,
        values: pa.ChunkedArray,
        train: Array,
        max_categories: int,  # noqa: ARG002
    ) -> Fitted:
        """Learn the first day, and mean and scale of each part that varies."""
        learnt = self.read_raw(name, values)[train]
        known = learnt[~np.isnan(learnt)]
        if not len(known):
            return Fitted(None, dropped=NO_VALUE)
        indicator = len(known) < len(learnt)
        first = float(known.min())
        parts = {part: PARTS[part](known, first) for part in PARTS}
        varying = {part: found for part, found in parts.items() if found.min() < found.max()}
        if not varying and not indicator:
            day = np.datetime64(int(first), "D")
            return Fitted(None, dropped=constant(str(day)))
        learnt_of = {part: standardisation(found) for part, found in varying.items()}
        return Fitted(
            {
                "name": name,
                "kind": self.name,
                "first": first,
                "fill": float(np.median(known)),
                "indicator": indicator,
                "parts": list(learnt_of),
                "means": [mean for mean, _ in learnt_of.values()],
                "scales": [scale for _, scale in learnt_of.values()],
            }
        )

    def features(self, column: Column) -> list[Role]:
        """Return the parts, and the indicator if there is one."""
        return ["part"] * (len(column["parts"]) + column["indicator"])

    def count_codes(self, column: Column) -> list[int]:  # noqa: ARG002
        """Return nothing: no feature is a code."""
        return []

    def encode(self, column: Column, values: pa.ChunkedArray) -> list[Array]:
        """Return the standardised parts."""
        given = self.read_raw(column["name"], values)
        missing = np.isnan(given)
        days = np.where(missing, column["fill"], given)
        learnt = zip(column["parts"], column["means"], column["scales"], strict=True)
        found = [
            ((PARTS[part](days, column["first"]) - mean) / scale).astype(np.float32)
            for part, mean, scale in learnt
        ]
        return [*found, missing] if column["indicator"] else found

    def read_raw(self, name: str, values: pa.ChunkedArray) -> Array:  # noqa: ARG002
        """Return days since 1970 with their fraction, in UTC, NaN if missing."""
        plain = without_dictionary(values).cast(pa.timestamp("us"), safe=False)
        days: Array = plain.cast(pa.int64()).cast(pa.float64(), safe=False).to_numpy()
        raw: Array = days / MICROSECONDS
        return raw


def _month(days: Array, first: float) -> Array:  # noqa: ARG001
    return _civil(days)[1]


def _year(days: Array, first: float) -> Array:  # noqa: ARG001
    return _civil(days)[0]


def _weekday(days: Array, first: float) -> Array:  # noqa: ARG001
    weekday: Array = np.mod(np.floor(days) + 3, 7)  # 1970 began on a Thursday; Monday is 0
    return weekday


def _hour(days: Array, first: float) -> Array:  # noqa: ARG001
    return np.floor((days - np.floor(days)) * 24 + 1e-6)


def _since(days: Array, first: float) -> Array:
    return days - first


def _civil(days: Array) -> tuple[Array, Array]:
    """Return year and month of days since 1970.

    From Howard Hinnant, "chrono-compatible low-level date algorithms", ``civil_from_days``.
    """
    shifted = np.floor(days) + 719_468  # since 1 March of the year 0
    era = np.floor(shifted / 146_097)
    day = shifted - era * 146_097
    year = np.floor(
        (day - np.floor(day / 1460) + np.floor(day / 36_524) - np.floor(day / 146_096)) / 365
    )
    rest = day - (365 * year + np.floor(year / 4) - np.floor(year / 100))
    march = np.floor((5 * rest + 2) / 153)  # months since March
    month = np.where(march < 10, march + 3, march - 9)
    return year + era * 400 + (month <= 2), month


PARTS: dict[str, Callable[[Array, float], Array]] = {
    "days": _since,
    "year": _year,
    "month": _month,
    "weekday": _weekday,
    "hour": _hour,
}
