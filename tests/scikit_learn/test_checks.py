"""The checks that scikit-learn has for estimators."""

import tempfile
from collections.abc import Iterator
from typing import Any

import pytest
from ray import tune
from sklearn.utils.estimator_checks import estimator_checks_generator

from tests.scikit_learn.builds import build
from tune_jobs.engine import Profile
from tune_jobs.sklearn import SearchCV

STORAGE = tempfile.TemporaryDirectory()  # removed when the tests end


def make_search(task: Any) -> SearchCV:
    return SearchCV(
        build,
        {"units": tune.choice([8])},
        n_iter=1,
        cv=2,
        epochs=20,
        task=task,
        profile=Profile(storage=STORAGE.name),
    )


def list_checks() -> Iterator[Any]:
    """Yield each check, named alike in every process that runs tests."""
    for task in ("classification", "regression"):
        checks = estimator_checks_generator(make_search(task))
        for number, (estimator, check) in enumerate(checks):
            yield pytest.param(estimator, check, id=f"{task}-{number}-{check.func.__name__}")


@pytest.mark.parametrize(("estimator", "check"), [*list_checks()])
def test_the_checks_of_scikit_learn(estimator: Any, check: Any) -> None:
    check(estimator)
