"""A process that expected too much of a search is believed less."""

import numpy as np
import pytest

from tune_jobs.engine.search.gaussian.curve_process import CurveProcess, Points, make_prior
from tune_jobs.engine.search.gaussian.hindsight import share_that_came

PARAMETERS = make_prior(2).mean + np.array([-1.5, -1.5, *[0] * 7])  # hills of a tenth of a range


def points_of(places: np.ndarray, times: tuple[float, ...] = (1.0,)) -> Points:
    """The same epochs of trials at places of two coordinates."""
    count = len(times)
    trials = np.repeat(np.arange(len(places)), count)
    return Points(places[trials], np.array([0, 1]), np.tile(times, len(places)), trials)


def share(losses: np.ndarray, has_ended: bool = True, seed: int = 0) -> float:
    points = points_of(np.random.default_rng(seed).random((len(losses), 2)))
    process = CurveProcess(points, losses, PARAMETERS)
    return share_that_came(process, points, losses, points, np.full(len(losses), has_ended))


def test_a_prediction_from_the_first_points_is_that_of_a_process_that_knows_no_others() -> None:
    random = np.random.default_rng(0)
    points, asked = (
        points_of(random.random((5, 2)), (0.0, 0.5, 1.0)),
        points_of(random.random((3, 2))),
    )
    losses, known = random.normal(size=15), np.array([0, 6, 15])

    mean, variance = CurveProcess(points, losses, PARAMETERS).predict_from(asked, known)

    for place, count in enumerate(known[1:], 1):
        first = Points(
            points.places[:count], points.groups, points.times[:count], points.trials[:count]
        )
        one = points_of(asked.places[[place]])
        expected = CurveProcess(first, losses[:count], PARAMETERS).predict(
            Points(one.places, one.groups, one.times, asked.trials[[place]])
        )
        np.testing.assert_allclose([mean[place], variance[place]], np.ravel(expected), rtol=1e-6)
    assert mean[0] == 0


def test_of_losses_that_the_process_draws_itself_most_improvements_come() -> None:
    shares = []
    for seed in range(60):
        random = np.random.default_rng(seed)
        points = points_of(np.random.default_rng(0).random((30, 2)))
        blank = CurveProcess(points_of(np.full((1, 2), 1e6)), np.zeros(1), PARAMETERS)
        _, covariance = blank.predict_jointly(points)
        noise = np.exp(PARAMETERS[-1])
        shares.append(
            share(random.multivariate_normal(np.zeros(30), covariance + noise * np.eye(30)))
        )
    assert np.mean(shares) > 0.6


def test_little_is_expected_where_nothing_came_for_long() -> None:
    random = np.random.default_rng(0)
    losses = np.concatenate([[-0.1], np.abs(random.normal(size=39))])  # none is below the first

    assert share(losses) < 0.5


def test_trials_that_run_are_no_evidence() -> None:
    losses = np.concatenate([[-0.1], np.ones(39)])

    assert share(losses, has_ended=False) == 1


@pytest.mark.parametrize("losses", [np.zeros(20), np.linspace(1, -1, 20), np.array([0.0])])
def test_a_share_is_at_most_one(losses) -> None:
    assert 0 < share(losses) <= 1
