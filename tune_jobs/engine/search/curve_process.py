"""A Gaussian process over configs and epochs.

The loss of config x at epoch t is modelled as

    curve(t) + f(x, t) + own(trial) + noise

with Matern 5/2 kernels: what all curves share, what the config says, what a trial keeps over all of
its epochs, and what is different at each epoch. Lengths, variances and noise are those of the
largest posterior probability, under wide log-normal priors (Hvarfner et al. 2024: lengths that grow
with the number of hyperparameters).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, solve_triangular
from scipy.optimize import minimize

Numbers = NDArray[np.float64]

SQRT5 = math.sqrt(5)

# Keeps a covariance positive definite where two points are almost the same.
JITTER = 1e-6


@dataclass(frozen=True)
class Points:
    """Observed points, or those to be predicted.

    Attributes:
        places: n x p, Euclidean coordinates of configs.
        groups: p, the hyperparameter that each coordinate belongs to.
        times: n, the epoch between 0 and 1.
        trials: n, which points belong to one trial.
    """

    places: Numbers
    groups: NDArray[np.intp]
    times: Numbers
    trials: NDArray[np.intp]


@dataclass(frozen=True)
class Prior:
    """Normal priors of the logarithms of all parameters, and their bounds.

    The order: a length per hyperparameter, the length over epochs, the variances of f and of the
    common curve, the length of the latter, the variances of a trial and of the noise.
    """

    mean: Numbers
    deviation: Numbers
    bounds: tuple[tuple[float, float], ...]


def make_prior(hyperparameters: int) -> Prior:
    """Return the prior for a number of hyperparameters, of losses scaled to variance 1."""
    d = hyperparameters
    length = math.sqrt(2) + math.log(max(d, 1)) / 2 - 1
    return Prior(
        np.array([length] * d + [0.0, 0.0, -1.0, 0.0, -4.0, -5.0]),
        np.array([1.3] * d + [1.0, 1.0, 1.0, 0.7, 1.5, 1.5]),
        ((-3.5, 5.0),) * d
        + ((-2.0, 4.0), (-4.0, 4.0), (-6.0, 3.0), (-2.0, 3.0), (-10.0, 1.0), (-12.0, 1.0)),
    )


class CurveProcess:
    """A Gaussian process conditioned on losses.

    Args:
        points: observed.
        losses: at the points, scaled to about mean 0 and variance 1.
        parameters: logarithms, as in :class:`Prior`.
    """

    def __init__(self, points: Points, losses: Numbers, parameters: Numbers) -> None:
        self._points, self._d = points, len(parameters) - 6
        self._parameters = parameters
        self._lengths = np.exp(-parameters[: self._d])[points.groups]
        time, f, curve, curve_time, own, noise = parameters[self._d :]
        self._time, self._curve_time = math.exp(-2 * time), math.exp(-2 * curve_time)
        self._f, self._curve, self.own = math.exp(f), math.exp(curve), math.exp(own)
        self.noise = math.exp(noise)
        self._scaled = points.places * self._lengths
        covariance = self._covariance(points)
        covariance[np.diag_indices(len(losses))] += self.noise + JITTER
        self._lower = np.linalg.cholesky(covariance)
        self._weights = cho_solve((self._lower, True), losses)

    def predict(self, points: Points) -> tuple[Numbers, Numbers]:
        """Return mean and variance of the loss, without its noise."""
        covariance = self._covariance(points)
        mean: Numbers = covariance @ self._weights
        explained = solve_triangular(self._lower, covariance.T, lower=True)
        variance = self._f + self._curve + self.own - (explained**2).sum(axis=0)
        return mean, np.maximum(variance, 1e-10)

    def predict_jointly(self, points: Points) -> tuple[Numbers, Numbers]:
        """Return mean and covariance of the losses, without their noise."""
        covariance = self._covariance(points)
        explained = solve_triangular(self._lower, covariance.T, lower=True)
        prior = CurveProcess(points, np.zeros(len(points.times)), self._parameters)
        return covariance @ self._weights, prior._covariance(points) - explained.T @ explained

    def _covariance(self, points: Points) -> Numbers:
        """Return the covariance of points with the observed ones."""
        scaled = points.places * self._lengths
        squares = (scaled**2).sum(1)[:, None] + (self._scaled**2).sum(1)
        distance = np.maximum(squares - 2 * scaled @ self._scaled.T, 0)
        apart = (points.times[:, None] - self._points.times) ** 2
        found: Numbers = self._f * matern(distance + apart * self._time)[0]
        found += self._curve * matern(apart * self._curve_time)[0]
        found += self.own * (points.trials[:, None] == self._points.trials)
        return found


def fit(points: Points, losses: Numbers, starts: list[Numbers], steps: int) -> Numbers:
    """Return the parameters of the largest posterior probability, from several starts."""
    likelihood = _Likelihood(points, losses)
    bounds = likelihood.prior.bounds
    options = {"maxiter": steps}
    found = [
        minimize(likelihood, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
        for start in starts
    ]
    parameters: Numbers = min(found, key=lambda each: float(each.fun)).x
    return parameters


def matern(distance: Numbers) -> tuple[Numbers, Numbers]:
    """Return the Matern 5/2 kernel of squared distances, and -2 times its derivative to them."""
    root = np.sqrt(np.maximum(distance, 1e-16))
    decay = np.exp(-SQRT5 * root)
    return (1 + SQRT5 * root + 5 / 3 * distance) * decay, 5 / 3 * (1 + SQRT5 * root) * decay


class _Likelihood:
    """The negative log posterior of parameters, and its gradient."""

    def __init__(self, points: Points, losses: Numbers) -> None:
        self._losses, self._d = losses, int(points.groups.max()) + 1
        self.prior = make_prior(self._d)
        places = points.places
        parts = [places[:, points.groups == group] for group in range(self._d)]
        apart = [((part[:, None] - part[None]) ** 2).sum(2) for part in parts]
        self._times = (points.times[:, None] - points.times) ** 2
        self._apart = np.stack([*apart, self._times])
        self._same = (points.trials[:, None] == points.trials).astype(float)

    def __call__(self, parameters: Numbers) -> tuple[float, Numbers]:
        d, n = self._d, len(self._losses)
        weights = np.exp(-2 * parameters[: d + 1])
        kernel, slope = matern(np.tensordot(weights, self._apart, 1))
        stretch = math.exp(-2 * parameters[d + 3])
        common, common_slope = matern(self._times * stretch)
        f, curve, own, noise = np.exp(parameters[[d + 1, d + 2, d + 4, d + 5]])
        covariance = f * kernel + curve * common + own * self._same
        covariance[np.diag_indices(n)] += noise + JITTER
        try:
            lower = np.linalg.cholesky(covariance)
        except np.linalg.LinAlgError:
            return 1e10, np.zeros_like(parameters)
        inverse = cho_solve((lower, True), np.eye(n))
        solved = inverse @ self._losses
        outer = (inverse - np.outer(solved, solved)) / 2
        gradient = np.concatenate(
            [
                np.tensordot(self._apart, outer * f * slope, ([1, 2], [0, 1])) * weights,
                [
                    f * (outer * kernel).sum(),
                    curve * (outer * common).sum(),
                    curve * stretch * (outer * common_slope * self._times).sum(),
                    own * (outer * self._same).sum(),
                    noise * np.trace(outer),
                ],
            ]
        )
        away = (parameters - self.prior.mean) / self.prior.deviation
        value = self._losses @ solved / 2 + np.log(np.diag(lower)).sum() + away @ away / 2
        return float(value), gradient + away / self.prior.deviation
