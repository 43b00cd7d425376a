"""Arrays that a recipe returns, which the trainable gets as they are."""

from types import SimpleNamespace

import numpy as np
import pytest
from ray import tune

from tune_jobs.engine import Evaluation, Job, JobError

X, Y = np.zeros((8, 3, 2)), np.arange(8.0)
SETS = {"x_train": X, "y_train": Y, "x_validation": X[:4], "y_validation": Y[:4]}


def make_job(returned: object, **changes) -> Job:
    return Job(print, {"x": tune.uniform(0, 1)}, data=lambda _: returned, **changes)


@pytest.mark.parametrize("returned", [SETS, tuple(SETS.values()), SimpleNamespace(**SETS)])
def test_four_sets_of_any_form_are_attributes_of_the_data(returned) -> None:
    data = make_job(returned).load_data()

    assert all(getattr(data.training, name) is array for name, array in SETS.items())
    assert str(data) == (
        "x_train (8, 3, 2), y_train (8,), x_validation (4, 3, 2), y_validation (4,)"
    )


@pytest.mark.parametrize("returned", [None, X, (X, Y), {"x_train": X, "y_train": Y}])
def test_anything_else_is_named_with_what_is_taken(returned) -> None:
    with pytest.raises(JobError) as caught:
        make_job(returned).load_data()

    assert str(caught.value) == (
        f"data(seed) returned a {type(returned).__name__}, but must return a Dataset, as "
        "table(...) and images(...) do, or x_train, y_train, x_validation and y_validation: as "
        "attributes, as a dict or as a tuple of four"
    )


def test_folds_of_arrays_of_ones_own_are_refused() -> None:
    with pytest.raises(JobError, match=r"Evaluation\(.*\) does not apply to arrays of one's"):
        make_job(SETS, evaluation=Evaluation(folds=3)).load_data()


def test_the_fingerprint_follows_every_array() -> None:
    parts = {"a": X, "b": [Y, Y]}
    same = make_job(SETS | {"x_train": parts}).load_data().fingerprint
    other = make_job(SETS | {"x_train": parts | {"b": [Y, Y + 1]}}).load_data().fingerprint

    assert same == make_job(SETS | {"x_train": parts}).load_data().fingerprint
    assert same != other
    assert make_job(SETS | {"x_train": object()}).load_data().fingerprint is None


def test_the_first_rows_are_cut_from_dicts_and_lists_too() -> None:
    data = make_job(SETS | {"x_train": {"a": X, "b": [Y]}}).load_data().cut(3, 2)

    assert str(data) == (
        "x_train {a: (3, 3, 2), b: [(3,)]}, y_train (3,), x_validation (2, 3, 2), y_validation (2,)"
    )
