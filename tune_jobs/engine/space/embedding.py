"""Rows as points of a Euclidean space, whose distances say how alike configs are."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np

from tune_jobs.engine.space.coordinates import Column, Coordinates, Rows
from tune_jobs.engine.space.domains import Choice, Range

# In a label: the option of a choice, and the number of a layer.
OPTION, NUMBER = re.compile(r"#\d+"), re.compile(r"\.\d+(?=\.|$)")

# Where a number lies in a config that lacks it.
MIDDLE = 0.5


@dataclass(frozen=True)
class Feature:
    """One hyperparameter of a point: the columns of which a config has one at most.

    Attributes:
        columns: their places in a row.
        ends: for each column, where its bounds lie between 0 and 1; empty for a choice.
        corners: the number of options of an unordered choice; 0 for others.
        last: the largest number of a column: 1, or the last index of an ordered choice.
    """

    columns: tuple[int, ...]
    ends: tuple[tuple[float, float], ...]
    corners: int
    last: int

    def embed(self, rows: Rows) -> Rows:
        """Return the coordinates of rows: options are corners at distance 1 of each other."""
        values = np.full(len(rows), np.nan)
        for place, (lower, upper) in zip(self.columns, self.ends, strict=True):
            there = lower + rows[:, place] / self.last * (upper - lower)
            values = np.where(np.isnan(there), values, there)
        lacks = np.isnan(values)
        if not self.corners:
            return np.where(lacks, MIDDLE, values)[:, None]
        chosen = np.round(values * self.last)
        corners = (chosen[:, None] == np.arange(self.corners)) / math.sqrt(2)
        corners[lacks] = 1 / (self.corners * math.sqrt(2))
        return np.asarray(corners)


class Embedding:
    """Places configs such that hyperparameters of one meaning are one coordinate.

    The learning rate of each optimizer is one coordinate, since a config has one of them, and the
    units of all layers share how far apart they are (their group), but not the coordinate.

    Args:
        coordinates: of the space.

    Attributes:
        groups: the group of each coordinate of a point.
        columns: the group of each column.
    """

    def __init__(self, coordinates: Coordinates) -> None:
        self._features: list[Feature] = []
        groups: dict[tuple[object, ...], int] = {}
        self.columns = np.zeros(len(coordinates.columns), dtype=np.intp)
        found: list[int] = []
        for meaning, places in _by_meaning(coordinates).items():
            feature = _make_feature([coordinates.columns[place] for place in places], places)
            shared = (NUMBER.sub("", str(meaning[0])), *meaning[1:])
            group = groups.setdefault(shared, len(groups))
            self.columns[places] = group
            self._features.append(feature)
            found += [group] * max(feature.corners, 1)
        self.groups = np.array(found, dtype=np.intp)

    def points_of(self, rows: Rows) -> Rows:
        """Return the points of rows."""
        if not self._features:
            return np.zeros((len(rows), 0))
        return np.concatenate([feature.embed(rows) for feature in self._features], axis=1)


def _by_meaning(coordinates: Coordinates) -> dict[tuple[object, ...], list[int]]:
    """Gather the columns that are one hyperparameter in different branches."""
    found: dict[tuple[object, ...], list[int]] = {}
    for place, column in enumerate(coordinates.columns):
        found.setdefault(_meaning(column), []).append(place)
    return found


def _meaning(column: Column) -> tuple[object, ...]:
    name = OPTION.sub("", column.label)
    if isinstance(column.domain, Choice):
        depth = column.label.count("#")  # a choice within a choice may have its name
        return name, "choice", column.options, column.is_ordered, depth
    return name, column.domain.spacing


def _make_feature(columns: list[Column], places: list[int]) -> Feature:
    options = columns[0].options
    corners = 0 if columns[0].is_ordered else options
    bounds = [_bounds(column.domain) for column in columns if isinstance(column.domain, Range)]
    if not bounds:
        ends = ((0.0, 1.0),) * len(columns)
        return Feature(tuple(places), ends, corners, max(options - 1, 1))
    lower, upper = min(low for low, _ in bounds), max(high for _, high in bounds)
    span = (upper - lower) or 1.0
    ends = tuple(((low - lower) / span, (high - lower) / span) for low, high in bounds)
    return Feature(tuple(places), ends, 0, 1)


def _bounds(domain: Range) -> tuple[float, float]:
    return domain.position(domain.lower), domain.position(domain.upper)
