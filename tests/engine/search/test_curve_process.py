"""The Gaussian process over configs and epochs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import approx_fprime

from tune_jobs.engine.search.gaussian.curve_process import (
    CurveProcess,
    Points,
    Posterior,
    factorise,
    fit,
    make_prior,
    matern,
)


def draw_points(seed: int, configs: int = 6, groups: int = 2) -> Points:
    """Three epochs of each config, in as many coordinates as there are groups, and one more."""
    random = np.random.default_rng(seed)
    trials = np.repeat(np.arange(configs), 3)
    places = random.random((configs, groups + 1))[trials]
    return Points(places, np.array([*range(groups), 0]), np.tile([0.0, 0.4, 1.0], configs), trials)


def covariance_of(one: Points, i: int, other: Points, j: int, parameters: np.ndarray) -> float:
    """The covariance of two losses, as the module's docstring defines it."""
    lengths = np.exp(parameters[:-7])[one.groups]
    time, f, curve, curve_time, own, start, _ = parameters[-7:]
    apart = abs(one.times[i] - other.times[j])
    distance = (((one.places[i] - other.places[j]) / lengths) ** 2).sum()
    along = (apart / np.exp(time)) ** 2
    same = one.trials[i] == other.trials[j]
    fading = np.exp(start) * (1 - one.times[i]) * (1 - other.times[j])
    return (
        np.exp(f) * matern_52(np.sqrt(distance + along))
        + np.exp(curve) * matern_52(apart / np.exp(curve_time))
        + (np.exp(own) + fading) * same
    )


def matern_52(distance: float) -> float:
    root = np.sqrt(5) * distance
    return (1 + root + root**2 / 3) * np.exp(-root)


def matrix_of(one: Points, other: Points, parameters: np.ndarray) -> np.ndarray:
    return np.array(
        [
            [covariance_of(one, i, other, j, parameters) for j in range(len(other.times))]
            for i in range(len(one.times))
        ]
    )


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.lists(st.floats(-1.5, 1.5), min_size=9, max_size=9))
def test_the_prediction_is_the_formula_of_the_textbook(seed: int, moves: list[float]) -> None:
    points, asked = draw_points(seed), draw_points(seed + 1, configs=2)
    losses = np.random.default_rng(seed).normal(size=len(points.times))
    parameters = make_prior(2).mean + np.array(moves)

    mean, variance = CurveProcess(points, losses, parameters).predict(asked)

    noise = np.exp(parameters[-1]) * np.eye(len(losses))
    inverse = np.linalg.inv(matrix_of(points, points, parameters) + noise)
    across = matrix_of(asked, points, parameters)
    np.testing.assert_allclose(mean, across @ inverse @ losses, atol=0.02)
    explained = np.diag(across @ inverse @ across.T)
    expected = np.diag(matrix_of(asked, asked, parameters)) - explained
    np.testing.assert_allclose(variance, expected, atol=0.02)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.lists(st.floats(-1, 1), min_size=9, max_size=9))
def test_the_gradient_is_that_of_the_posterior(seed: int, moves: list[float]) -> None:
    points = draw_points(seed)
    losses = np.random.default_rng(seed).normal(size=len(points.times))
    posterior = Posterior(points, losses)
    parameters = posterior.prior.mean + np.array(moves)

    _, gradient = posterior(parameters)

    numeric = approx_fprime(parameters, lambda at: posterior(at)[0], 1e-6)
    np.testing.assert_allclose(gradient, numeric, rtol=1e-2, atol=1e-2)


def test_a_fit_finds_which_hyperparameter_matters() -> None:
    random = np.random.default_rng(0)
    places = random.random((40, 2))
    points = Points(places, np.array([0, 1]), np.ones(40), np.arange(40))
    losses = np.sin(6 * places[:, 0])

    parameters = fit(points, losses - losses.mean(), [make_prior(2).mean], steps=60)

    assert parameters[0] < parameters[1] - 1  # the length of the first is much shorter


def test_a_trial_that_started_badly_by_chance_is_not_behind_at_the_end() -> None:
    trials = np.repeat(np.arange(12), 3)
    start = np.random.default_rng(0).normal(size=12)
    times = np.tile([0.0, 0.5, 1.0], 12)
    places = np.linspace(0, 1, 12)[trials][:, None]
    points = Points(places, np.array([0]), times, trials)
    losses = start[trials] * (1 - times)
    parameters = fit(points, losses, [make_prior(1).mean], steps=60)
    asked = Points(np.full((1, 1), 0.5), np.array([0]), np.ones(1), np.array([99]))
    seen = Points(
        np.vstack([places, [[0.5]]]), points.groups, np.append(times, 0), np.append(trials, 99)
    )

    mean, _ = CurveProcess(seen, np.append(losses, 3.0), parameters).predict(asked)

    assert abs(mean[0]) < 0.5


def test_points_that_are_the_same_are_no_obstacle() -> None:
    points = Points(np.zeros((5, 1)), np.array([0]), np.ones(5), np.zeros(5, dtype=int))
    bounds = np.array(make_prior(1).bounds)
    parameters = np.append(bounds[:-1, 1], bounds[-1, 0])  # large variances, the least noise

    mean, variance = CurveProcess(points, np.ones(5), parameters).predict(points)

    assert np.isfinite(mean).all()
    assert (variance > 0).all()


def test_a_matrix_that_is_not_positive_definite_gets_more_jitter() -> None:
    matrix = np.array([[1.0, 1.01], [1.01, 1.0]])

    lower = factorise(matrix)

    np.testing.assert_allclose(lower @ lower.T, matrix, atol=0.1)


def test_the_kernel_is_one_at_distance_zero_and_falls() -> None:
    values, _ = matern(np.array([0.0, 0.1, 1.0, 10.0]))

    assert values[0] == pytest.approx(1)
    assert (np.diff(values) < 0).all()
