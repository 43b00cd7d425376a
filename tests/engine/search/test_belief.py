"""What the Gaussian process believes of configs, beyond the one that it chooses."""

import numpy as np
from ray import tune

from tests.engine.search.simulated import History, good
from tune_jobs.engine import GaussianProcess
from tune_jobs.engine.search.gaussian.curve_model import CurveModel, believe
from tune_jobs.engine.search.gaussian.curve_process import CurveProcess, Points, make_prior

SPACE = {"matters": tune.uniform(0, 1), "choice": tune.choice([0.2, 0.9])}


def points_at(places, trials) -> Points:
    places = np.array(places, dtype=float)[:, None]
    return Points(places, np.array([0]), np.ones(len(places)), np.array(trials))


def test_a_joint_prediction_agrees_with_that_of_each_point() -> None:
    process = CurveProcess(
        points_at([0.1, 0.5, 0.8], [0, 1, 2]), np.array([1.0, -0.5, 0.3]), make_prior(1).mean
    )
    asked = points_at([0.2, 0.21, 0.9], [3, 4, 5])

    mean, covariance = process.predict_jointly(asked)

    each = process.predict(asked)
    np.testing.assert_allclose(mean, each[0])
    np.testing.assert_allclose(np.diag(covariance), each[1])
    correlation = covariance / np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    assert correlation[0, 1] > correlation[0, 2]
    assert (np.linalg.eigvalsh(covariance) > -1e-9).all()


def test_a_belief_is_about_the_ends_of_the_known_curves() -> None:
    history = History(lambda: GaussianProcess(n_initial_points=4)(1), SPACE, good, stops=True)
    history.run(14)
    knowledge = history.searcher().knowledge
    rows = knowledge.coordinates.draw(50, np.random.default_rng(0))

    belief = believe(CurveModel(), knowledge, rows)

    losses, scaled = belief.ends
    assert sorted(losses) == sorted(known.curve[-1][1] for known in knowledge.known)
    assert (np.argsort(losses, kind="stable") == np.argsort(scaled, kind="stable")).all()
    assert len(belief.mean) == 50 == len(belief.covariance)
    assert len(belief.lengths) == 2
