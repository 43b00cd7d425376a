"""Statistics of fresh scores: intervals, paired differences, which are clearly behind or tied.

Scores of overlapping folds are not independent. The variance of their mean is taken to be
``(1 / n + overlap) * variance``, where ``overlap`` is held-out rows / training rows (Nadeau and
Bengio 2003, Inference for the generalization error); 0 for scores that share no rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tune_jobs.engine.outcome import Judgement

Scores = np.ndarray[Any, np.dtype[np.floating[Any]]]

LEVEL = 0.95

# A gain that chance gives with a smaller probability than this is a hint, though not proof.
HINT = 0.2


@dataclass(frozen=True)
class Estimate:
    """A mean with its confidence interval.

    Attributes:
        mean: the mean of the scores or of the differences.
        lower: the interval's lower end; minus infinity for one score.
        upper: its upper end.
        standard_error: the standard error of the mean, corrected for overlapping folds; NaN for one
            score.
        p_value: two-sided, for the mean being 0; NaN for one score.
        scores: the number of scores.
    """

    mean: float
    lower: float
    upper: float
    standard_error: float
    p_value: float
    scores: int


def estimate(scores: Sequence[float] | Scores, overlap: float, level: float = LEVEL) -> Estimate:
    """Estimate the mean of scores, or of paired differences, by the corrected resampled t-test.

    Args:
        scores: shape (n,), one per repeat and fold.
        overlap: held-out rows / training rows.
        level: the level of the interval.
    """
    from scipy.stats import t

    values = np.asarray(scores, dtype=float)
    count, mean = len(values), float(values.mean())
    if count < 2:
        return Estimate(mean, -np.inf, np.inf, np.nan, np.nan, count)
    error = standard_error(values, overlap)
    half = float(t.ppf((1 + level) / 2, count - 1)) * error
    p_value = 2 * float(t.sf(abs(mean) / error, count - 1)) if error else float(mean == 0)
    return Estimate(mean, mean - half, mean + half, error, p_value, count)


def estimate_of_interval(
    mean: float, interval: Sequence[float], count: int, level: float
) -> Estimate:
    """Return the estimate from which an interval of a number of scores was made."""
    from scipy.stats import t

    reach = float(t.ppf((1 + level) / 2, count - 1))
    error = (interval[1] - interval[0]) / 2 / reach if reach > 0 else math.nan
    p_value = 2 * float(t.sf(abs(mean) / error, count - 1)) if error else float(mean == 0)
    return Estimate(mean, interval[0], interval[1], error, p_value, count)


def compare_means(one: Estimate, other: Estimate, level: float = LEVEL) -> Estimate:
    """Estimate the difference of two means of scores that are not paired (Welch 1947).

    ``scores`` of the result are its degrees of freedom, by Satterthwaite's formula, and 1.
    """
    from scipy.stats import t

    error = math.hypot(one.standard_error, other.standard_error)
    mean, count = one.mean - other.mean, one.scores + other.scores - 1
    if not error:
        return Estimate(mean, mean, mean, 0.0, float(mean == 0), count)
    if not math.isfinite(error):
        return Estimate(mean, -math.inf, math.inf, error, math.nan, count)
    # Shares of the error, whose powers are numbers whatever the unit is.
    parts = [(each.standard_error / error) ** 4 / (each.scores - 1) for each in (one, other)]
    freedom = 1 / sum(parts)
    half = float(t.ppf((1 + level) / 2, freedom)) * error
    p_value = 2 * float(t.sf(abs(mean) / error, freedom))
    return Estimate(mean, mean - half, mean + half, error, p_value, round(freedom) + 1)


def standard_error(scores: Scores, overlap: float) -> float:
    """Return the standard error of a mean over repeats and folds that share training rows."""
    return float(np.sqrt((1 / len(scores) + overlap) * np.var(scores, ddof=1)))


def are_behind(scores: Scores, overlap: float, level: float = LEVEL) -> list[bool]:
    """Return which candidates are clearly worse than the one with the lowest mean.

    Each is compared with it by a one-sided corrected t-test of paired differences; all tests
    together err with a probability of 1 - ``level`` at most (Bonferroni).

    Args:
        scores: shape (candidates, n), smaller being better, paired by column.
        overlap: held-out rows / training rows.
        level: the level of all decisions together.
    """
    leader = int(scores.mean(axis=1).argmin())
    allowed = (1 - level) / max(len(scores) - 1, 1)
    found = []
    for candidate in scores:
        gap = estimate(candidate - scores[leader], overlap)
        found.append(gap.mean > 0 and gap.p_value / 2 < allowed)
    return found


def judge(gain: Estimate, least: float = 0.0) -> Judgement:
    """Judge whether a gain over the incumbent is proven, hinted at, or neither.

    It is proven if its whole interval lies above ``least``: with an interval of 95 % that happens
    by chance in 2.5 % of the cases in which nothing is gained. It is hinted at if a one-sided test
    at the level `HINT` finds it.
    """
    from scipy.stats import t

    if gain.lower > least:
        return "replace"
    if gain.mean <= least or not gain.standard_error > 0:
        return "keep"
    p_value = t.sf((gain.mean - least) / gain.standard_error, gain.scores - 1)
    return "inconclusive" if p_value < HINT else "keep"


def cheapest_within(losses: Sequence[float], costs: Sequence[float], margin: float) -> int:
    """Find the cheapest candidate whose mean loss is within a margin of the best one's.

    With the best one's standard error as the margin it is the one-standard-error rule (Breiman
    et al. 1984); scikit-learn's example takes its standard deviation over folds.

    Returns:
        Its place; of several that cost the same, the best's.
    """
    tied = np.flatnonzero(np.asarray(losses) <= min(losses) + margin)
    return min(tied.tolist(), key=lambda place: (costs[place], losses[place]))
