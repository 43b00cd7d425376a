"""The chance of a config to succeed, by those that did and those that failed."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr

from tune_jobs.engine.search.gaussian.curve_process import CurveProcess, Numbers, Points
from tune_jobs.engine.search.gaussian.points import MOST_CONFIGS, at_end, spread
from tune_jobs.engine.search.gaussian.refit import Fit, last_refit
from tune_jobs.engine.search.knowledge import Knowledge
from tune_jobs.engine.space.embedding import Embedding

# Configs with a smaller chance are chosen only if there are no others (a chance constraint,
# Gelbart et al. 2014). Weighing the chance alone lets a search run against a border behind which a
# better loss seems to lie: half of its suggestions then failed.
LEAST_CHANCE, PENALTY = 0.8, 50

# A running config with a smaller chance counts as failed until it reports: else all that run at
# once would try the same stretch of a border.
SAFE = 0.9

# Chances are above 0, so that they have a logarithm.
TINY = 1e-9


def penalise(log_chance: Numbers) -> Numbers:
    """Return the log of a chance, and a lot less if that is too small."""
    lacking = np.minimum(log_chance - math.log(LEAST_CHANCE), 0)
    return np.asarray(log_chance + PENALTY * lacking)


def estimate_success(
    embedding: Embedding, knowledge: Knowledge, parameters: Fit
) -> Callable[[Points], Numbers]:
    """Return a function that estimates the log of the chance that points do not fail.

    It is the smaller of two chances. One is that of a process of 1 for configs that have a loss and
    -1 for those that failed. Between a success and a failure side by side it swings beyond both, so
    the other is by their distances: see :class:`Gap`.

    Args:
        embedding: of the space.
        knowledge: all that is known.
        parameters: of the process, fitted anew now and then.
    """
    tried = [each for each in knowledge.known if each.curve or each.state == "failed"]
    failed = [place for place, each in enumerate(tried) if each.state == "failed"]
    if not failed:
        return lambda points: np.zeros(len(points.times))

    def observe(first: int) -> tuple[Points, Numbers]:
        chosen = spread([each.state != "failed" for each in tried[:first]], MOST_CONFIGS)
        known = [tried[place] for place in chosen]
        signs = np.array([-1.0 if each.state == "failed" else 1.0 for each in known])
        return at_end(embedding, knowledge.stack(known)), signs

    fitted = parameters.to(max(last_refit(max(len(tried), 2)), failed[0] + 1), observe)
    points, signs = observe(len(tried))
    process = CurveProcess(points, signs - signs.mean(), fitted)
    gap = Gap(process, points.places[signs > 0], points.places[signs < 0])
    gap = gap.with_running(embedding.points_of(knowledge.pending))

    def log_chance(points: Points) -> Numbers:
        mean, variance = process.predict(points)
        deviation = np.sqrt(variance + process.own + process.noise)
        found: Numbers = log_ndtr((mean + signs.mean()) / deviation)
        return np.minimum(found, np.log(gap.chance(points.places)))

    return log_chance


class Gap:
    """The gap between successes and failures, in which a border lies, equally likely anywhere.

    A config that crosses a share of the gap between its nearest success and its nearest failure
    fails with that chance. Far from all successes, in lengths of the process, nothing is known of a
    border, and the chance to fail fades; likewise if configs fail by luck and not by their place.

    Args:
        process: whose lengths measure distances.
        successes: n x p, places of configs.
        failures: m x p.
    """

    def __init__(self, process: CurveProcess, successes: Numbers, failures: Numbers) -> None:
        self._process, self._successes, self._failures = process, successes, failures

    def with_running(self, places: Numbers) -> Gap:
        """Return the gap in which those of running configs that are not safe have failed."""
        risky = places[self.chance(places) < SAFE]
        return Gap(self._process, self._successes, np.concatenate([self._failures, risky]))

    def chance(self, places: Numbers) -> Numbers:
        """Return the chance of places to succeed, above 0."""
        if not len(self._successes):
            return np.ones(len(places))
        near = self._process.distances(places, self._successes).min(axis=1)
        far = self._process.distances(places, self._failures).min(axis=1)
        crossed: NDArray[np.float64] = near / np.maximum(near + far, TINY)
        return np.asarray(np.maximum(1 - crossed * np.exp(-near) * self._process.signal, TINY))
