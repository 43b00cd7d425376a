"""A Gaussian process over configs and epochs.

The loss of config x at epoch t is modelled as

    curve(t) + f(x, t) + own(trial) + start(trial) (1 - t) + noise

with Matern 5/2 kernels: what all curves share, what the config says, what a trial keeps over all
of its epochs, what it loses of its start until the end, and what is different at each epoch. Times
are logarithms of epochs, 0 for the first and 1 for the last. Lengths, variances and noise are those
of the largest posterior probability, under wide log-normal priors (Hvarfner et al. 2024: lengths
that grow with the number of hyperparameters).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, solve_triangular
from scipy.optimize import minimize

Numbers = NDArray[np.float64]

SQRT5 = math.sqrt(5)

# The variance that is added to keep a covariance positive definite.
LEAST_JITTER = 1e-6

LEAST_VARIANCE = 1e-10

# The parameters beyond the lengths.
OTHERS = 7


@dataclass(frozen=True)
class Points:
    """Observed points, or those to be predicted.

    Attributes:
        places: n x p, Euclidean coordinates of configs.
        groups: p, the hyperparameter that each coordinate belongs to.
        times: n, the epoch between 0 and 1.
        trials: n, which points belong to one trial; -1 for what a config's trials have in common.
    """

    places: Numbers
    groups: NDArray[np.intp]
    times: Numbers
    trials: NDArray[np.intp]


@dataclass(frozen=True)
class Prior:
    """Normal priors of the logarithms of all parameters, and their bounds.

    The order: a length per group of coordinates, the length over epochs, the variances of f and of
    the common curve, the length of the latter, the variances of a trial, of its start and of the
    noise.
    """

    mean: Numbers
    deviation: Numbers
    bounds: tuple[tuple[float, float], ...]


def make_prior(groups: int) -> Prior:
    """Return the prior for a number of groups of coordinates, of losses scaled to variance 1."""
    length = math.sqrt(2) + math.log(max(groups, 1)) / 2 - 1
    return Prior(
        np.array([length] * groups + [0.0, 0.0, -1.0, 0.0, -4.0, -2.0, -5.0]),
        np.array([1.3] * groups + [1.0, 1.0, 1.0, 0.7, 1.5, 1.5, 1.5]),
        ((-3.5, 5.0),) * groups
        + ((-2.0, 4.0), (-4.0, 4.0), (-6.0, 3.0), (-2.0, 3.0))
        + ((-10.0, 1.0), (-10.0, 1.0), (-12.0, 1.0)),
    )


class CurveProcess:
    """A Gaussian process conditioned on losses.

    Args:
        points: observed.
        losses: at the points, scaled to about mean 0 and variance 1.
        parameters: logarithms, as in :class:`Prior`.
    """

    def __init__(self, points: Points, losses: Numbers, parameters: Numbers) -> None:
        self._points, groups = points, len(parameters) - OTHERS
        self._lengths = np.exp(-parameters[:groups])[points.groups]
        time, f, curve, curve_time, own, start, noise = parameters[groups:]
        self._time, self._curve_time = math.exp(-2 * time), math.exp(-2 * curve_time)
        self._f, self._curve, self._start = math.exp(f), math.exp(curve), math.exp(start)
        self.own, self.noise = math.exp(own), math.exp(noise)
        covariance = self._covariance(points, points)
        covariance[np.diag_indices(len(losses))] += self.noise
        self._lower = factorise(covariance)
        self._weights = cho_solve((self._lower, True), losses)

    @property
    def signal(self) -> float:
        """The share of the variance of a config's losses that follows from the config."""
        return self._f / (self._f + self.own + self.noise)

    def predict(self, points: Points) -> tuple[Numbers, Numbers]:
        """Return mean and variance of the loss, without its noise."""
        covariance = self._covariance(points, self._points)
        mean: Numbers = covariance @ self._weights
        explained = solve_triangular(self._lower, covariance.T, lower=True)
        variance = self._variance(points) - (explained**2).sum(axis=0)
        return mean, np.maximum(variance, LEAST_VARIANCE)

    def predict_from(self, points: Points, known: NDArray[np.intp]) -> tuple[Numbers, Numbers]:
        """Return mean and variance of the loss, each by the first observed points alone.

        The factor of those is the upper left of the factor of all.

        Args:
            points: to predict.
            known: for each, how many of the observed points are known.
        """
        covariance = self._covariance(points, self._points)
        explained = solve_triangular(self._lower, covariance.T, lower=True)
        explained[np.arange(len(explained))[:, None] >= known] = 0
        mean: Numbers = (self._lower.T @ self._weights) @ explained
        variance = self._variance(points) - (explained**2).sum(axis=0)
        return mean, np.maximum(variance, LEAST_VARIANCE)

    def predict_jointly(self, points: Points) -> tuple[Numbers, Numbers]:
        """Return mean and covariance of the losses, without their noise."""
        covariance = self._covariance(points, self._points)
        explained = solve_triangular(self._lower, covariance.T, lower=True)
        prior = self._covariance(points, points)
        return covariance @ self._weights, prior - explained.T @ explained

    def _variance(self, points: Points) -> Numbers:
        """Return the variance of losses before anything is known."""
        own = self.own + self._start * (1 - points.times) ** 2
        return np.asarray(self._f + self._curve + (points.trials >= 0) * own)

    def distances(self, places: Numbers, others: Numbers) -> Numbers:
        """Return the distances of places from others, in lengths of the process."""
        return np.sqrt(self._squared_distances(places, others))

    def _squared_distances(self, places: Numbers, others: Numbers) -> Numbers:
        scaled, other = places * self._lengths, others * self._lengths
        squares = (scaled**2).sum(1)[:, None] + (other**2).sum(1)
        return np.asarray(np.maximum(squares - 2 * scaled @ other.T, 0))

    def _covariance(self, points: Points, others: Points) -> Numbers:
        distance = self._squared_distances(points.places, others.places)
        apart = (points.times[:, None] - others.times) ** 2
        found: Numbers = self._f * matern(distance + apart * self._time)[0]
        found += self._curve * matern(apart * self._curve_time)[0]
        fading = self._start * (1 - points.times)[:, None] * (1 - others.times)
        same = (points.trials[:, None] == others.trials) & (others.trials >= 0)
        found += (self.own + fading) * same
        return found


def fit(points: Points, losses: Numbers, starts: Sequence[Numbers], steps: int) -> Numbers:
    """Return the parameters of the largest posterior probability, from several starts."""
    posterior = Posterior(points, losses)
    bounds, options = posterior.prior.bounds, {"maxiter": steps}
    found = [
        minimize(posterior, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
        for start in starts
    ]
    parameters: Numbers = min(found, key=lambda each: float(each.fun)).x
    return parameters


def factorise(covariance: Numbers) -> Numbers:
    """Return the lower Cholesky factor, of a matrix with as much jitter as that needs."""
    jitter = LEAST_JITTER
    while True:
        try:
            lower = np.linalg.cholesky(covariance + jitter * np.eye(len(covariance)))
        except np.linalg.LinAlgError:
            jitter *= 10
        else:
            return np.asarray(lower)


def matern(distance: Numbers) -> tuple[Numbers, Numbers]:
    """Return the Matern 5/2 kernel of squared distances, and -2 times its derivative to them."""
    root = SQRT5 * np.sqrt(distance)
    decay = np.exp(-root)
    slope = (1 + root) * decay
    return slope + 5 / 3 * distance * decay, 5 / 3 * slope


class Posterior:
    """The negative log posterior probability of parameters, with its gradient.

    Args:
        points: observed.
        losses: at the points, scaled to about mean 0 and variance 1.
    """

    def __init__(self, points: Points, losses: Numbers) -> None:
        self._losses = losses
        self._groups = int(points.groups.max()) + 1 if len(points.groups) else 0
        self.prior = make_prior(self._groups)
        parts = [points.places[:, points.groups == group] for group in range(self._groups)]
        apart = [((part[:, None] - part[None]) ** 2).sum(2) for part in parts]
        self._times = (points.times[:, None] - points.times) ** 2
        self._apart = np.stack([*apart, self._times])
        self._same = (points.trials[:, None] == points.trials).astype(float)
        self._fading = self._same * (1 - points.times)[:, None] * (1 - points.times)

    def __call__(self, parameters: Numbers) -> tuple[float, Numbers]:
        """Return value and gradient."""
        groups, n = self._groups, len(self._losses)
        weights = np.exp(-2 * parameters[: groups + 1])
        kernel, slope = matern(np.tensordot(weights, self._apart, 1))
        stretch = math.exp(-2 * parameters[groups + 3])
        common, common_slope = matern(self._times * stretch)
        f, curve, _, own, start, noise = np.exp(parameters[groups + 1 :])
        covariance = f * kernel + curve * common + own * self._same + start * self._fading
        covariance[np.diag_indices(n)] += noise
        lower = factorise(covariance)
        inverse = cho_solve((lower, True), np.eye(n))
        solved = inverse @ self._losses
        outer = (inverse - np.outer(solved, solved)) / 2
        gradient = np.concatenate(
            [
                self._apart.reshape(groups + 1, -1) @ (outer * f * slope).ravel() * weights,
                [
                    f * np.vdot(outer, kernel),
                    curve * np.vdot(outer, common),
                    curve * stretch * np.vdot(outer, common_slope * self._times),
                    own * np.vdot(outer, self._same),
                    start * np.vdot(outer, self._fading),
                    noise * np.trace(outer),
                ],
            ]
        )
        away = (parameters - self.prior.mean) / self.prior.deviation
        value = self._losses @ solved / 2 + np.log(np.diag(lower)).sum() + away @ away / 2
        return float(value), gradient + away / self.prior.deviation
