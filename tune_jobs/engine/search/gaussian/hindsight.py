"""Compare what a process expected of trials with what they brought."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from tune_jobs.engine.search.gaussian.curve_process import CurveProcess, Numbers, Points

# The improvements that count as having come as expected, in addition to those that were observed.
PRIOR = 0.5


def share_that_came(
    process: CurveProcess,
    points: Points,
    losses: Numbers,
    ends: Points,
    has_ended: NDArray[np.bool_],
) -> float:
    """Return the improvements that came as a share of those that the process expected.

    Before each trial of the latest half, the process expected an improvement on the lowest loss
    until then, by what was known by then. If it is right, the sum of these is that of the
    improvements which came, up to chance. It is not right about a space whose good configs are all
    about as good: what it does not know, it takes to be as often better as worse. The share is
    shrunk towards 1 as if half an improvement more had come, as large as expected (as in a Gamma
    distribution with Jeffreys' prior), and more than all of them does not count: that is mostly
    luck.

    Args:
        process: that knows all points.
        points: of all trials, those of one trial together, in the order in which they began.
        losses: at the points.
        ends: the last epochs of the same trials.
        has_ended: of each trial, whether it is over.
    """
    firsts = np.flatnonzero(np.diff(points.trials, prepend=-1))
    lowest = np.minimum.reduceat(losses, firsts)
    mean, variance = process.predict_from(ends, firsts)
    before = np.minimum.accumulate(np.concatenate([[np.inf], lowest[:-1]]))
    counted = has_ended & (np.arange(len(firsts)) >= max(1, len(firsts) // 2))
    before, lowest = before[counted], lowest[counted]
    deviation = np.sqrt(variance[counted] + process.noise)
    z = (before - mean[counted]) / deviation
    density = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    chance, expected = float(ndtr(z).sum()), float((deviation * (z * ndtr(z) + density)).sum())
    if not (chance > 0 and expected > 0):
        return 1.0
    came, prior = float(np.maximum(before - lowest, 0).sum()), PRIOR * expected / chance
    return min(1.0, (came + prior) / (expected + prior))
