"""The outlook of a search: what a Gaussian process expects of more trials.

The process (:mod:`~tune_jobs.engine.search.gaussian.curve_model`) learns the history anew,
whichever searcher chose its configs. More trials are simulated: each is the config with the largest
expected improvement, gets a loss that the process holds possible, and the process learns it. What
that brings is multiplied by the share of its expectations that came true so far
(:mod:`~tune_jobs.engine.search.gaussian.hindsight`).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tune_jobs.engine.analysis.relearn import FEWEST, relearn
from tune_jobs.engine.formatting import count, number
from tune_jobs.engine.search.gaussian.curve_model import (
    Belief,
    CurveModel,
    believe,
    log_expected_improvement,
)
from tune_jobs.engine.search.knowledge import Knowledge
from tune_jobs.engine.space.configs import Config
from tune_jobs.engine.space.coordinates import Rows

if TYPE_CHECKING:
    from tune_jobs.engine.experiments.experiment import Experiment

# The further trials that an outlook is about.
MORE = 20

# Simulated searches, and the rows among which they choose.
SIMULATIONS, DRAWN, NEAR_EACH, BEST = 32, 60, 16, 6

# How far simulated trials lie from the best ones, as a share of a range.
NEAR = 0.1

# The hyperparameters that are named as those that matter.
MOST_NAMED = 4


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """Expectations of more trials.

    Attributes:
        trials: how many more.
        improvement: by how much they are expected to improve the metric.
        noise: the standard deviation of the metric between trials of one config.
        matters: the hyperparameters that the process believes to matter, the most first.
        config: where it would look next; None if all of the space was tried.
    """

    trials: int
    improvement: float
    noise: float
    matters: tuple[str, ...]
    config: Config | None

    @property
    def is_done(self) -> bool:
        """True if the improvement is not worth a search: it is no larger than the noise."""
        return self.improvement <= self.noise

    @property
    def sentence(self) -> str:
        """The expectation in words, and whether to stop."""
        if self.config is None:
            return "every configuration of the space has been tried: stop here"
        more, noise = count(self.trials, "more trial"), number(self.noise, 2)
        if not self.improvement:
            return f"{more}: no improvement expected: stop here"
        expected = f"{more}: expected improvement {number(self.improvement, 2)}"
        if self.is_done:
            return f"{expected}, less than the noise ({noise}): stop here"
        return f"{expected}, more than the noise ({noise})"


def outlook_of(experiment: Experiment, trials: int = MORE) -> Outlook | None:
    """Return the outlook of an experiment; None if too little is known.

    Args:
        experiment: with a history.
        trials: how many more.
    """
    relearned = relearn(experiment)
    return None if relearned is None else find_outlook(relearned.knowledge, trials)


def find_outlook(knowledge: Knowledge, trials: int = MORE) -> Outlook | None:
    """Return the outlook of a search; None if too little is known."""
    if len(knowledge.scored) < FEWEST:
        return None
    try:
        return _foresee(knowledge, trials)
    except (np.linalg.LinAlgError, FloatingPointError, ValueError):
        return None  # losses that no model can tell apart, as 1e300 and 1e-300


def _foresee(knowledge: Knowledge, trials: int) -> Outlook:
    random, model = np.random.default_rng(0), CurveModel()
    proposal = model.choose(knowledge, random)
    known = knowledge.rows[np.argsort(knowledge.losses, kind="stable")[:BEST]]
    pool = np.concatenate([known, _pool(knowledge, random)])
    belief = believe(model, knowledge, pool)
    slope = _slope(belief)
    gain = 0.0 if proposal is None else _simulate(belief, len(known), trials, random)
    return Outlook(
        trials=trials,
        improvement=slope * gain * belief.came,
        noise=slope * math.sqrt(belief.noise),
        matters=_matters(knowledge, belief),
        config=None if proposal is None else knowledge.coordinates.config_of(proposal.row),
    )


def _pool(knowledge: Knowledge, random: np.random.Generator) -> Rows:
    """Return untried rows for simulated trials: from everywhere, and near the best."""
    if knowledge.points is not None:
        left = knowledge.untried(knowledge.points)
        return left[random.permutation(len(left))[: DRAWN + NEAR_EACH * BEST]]
    best = knowledge.rows[np.argsort(knowledge.losses, kind="stable")[:BEST]]
    near = np.repeat(best, NEAR_EACH, axis=0)
    for place, column in enumerate(knowledge.coordinates.columns):
        if column.options:
            near[random.random(len(near)) < NEAR, place] = np.nan
        else:
            moved = near[:, place] + NEAR * random.normal(size=len(near))
            near[:, place] = np.clip(moved, 0, 1)
    drawn = knowledge.coordinates.draw(DRAWN, random)
    return knowledge.untried(np.concatenate([drawn, knowledge.coordinates.settle(near, random)]))


def _simulate(belief: Belief, known: int, trials: int, random: np.random.Generator) -> float:
    """Return by how much simulated trials lower the loss of the config that seems best.

    Args:
        belief: of rows, the first of which are known.
        known: how many those are.
        trials: of a simulated search.
        random: of all draws.
    """
    start = float(belief.mean[:known].min())
    ends = [_simulate_once(belief, known, trials, random) for _ in range(SIMULATIONS)]
    return max(0.0, start - float(np.mean(ends)))


def _simulate_once(belief: Belief, known: int, trials: int, random: np.random.Generator) -> float:
    mean, covariance = belief.mean.copy(), belief.covariance.copy()
    tried = np.arange(len(mean)) < known
    for _ in range(min(trials, len(mean) - known)):
        variance = np.maximum(np.diag(covariance), 1e-12)
        value = log_expected_improvement(mean, np.sqrt(variance), float(mean[tried].min()))
        place = int(np.argmax(np.where(tried, -np.inf, value)))
        spread = float(variance[place]) + belief.noise
        shift = covariance[:, place] / spread
        mean += shift * math.sqrt(spread) * random.normal()
        covariance -= np.outer(shift, covariance[place])
        tried[place] = True
    return float(mean[tried].min())


def _slope(belief: Belief) -> float:
    """Return how much of the metric one unit of the process's scale is, among the best third."""
    losses, scaled = belief.ends
    best = np.argsort(losses)[: max(3, math.ceil(len(losses) / 3))]
    spread = float(np.ptp(scaled[best])) or float(np.ptp(scaled))
    return float(np.ptp(losses[best])) / spread if spread else 0.0


def _matters(knowledge: Knowledge, belief: Belief) -> tuple[str, ...]:
    """Name the hyperparameters with the shortest lengths, those of branches by their parent."""
    order = np.argsort(belief.lengths, kind="stable")
    labels = [knowledge.coordinates.columns[place].label for place in order]
    names = dict.fromkeys(re.sub(r"#\d+", "", label) for label in labels)
    return tuple(names)[:MOST_NAMED]
