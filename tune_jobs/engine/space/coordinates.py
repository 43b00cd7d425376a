"""Configs as rows of numbers between 0 and 1, for models of a search space.

A column is one hyperparameter of the flat form (:mod:`~tune_jobs.engine.space.encoding`): a number
has its place between the bounds, on the scale on which it is drawn; an unordered choice has the
index of its option. A hyperparameter that a config lacks is NaN.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tune_jobs.engine.space.configs import Config
from tune_jobs.engine.space.domains import Choice, Range, Space
from tune_jobs.engine.space.encoding import Dimension, decode, dimensions, encode

Rows = NDArray[np.float64]

# The option of another column that makes a hyperparameter active: its column and index.
Condition = tuple[int, int]

# Numbers that differ by less are one value.
DIGITS = 9

# A number with more values than this is modelled as if it was continuous.
MOST_VALUES = 100


@dataclass(frozen=True)
class Column:
    """One hyperparameter.

    Attributes:
        label: in the flat form.
        domain: a range without a step, or a choice between indexes.
        places: where a number's values lie, rising; None for a continuous number and for choices.
        conditions: the options of which one has to be taken; empty if it is always active.
        is_ordered: whether neighbours are alike; true of every number.
    """

    label: str
    domain: Range | Choice
    places: Rows | None
    conditions: tuple[Condition, ...]
    is_ordered: bool

    @property
    def options(self) -> int:
        """The number of options of a choice; 0 for a number."""
        return len(self.domain.options) if isinstance(self.domain, Choice) else 0

    @property
    def values(self) -> int | None:
        """The number of values; None if it is continuous, or has so many that it may as well be."""
        if self.places is None or len(self.places) > MOST_VALUES:
            return self.options or None
        return len(self.places)

    def place(self, number: float) -> float:
        """Return the place between 0 and 1 of a number of the flat form; of an option its index."""
        return float(number) if isinstance(self.domain, Choice) else _place(self.domain, number)

    def number(self, place: float) -> float:
        """Return the number of the flat form at a place."""
        if isinstance(self.domain, Choice):
            return int(place)
        domain = self.domain
        lower, upper = domain.position(domain.lower), domain.position(domain.upper)
        found = domain.value_at(lower + place * (upper - lower))
        return min(max(found, domain.lower), domain.upper)

    def snap(self, places: Rows) -> Rows:
        """Return the nearest places that are values."""
        if self.places is None:
            return places
        borders = (self.places[1:] + self.places[:-1]) / 2
        snapped: Rows = self.places[np.searchsorted(borders, places)]
        return np.where(np.isnan(places), np.nan, snapped)


class Coordinates:
    """The columns of a space, and the way between its configs and rows.

    Raises:
        JobError: for a space that no searcher can learn about.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self.columns = _columns_of(dimensions(space))
        self._index = {column.label: place for place, column in enumerate(self.columns)}
        self._options = np.array([max(column.options, 1) for column in self.columns])
        self._is_choice = np.array([column.options > 0 for column in self.columns], dtype=bool)

    def row_of(self, config: Config) -> Rows:
        """Return the row of a config."""
        row = np.full(len(self.columns), np.nan)
        for label, number in encode(self._space, config).items():
            place = self._index[label]
            row[place] = self.columns[place].place(number)
        snapped: Rows = self._snap(row[None])[0]
        return snapped

    def config_of(self, row: Rows) -> Config:
        """Return the config of a row."""
        active = np.flatnonzero(~np.isnan(row))
        numbers = {self.columns[j].label: self.columns[j].number(row[j]) for j in active}
        return decode(self._space, numbers)

    def draw(self, count: int, random: np.random.Generator) -> Rows:
        """Draw rows from the space, each hyperparameter evenly on its scale."""
        return self.settle(np.full((count, len(self.columns)), np.nan), random)

    def settle(self, rows: Rows, random: np.random.Generator) -> Rows:
        """Return rows as the space has them.

        Missing hyperparameters are drawn, those of branches that are not taken are left out, and
        numbers become the nearest value.
        """
        drawn = random.random(rows.shape)
        drawn = np.where(self._is_choice, np.floor(drawn * self._options), drawn)
        full = self._snap(np.where(np.isnan(rows), drawn, rows))
        active = np.zeros(full.shape, dtype=bool)
        for place, column in enumerate(self.columns):
            active[:, place] = not column.conditions
            for other, option in column.conditions:
                active[:, place] |= active[:, other] & (full[:, other] == option)
        return np.where(active, full, np.nan)

    def _snap(self, rows: Rows) -> Rows:
        if not self.columns:
            return rows
        snapped = [column.snap(rows[:, place]) for place, column in enumerate(self.columns)]
        return np.stack(snapped, axis=1)


def identities(rows: Rows) -> list[bytes]:
    """Return what tells rows apart: equal if the configs are."""
    filled = np.where(np.isnan(rows), -1.0, rows)
    return [row.tobytes() for row in np.round(filled, DIGITS) + 0.0]  # no negative zero


def _columns_of(found: Mapping[str, Dimension]) -> tuple[Column, ...]:
    """List the columns, each after those that its conditions name."""
    listed: dict[str, Dimension] = {}
    conditions: dict[str, list[Condition]] = {}
    _walk(found, None, listed, conditions)
    return tuple(
        Column(
            label,
            dimension.simple,
            _places(dimension),
            tuple(conditions[label]),
            dimension.is_ordered,
        )
        for label, dimension in listed.items()
    )


def _walk(
    found: Mapping[str, Dimension],
    under: Condition | None,
    listed: dict[str, Dimension],
    conditions: dict[str, list[Condition]],
) -> None:
    for label, dimension in found.items():
        listed.setdefault(label, dimension)
        conditions.setdefault(label, []).extend([under] if under else [])
        place = list(listed).index(label)
        for option, branch in enumerate(dimension.branches):
            _walk(branch, (place, option), listed, conditions)


def _places(dimension: Dimension) -> Rows | None:
    if dimension.numbers is None or isinstance(dimension.simple, Choice):
        return None
    return np.array([_place(dimension.simple, number) for number in dimension.numbers])


def _place(domain: Range, number: float) -> float:
    lower, upper = domain.position(domain.lower), domain.position(domain.upper)
    return (domain.position(number) - lower) / (upper - lower)
