"""A search over tiny models, run once for all tests that look at its results."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ray import tune
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import StandardScaler

from tests.scikit_learn.builds import build
from tune_jobs.engine import Profile
from tune_jobs.engine.cluster.kept import end_kept
from tune_jobs.sklearn import SearchCV


@pytest.fixture(scope="package", autouse=True)
def warm_workers() -> Iterator[None]:
    """End the workers of these tests before those of others begin."""
    yield
    end_kept()


@pytest.fixture(scope="session")
def rows() -> tuple[Any, Any]:
    x, y = load_breast_cancer(return_X_y=True)
    return StandardScaler().fit_transform(x)[:200], y[:200]


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("searches")


@pytest.fixture(scope="session")
def searched(rows: tuple[Any, Any], storage: Path) -> SearchCV:
    """A search with two scorers, one of which looks at the features."""
    search = SearchCV(
        build,
        {"units": tune.choice([4, 8, 16])},
        n_iter=3,
        cv=3,
        epochs=4,
        scoring={"ap": "average_precision", "seen": first_feature_and_precision},
        refit="ap",
        random_state=0,
        profile=Profile(storage=str(storage)),
    )
    return search.fit(*rows)


@pytest.fixture
def small(storage: Path) -> SearchCV:
    """A search of one config, to be changed by a test."""
    return SearchCV(
        build,
        {"units": tune.choice([8])},
        n_iter=1,
        cv=2,
        epochs=3,
        random_state=0,
        profile=Profile(storage=str(storage)),
    )


def first_feature_and_precision(estimator: Any, x: Any, y: Any) -> float:
    from sklearn.metrics import average_precision_score

    return float(x[:, 0].sum() + average_precision_score(y, estimator.predict_proba(x)[:, 1]))
