"""Observations of configs: their curves, and how trials that ended early compare.

A trial that a scheduler stopped after one epoch and one that ran to the end must not be compared by
their values as they are. :func:`rank` compares trials only at epochs that both have reached.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tune_jobs.engine.goal import Goal
from tune_jobs.engine.space.configs import Config

Curve = Sequence[tuple[int, float]]
State = Literal["running", "ended", "failed", "withdrawn"]


@dataclass(frozen=True)
class Observation:
    """Everything known of one config by now.

    Attributes:
        config: of the space.
        curve: (epoch, value of the metric), epochs rising, values finite.
        state: ``running``; ``ended``, by itself or by a scheduler; ``failed`` by its own fault;
            ``withdrawn`` if nothing can be learnt: its worker was lost, or it runs already.
    """

    config: Config
    curve: Curve = ()
    state: State = "running"

    @property
    def epoch(self) -> int:
        """The last epoch; 0 before the first."""
        return self.curve[-1][0] if self.curve else 0


def losses(curve: Curve, goal: Goal) -> Curve:
    """Return the best loss up to each epoch: what a trial would be worth if it ended there."""
    best = itertools.accumulate((goal.loss(value) for _, value in curve), min)
    return [(epoch, loss) for (epoch, _), loss in zip(curve, best, strict=True)]


def rank(curves: Sequence[Curve]) -> NDArray[np.intp]:
    """Return the place of each curve of losses among all, 0 for the best.

    At each epoch at which trials ended, those that reached it are sorted by their best loss so far,
    and share out the places that they had among themselves. So a trial that was stopped keeps its
    place in its rung, and those that ran longer are compared by how they went on.
    """
    last = np.array([curve[-1][0] for curve in curves], dtype=int)
    ends = np.unique(last)
    values = _losses_at(curves, ends)
    places = np.zeros(len(curves), dtype=np.intp)
    for number, epoch in enumerate(ends):
        there = np.flatnonzero(last >= epoch)
        own = np.sort(places[there]) if number else np.arange(len(there))
        places[there[np.argsort(values[there, number], kind="stable")]] = own
    return places


def comparable_losses(curves: Sequence[Curve]) -> NDArray[np.float64]:
    """Return a loss for each curve of losses, such that they compare as :func:`rank` says.

    The n-th best trial gets the n-th smallest of the losses at which the trials ended.
    """
    ends = np.sort([curve[-1][1] for curve in curves])
    ranked: NDArray[np.float64] = ends[rank(curves)]
    return ranked


def _losses_at(curves: Sequence[Curve], ends: NDArray[np.int_]) -> NDArray[np.float64]:
    """Return the loss of each curve at the last of its epochs up to each end.

    A curve that begins later has its first loss there.
    """
    flat = itertools.chain.from_iterable(itertools.chain.from_iterable(curves))
    epochs, found = np.fromiter(flat, dtype=float).reshape(-1, 2).T
    first = np.concatenate([[0], np.cumsum([len(curve) for curve in curves])])
    # One rising sequence for all curves: each has a stretch of the numbers of its own.
    stretch = 1 + np.max(epochs, initial=0)
    starts = stretch * np.arange(len(curves))
    rising = epochs + np.repeat(starts, np.diff(first))
    places = np.searchsorted(rising, starts[:, None] + ends, side="right") - 1
    at: NDArray[np.float64] = found[np.maximum(places, first[:-1, None])]
    return at
