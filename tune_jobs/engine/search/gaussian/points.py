"""The points and losses that a process of curves is conditioned on."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from tune_jobs.engine.search.gaussian.curve_process import Numbers, Points
from tune_jobs.engine.search.knowledge import Knowledge, KnownRow
from tune_jobs.engine.search.observations import Curve
from tune_jobs.engine.space.coordinates import Rows
from tune_jobs.engine.space.embedding import Embedding

# Of a curve, epochs are used that are this factor apart, and the last one.
EPOCH_RATIO = 1.6

# The points that the process is conditioned on, and the configs that they belong to.
MOST_POINTS, MOST_CONFIGS = 350, 250


def scale(losses: Numbers) -> Numbers:
    """Return losses with mean 0 and variance 1, of which the worse half says its order only.

    The better half keeps its distances; the others lie as far from the median as those of a normal
    distribution with the better half's spread would, however large they are (Vizier's half-rank
    warping, Song et al. 2024).
    """
    median = float(np.percentile(losses, 50, method="lower"))
    good = losses <= median
    below = np.minimum(losses / 2 - median / 2, 0)  # halves do not overflow
    normal = _normal_places(losses)
    normal -= normal[good].max()
    if (largest := float(np.abs(below).max())) > 0:
        below /= largest
        below *= math.sqrt((normal[good] ** 2).mean() / (below[good] ** 2).mean())
    found = np.where(good, below, normal)
    spread = float(found.std())
    return np.asarray((found - found.mean()) / (spread or 1))


def _normal_places(losses: Numbers) -> Numbers:
    """Return quantiles of the normal distribution in the order of losses."""
    _, inverse, counts = np.unique(losses, return_inverse=True, return_counts=True)
    places = (np.cumsum(counts) - counts / 2) / len(losses)
    return np.asarray(ndtri(places)[inverse])


def observe(
    embedding: Embedding, knowledge: Knowledge, known: Sequence[KnownRow]
) -> tuple[Points, Numbers]:
    """Return the points of some configs' curves, and their scaled losses."""
    chosen = spread([each.curve[-1][1] for each in known], MOST_CONFIGS)
    curves = _within([_thin(known[place].curve) for place in chosen], MOST_POINTS)
    trials = np.repeat(chosen, [len(curve) for curve in curves])
    epochs = np.array([epoch for curve in curves for epoch, _ in curve], dtype=float)
    losses = np.array([loss for curve in curves for _, loss in curve])
    last = knowledge.max_epochs
    times = np.minimum(np.log(epochs) / math.log(last), 1) if last > 1 else np.ones(len(epochs))
    places = embedding.points_of(knowledge.stack(known))[trials]
    return Points(places, embedding.groups, times, trials), scale(losses)


def spread(losses: Sequence[float], most: int) -> NDArray[np.intp]:
    """Return the places of the best half of the most that are kept, and of some of the others."""
    if len(losses) <= most:
        return np.arange(len(losses))
    order = np.argsort(losses, kind="stable")
    others = np.linspace(most // 2, len(losses) - 1, most - most // 2).astype(int)
    return np.sort(np.concatenate([order[: most // 2], order[others]]))


def _thin(curve: Curve) -> Curve:
    """Return a few epochs of a curve, evenly on a logarithmic scale, the last one included."""
    kept, last = [], 0.0
    for epoch, loss in curve:
        if epoch >= last * EPOCH_RATIO or epoch == curve[-1][0]:
            kept.append((epoch, loss))
            last = epoch
    return kept


def _within(curves: Sequence[Curve], most: int) -> Sequence[Curve]:
    """Return as many whole curves as there is room for, the longest first, of others the end."""
    room = most - len(curves)
    kept = [curve[-1:] for curve in curves]
    for place in sorted(range(len(curves)), key=lambda place: (-curves[place][-1][0], place)):
        if (more := len(curves[place]) - 1) <= room:
            kept[place] = curves[place]
            room -= more
    return kept


def at_end(embedding: Embedding, rows: Rows, first: int = 0) -> Points:
    """Return rows at the last epoch: of trials numbered from ``first``, or of none if it is -1."""
    trials = np.full(len(rows), -1) if first < 0 else first + np.arange(len(rows))
    return Points(embedding.points_of(rows), embedding.groups, np.ones(len(rows)), trials)


def join(one: Points, other: Points) -> Points:
    """Return the points of both, of the same space."""
    return Points(
        np.concatenate([one.places, other.places]),
        one.groups,
        np.concatenate([one.times, other.times]),
        np.concatenate([one.trials, other.trials]),
    )
