"""Bayesian optimisation: where a Gaussian process expects the largest improvement."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtr, ndtri
from threadpoolctl import threadpool_limits

from tune_jobs.engine.search.candidates import branch_to_visit, climb, prefer
from tune_jobs.engine.search.curve_process import CurveProcess, Numbers, Points, fit, make_prior
from tune_jobs.engine.search.knowledge import Knowledge, KnownRow, Proposal
from tune_jobs.engine.search.observations import Curve
from tune_jobs.engine.space.coordinates import Rows
from tune_jobs.engine.space.embedding import Embedding

# Of a curve, epochs are used that are this factor apart, and the last one.
EPOCH_RATIO = 1.6

# The points that the process is conditioned on, and the configs that they belong to.
MOST_POINTS, MOST_CONFIGS = 350, 250

# The parameters are fitted anew when the number of trials has grown by this factor.
REFIT = 1.15
FIT_STEPS = 40

# Up to this number of trials, a fit starts from short lengths too.
FEW = 60

# The best configs near which candidates lie.
BEST = 5

# Configs with a smaller chance to succeed are chosen only if there are no others (a chance
# constraint, Gelbart et al. 2014). Weighing the chance alone lets a search run against a border
# behind which a better loss seems to lie: half of its suggestions then failed.
LEAST_CHANCE, PENALTY = 0.8, 50


@dataclass
class Fit:
    """Parameters, and the number of configs that they were fitted to."""

    count: int = 0
    parameters: Numbers = field(default_factory=lambda: np.zeros(0))

    def to(self, count: int, observe: Callable[[int], tuple[Points, Numbers]]) -> Numbers:
        """Return the parameters fitted to the first ``count`` configs, which are then kept."""
        if self.count != count:
            points, losses = observe(count)
            groups = int(points.groups.max()) + 1 if len(points.groups) else 0
            mean = make_prior(groups).mean
            short = mean - np.where(np.arange(len(mean)) < groups, 1, 0)
            starts = [mean, short] if count < FEW else [mean]
            self.count, self.parameters = count, fit(points, losses, starts, FIT_STEPS)
        return self.parameters


@dataclass
class CurveModel:
    """Chooses by expected improvement of the loss at the last epoch, and the chance to succeed.

    The improvement is on the lowest loss that the process predicts for the end of a known config,
    whether that ended there or was stopped, without what its trial had of luck.

    Parameters are fitted when the number of ended trials reaches 2, 3, 4 ... 9, 11, 13 ..., to that
    number of the first configs. So they follow from what is known: with one worker, a continued
    search has the parameters of one that was never interrupted; with more, a curve that was still
    growing at the last fit can be longer now. A process is conditioned on 350 points of 250 configs
    at most, which bounds the cost of a suggestion whatever the number of trials.
    """

    losses: Fit = field(default_factory=Fit)
    labels: Fit = field(default_factory=Fit)

    def choose(self, knowledge: Knowledge, random: np.random.Generator) -> Proposal | None:
        """Return the candidate with the largest expected improvement; None if all are known."""
        with threadpool_limits(
            1
        ):  # small matrices: threads of busy cores would wait for each other
            return self._choose(knowledge, random)

    def _choose(self, knowledge: Knowledge, random: np.random.Generator) -> Proposal | None:
        embedding = Embedding(knowledge.coordinates)
        parameters = self._parameters(knowledge)
        points, losses = _observe(embedding, knowledge, knowledge.scored)
        process = CurveProcess(points, losses, parameters)
        means, _ = process.predict(_at_end(embedding, knowledge.rows, first=-1))
        if len(knowledge.pending):
            pending = _at_end(embedding, knowledge.pending, first=len(means))
            expected, _ = process.predict(pending)
            points, losses = _join(points, pending), np.concatenate([losses, expected])
            process = CurveProcess(points, losses, parameters)
        log_chance = self._estimate_chance(embedding, knowledge)

        def improvement(rows: Rows) -> Numbers:
            ends = _at_end(embedding, rows, first=-1)
            mean, variance = process.predict(ends)
            found = log_expected_improvement(mean, np.sqrt(variance), float(means.min()))
            return found + _penalise(log_chance(ends))

        branch = branch_to_visit(knowledge, random) if knowledge.max_epochs > 1 else None
        good = prefer(knowledge.rows[np.argsort(means, kind="stable")], branch)[:BEST]
        row = climb(knowledge, improvement, good, random, branch)
        return None if row is None else Proposal(row, "gp")

    def _parameters(self, knowledge: Knowledge) -> Numbers:
        """Return the parameters fitted to the trials that there were at the last refit."""
        embedding = Embedding(knowledge.coordinates)
        ended = sum(each.state == "ended" for each in knowledge.scored)
        count = last_refit(max(ended, 2))
        return self.losses.to(
            count, lambda first: _observe(embedding, knowledge, knowledge.scored[:first])
        )

    def _estimate_chance(
        self, embedding: Embedding, knowledge: Knowledge
    ) -> Callable[[Points], Numbers]:
        """Return a function that estimates the log of the chance that points do not fail.

        It is a process of 1 for configs that have a loss and -1 for those that failed.
        """
        tried = [each for each in knowledge.known if each.curve or each.state == "failed"]
        failed = [place for place, each in enumerate(tried) if each.state == "failed"]
        if not failed:
            return lambda points: np.zeros(len(points.times))

        def observe(first: int) -> tuple[Points, Numbers]:
            chosen = _spread([each.state != "failed" for each in tried[:first]], MOST_CONFIGS)
            known = [tried[place] for place in chosen]
            signs = np.array([-1.0 if each.state == "failed" else 1.0 for each in known])
            return _at_end(embedding, knowledge.stack(known)), signs

        count = max(last_refit(max(len(tried), 2)), failed[0] + 1)
        parameters = self.labels.to(count, observe)
        points, signs = observe(len(tried))
        process = CurveProcess(points, signs - signs.mean(), parameters)

        def log_chance(points: Points) -> Numbers:
            mean, variance = process.predict(points)
            deviation = np.sqrt(variance + process.own + process.noise)
            found: Numbers = log_ndtr((mean + signs.mean()) / deviation)
            return found

        return log_chance


def last_refit(count: int) -> int:
    """Return the largest number of a geometric row from 2 that is no more than a count."""
    at = 2
    while math.ceil(at * REFIT) <= count:
        at = math.ceil(at * REFIT)
    return at


def _penalise(log_chance: Numbers) -> Numbers:
    """Return the log of a chance, and a lot less if that is too small."""
    lacking = np.minimum(log_chance - math.log(LEAST_CHANCE), 0)
    return np.asarray(log_chance + PENALTY * lacking)


def log_expected_improvement(mean: Numbers, deviation: Numbers, best: float) -> Numbers:
    """Return the logarithm of the expected improvement on the best loss (Ament et al. 2023)."""
    z = (best - mean) / deviation
    density = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    near = np.log(np.maximum(z * ndtr(z) + density, 1e-300))
    far = -0.5 * z**2 - 0.5 * math.log(2 * math.pi) - 2 * np.log(np.maximum(-z, 1))
    found: Numbers = np.where(z > -5, near, far) + np.log(deviation)
    return found


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


def _observe(
    embedding: Embedding, knowledge: Knowledge, known: Sequence[KnownRow]
) -> tuple[Points, Numbers]:
    """Return the points of some configs' curves, and their scaled losses."""
    chosen = _spread([each.curve[-1][1] for each in known], MOST_CONFIGS)
    curves = _within([_thin(known[place].curve) for place in chosen], MOST_POINTS)
    trials = np.repeat(chosen, [len(curve) for curve in curves])
    epochs = np.array([epoch for curve in curves for epoch, _ in curve], dtype=float)
    losses = np.array([loss for curve in curves for _, loss in curve])
    last = knowledge.max_epochs
    times = np.minimum(np.log(epochs) / math.log(last), 1) if last > 1 else np.ones(len(epochs))
    places = embedding.points_of(knowledge.stack(known))[trials]
    return Points(places, embedding.groups, times, trials), scale(losses)


def _spread(losses: Sequence[float], most: int) -> NDArray[np.intp]:
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


def _at_end(embedding: Embedding, rows: Rows, first: int = 0) -> Points:
    """Return rows at the last epoch: of trials numbered from ``first``, or of none if it is -1."""
    trials = np.full(len(rows), -1) if first < 0 else first + np.arange(len(rows))
    return Points(embedding.points_of(rows), embedding.groups, np.ones(len(rows)), trials)


def _join(one: Points, other: Points) -> Points:
    return Points(
        np.concatenate([one.places, other.places]),
        one.groups,
        np.concatenate([one.times, other.times]),
        np.concatenate([one.trials, other.trials]),
    )


@dataclass(frozen=True)
class Belief:
    """The beliefs of the process about losses at the last epoch, on its own scale.

    Attributes:
        mean: of the losses of some rows.
        covariance: of the same, without what a trial adds to its config.
        noise: the variance of trials of one config.
        lengths: of the columns; a short one matters much.
        ends: the scaled losses at which the known configs ended, by their losses.
    """

    mean: Numbers
    covariance: Numbers
    noise: float
    lengths: Numbers
    ends: tuple[Numbers, Numbers]


def believe(model: CurveModel, knowledge: Knowledge, rows: Rows) -> Belief:
    """Return what a process that knows all curves believes of rows."""
    embedding = Embedding(knowledge.coordinates)
    parameters = model._parameters(knowledge)
    points, losses = _observe(embedding, knowledge, knowledge.scored)
    process = CurveProcess(points, losses, parameters)
    fresh = _at_end(embedding, rows, first=len(knowledge.scored))
    mean, covariance = process.predict_jointly(fresh)
    last = [int(np.flatnonzero(points.trials == trial)[-1]) for trial in np.unique(points.trials)]
    ends = np.array([knowledge.scored[points.trials[place]].curve[-1][1] for place in last])
    return Belief(
        mean=mean,
        covariance=covariance - process.own * np.eye(len(mean)),
        noise=process.own + process.noise,
        lengths=np.exp(parameters[embedding.columns]),
        ends=(ends, losses[last]),
    )
