"""The checks that scikit-learn has for estimators."""

import tempfile
from typing import Any

from ray import tune
from sklearn.utils.estimator_checks import parametrize_with_checks

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


@parametrize_with_checks([make_search("classification"), make_search("regression")])
def test_the_checks_of_scikit_learn(estimator: Any, check: Any) -> None:
    check(estimator)
