"""A kernel density over configs: one joint kernel per config, and the prior.

Source: Watanabe 2023, "Tree-structured Parzen estimator: understanding its algorithm components and
their roles". A hyperparameter that a kernel's config lacks has its prior density there, so branches
are modelled among the trials that have them, with what all trials share.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from tune_jobs.engine.space.coordinates import Column, Coordinates, Rows

Numbers = NDArray[np.float64]

# The probability with which a kernel leaves its option for any one at random.
OTHER_OPTION = 0.3


@dataclass(frozen=True)
class Bandwidth:
    """The width of kernels.

    Attributes:
        share: a fixed share of a number's range, shrinking slowly with the number of kernels; None
            for the distance to the neighbours, which is narrow where kernels are dense.
        least: the narrowest kernel with a share.
        most: the widest kernel between neighbours.
    """

    share: float | None = None
    least: float = 0.01
    most: float = 1.0


class KernelDensity:
    """A mixture of kernels, one per row, and of the prior.

    Args:
        coordinates: of the space.
        rows: at which the kernels lie.
        bandwidth: of kernels over numbers.
    """

    def __init__(self, coordinates: Coordinates, rows: Rows, bandwidth: Bandwidth) -> None:
        self._coordinates, self._rows = coordinates, rows
        self._count = len(rows)
        active = np.mean(np.sum(~np.isnan(rows), axis=1)) if len(rows) else 1.0
        self._widths = [
            _widths(column, rows[:, place], float(active), bandwidth)
            for place, column in enumerate(coordinates.columns)
        ]
        self._log_weight = -math.log(self._count + 1)

    def log_density(self, rows: Rows) -> Numbers:
        """Return the log density at each row."""
        logs = np.zeros((len(rows), self._count + 1))
        for place, column in enumerate(self._coordinates.columns):
            there = np.flatnonzero(~np.isnan(rows[:, place]))
            if not len(there):
                continue
            prior = -math.log(column.values or 1)
            centres, widths = self._rows[:, place], self._widths[place]
            kernel = _log_kernel(column, rows[there, place], centres, widths)
            kernel[:, np.isnan(centres)] = prior
            logs[there, :-1] += kernel
            logs[there, -1] += prior
        peak = logs.max(axis=1, keepdims=True)
        total: Numbers = np.log(np.exp(logs - peak).sum(axis=1)) + peak[:, 0]
        return total + self._log_weight

    def draw(self, count: int, random: np.random.Generator) -> Rows:
        """Draw rows from the mixture."""
        if not self._count:
            return self._coordinates.draw(count, random)
        chosen = random.integers(self._count + 1, size=count)
        is_prior = chosen == self._count
        chosen = np.where(is_prior, 0, chosen)
        drawn = np.full((count, len(self._coordinates.columns)), np.nan)
        for place, column in enumerate(self._coordinates.columns):
            centres, widths = self._rows[chosen, place], self._widths[place][chosen]
            moved = _draw_from(column, centres, widths, random)
            drawn[:, place] = np.where(is_prior, np.nan, moved)
        return self._coordinates.settle(drawn, random)


def _widths(column: Column, centres: Numbers, active: float, bandwidth: Bandwidth) -> Numbers:
    """Return the width of each kernel over one hyperparameter."""
    if column.options:
        return np.full(len(centres), OTHER_OPTION)
    here = np.flatnonzero(~np.isnan(centres))
    widths = np.ones(len(centres))
    if bandwidth.share is not None:
        shrunk = bandwidth.share * max(len(here), 1) ** (-1 / (active + 4))
        widths[here] = max(shrunk, bandwidth.least)
    else:
        widths[here] = _between(_gaps(centres[here]), bandwidth.most)
    if column.places is not None and len(column.places) > 1:
        widths = np.maximum(widths, np.median(np.diff(column.places)) / 2)
    return widths


def _between(gaps: Numbers, most: float) -> Numbers:
    """Return widths by the distances to neighbours, no narrower than so many kernels allow."""
    least = 1 / min(100, len(gaps) + 2)
    return np.clip(gaps, least, max(most, least))


def _gaps(values: Numbers) -> Numbers:
    """Return the larger distance of each value to its neighbours, the ends 0 and 1 included."""
    order = np.argsort(values)
    rising = np.concatenate([[0], values[order], [1]])
    gaps = np.empty(len(values))
    gaps[order] = np.maximum(rising[1:-1] - rising[:-2], rising[2:] - rising[1:-1])
    return gaps


def _log_kernel(column: Column, values: Numbers, centres: Numbers, widths: Numbers) -> Numbers:
    """Return the log density of each kernel (a column each) at each value (a row each)."""
    if column.options:
        other = widths / column.options
        same = values[:, None] == centres[None]
        return np.asarray(np.where(same, np.log(1 - widths + other), np.log(other)))
    kernel: Numbers = -0.5 * ((values[:, None] - centres) / widths) ** 2
    return kernel - _log_mass(column, centres, widths)


def _log_mass(column: Column, centres: Numbers, widths: Numbers) -> Numbers:
    """Return the logarithm of what a kernel sums up to over its hyperparameter's values."""
    if column.values and column.places is not None:
        scaled = (column.places[None] - centres[:, None]) / widths[:, None]
        return np.asarray(np.log(np.exp(-0.5 * scaled**2).sum(axis=1)))
    inside = ndtr((1 - centres) / widths) - ndtr(-centres / widths)
    return np.asarray(np.log(widths * math.sqrt(2 * math.pi) * inside))


def _draw_from(
    column: Column, centres: Numbers, widths: Numbers, random: np.random.Generator
) -> Numbers:
    """Draw a value from each kernel; NaN, for a draw from the prior, where it has none."""
    uniform = random.random(len(centres))
    if column.options:
        other = np.floor(uniform / widths * column.options)
        return np.where(np.isnan(centres) | (uniform >= widths), centres, other)
    lower, upper = ndtr(-centres / widths), ndtr((1 - centres) / widths)
    quantiles = np.clip(lower + (upper - lower) * uniform, 1e-12, 1 - 1e-12)
    return np.asarray(np.clip(centres + widths * ndtri(quantiles), 0, 1))
