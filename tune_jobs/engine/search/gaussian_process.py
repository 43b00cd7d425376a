"""Bayesian optimisation: where a Gaussian process expects the largest improvement."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import yeojohnson

from tune_jobs.engine.search.candidates import climb
from tune_jobs.engine.search.curve_process import CurveProcess, Numbers, Points, fit, make_prior
from tune_jobs.engine.search.knowledge import Knowledge, KnownRow, Proposal
from tune_jobs.engine.search.observations import Curve
from tune_jobs.engine.space.coordinates import Coordinates, Rows

# Of a curve, epochs are used that are this factor apart, and the last one.
EPOCH_RATIO = 1.6

# The points that the process is conditioned on.
MOST_POINTS = 350

# The parameters are fitted anew when the number of trials has grown by this factor.
REFIT = 1.15
FIT_STEPS = 40

# Losses far above the others are pulled in before they are scaled.
UPPER_QUANTILE = 90

# The best configs near which candidates lie.
BEST = 5


@dataclass
class CurveModel:
    """Chooses by expected improvement of the loss at the last epoch.

    Attributes:
        fitted: how many trials the parameters were fitted to, and the parameters; both follow from
            what is known, so a continued search fits the same.
    """

    fitted: tuple[int, Numbers] | None = None

    def choose(self, knowledge: Knowledge, random: np.random.Generator) -> Proposal | None:
        """Return the candidate with the largest expected improvement; None if all are known."""
        parameters = self._parameters(knowledge)
        points, losses = _observe(knowledge, knowledge.scored)
        process = CurveProcess(points, losses, parameters)
        ends = _at_end(knowledge.coordinates, knowledge.rows)
        means, _ = process.predict(ends)
        if len(knowledge.pending):
            pending = _at_end(knowledge.coordinates, knowledge.pending, first=len(means))
            expected, _ = process.predict(pending)
            process = CurveProcess(
                _join(points, pending), np.concatenate([losses, expected]), parameters
            )
        best = float(means.min())

        def improvement(rows: Rows) -> Numbers:
            mean, variance = process.predict(_at_end(knowledge.coordinates, rows, first=-1))
            return log_expected_improvement(mean, np.sqrt(variance), best)

        good = knowledge.rows[np.argsort(means)[:BEST]]
        row = climb(knowledge, improvement, good, random)
        return None if row is None else Proposal(row, "gp")

    def _parameters(self, knowledge: Knowledge) -> Numbers:
        """Return the parameters fitted to the trials that there were at the last refit."""
        at, count = 2, len(knowledge.scored)
        while math.ceil(at * REFIT) <= count:
            at = math.ceil(at * REFIT)
        if self.fitted is None or self.fitted[0] != at:
            points, losses = _observe(knowledge, knowledge.scored[:at])
            prior = make_prior(int(points.groups.max()) + 1)
            short = prior.mean.copy()
            short[: int(points.groups.max()) + 1] -= 1
            starts = [prior.mean, short] if at < 60 else [prior.mean]
            self.fitted = at, fit(points, losses, starts, FIT_STEPS)
        return self.fitted[1]


def log_expected_improvement(mean: Numbers, deviation: Numbers, best: float) -> Numbers:
    """Return the logarithm of the expected improvement on the best loss (Ament et al. 2023)."""
    z = (best - mean) / deviation
    density = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    near = np.log(np.maximum(z * ndtr(z) + density, 1e-300))
    far = -0.5 * z**2 - 0.5 * math.log(2 * math.pi) - 2 * np.log(np.maximum(-z, 1))
    found: Numbers = np.where(z > -5, near, far) + np.log(deviation)
    return found


def _observe(knowledge: Knowledge, known: Sequence[KnownRow]) -> tuple[Points, Numbers]:
    """Return the points of some configs' curves, and their scaled losses."""
    thinned = [_thin(each.curve) for each in known]
    if sum(map(len, thinned)) > MOST_POINTS:
        thinned = [curve[-1:] for curve in thinned]
    trials = np.repeat(np.arange(len(known)), [len(curve) for curve in thinned])
    epochs = np.array([epoch for curve in thinned for epoch, _ in curve], dtype=float)
    losses = np.array([loss for curve in thinned for _, loss in curve])
    places, groups = _embed(knowledge.coordinates, knowledge.stack(known))
    times = np.log(epochs) / math.log(knowledge.max_epochs) if knowledge.max_epochs > 1 else epochs
    return Points(places[trials], groups, times, trials), scale(losses)


def _thin(curve: Curve) -> Curve:
    """Return a few epochs of a curve, evenly on a logarithmic scale, the last one included."""
    kept, last = [], 0.0
    for epoch, loss in curve:
        if epoch >= last * EPOCH_RATIO or epoch == curve[-1][0]:
            kept.append((epoch, loss))
            last = epoch
    return kept


def scale(losses: Numbers) -> Numbers:
    """Return losses with mean 0, variance 1 and a nearly normal distribution (Yeo-Johnson)."""
    upper = float(np.percentile(losses, UPPER_QUANTILE))
    pulled = np.minimum(losses, upper + 2 * (upper - float(np.median(losses))))
    spread = float(pulled.std())
    if spread < 1e-12 * max(1.0, float(np.abs(pulled).max())):
        return np.zeros_like(losses)
    even = (pulled - pulled.mean()) / spread
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warped, _ = yeojohnson(even)
    if not np.isfinite(warped).all() or warped.std() < 1e-6:
        return np.asarray(even)
    found: Numbers = (warped - warped.mean()) / warped.std()
    return found


def _at_end(coordinates: Coordinates, rows: Rows, first: int = 0) -> Points:
    """Return rows at the last epoch: of trials numbered from ``first``, or of none if it is -1."""
    places, groups = _embed(coordinates, rows)
    trials = np.full(len(rows), -1) if first < 0 else first + np.arange(len(rows))
    return Points(places, groups, np.ones(len(rows)), trials)


def _join(one: Points, other: Points) -> Points:
    return Points(
        np.concatenate([one.places, other.places]),
        one.groups,
        np.concatenate([one.times, other.times]),
        np.concatenate([one.trials, other.trials]),
    )


def _embed(coordinates: Coordinates, rows: Rows) -> tuple[Numbers, NDArray[np.intp]]:
    """Return rows as points of a Euclidean space, and which coordinates belong to which column.

    Options are corners at distance 1 of each other; what a config lacks lies in the middle.
    """
    parts: list[Numbers] = []
    groups: list[int] = []
    for place, column in enumerate(coordinates.columns):
        values = rows[:, place]
        lacks = np.isnan(values)
        if column.options and not column.is_ordered:
            corner = (values[:, None] == np.arange(column.options)) / math.sqrt(2)
            corner[lacks] = 1 / (column.options * math.sqrt(2))
            parts.append(corner)
        else:
            last = max(column.options - 1, 1) if column.options else 1
            parts.append(np.where(lacks, 0.5, values / last)[:, None])
        groups += [place] * parts[-1].shape[1]
    return np.concatenate(parts, axis=1), np.array(groups)


@dataclass(frozen=True)
class Belief:
    """What the process believes of losses at the last epoch, on its own scale.

    Attributes:
        best: the lowest loss that it predicts for a config that is known.
        mean: of the losses of some rows.
        covariance: of the same.
        noise: the variance between two trials of one config.
        lengths: of the columns; a short one matters much.
        ends: the scaled losses at which the known configs ended, by their losses.
    """

    best: float
    mean: Numbers
    covariance: Numbers
    noise: float
    lengths: Numbers
    ends: tuple[Numbers, Numbers]


def believe(model: CurveModel, knowledge: Knowledge, rows: Rows) -> Belief:
    """Return what a process that knows all curves believes of rows."""
    parameters = model._parameters(knowledge)
    points, losses = _observe(knowledge, knowledge.scored)
    process = CurveProcess(points, losses, parameters)
    known, _ = process.predict(_at_end(knowledge.coordinates, knowledge.rows))
    mean, covariance = process.predict_jointly(
        _at_end(knowledge.coordinates, rows, first=len(known))
    )
    last = [int(np.flatnonzero(points.trials == trial)[-1]) for trial in np.unique(points.trials)]
    ends = np.array([knowledge.scored[points.trials[place]].curve[-1][1] for place in last])
    return Belief(
        best=float(known.min()),
        mean=mean,
        covariance=covariance,
        noise=process.own + process.noise,
        lengths=np.exp(parameters[: len(knowledge.coordinates.columns)]),
        ends=(ends, losses[last]),
    )
