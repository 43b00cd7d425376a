"""The rows of finalists, cut from the training and the validation set of a search."""

import numpy as np
import pytest

from tune_jobs.engine.data.dataset import Replica, TrainingData
from tune_jobs.engine.finals.rounds import join_rows, select

X, Y = np.random.default_rng(0).normal(size=(10, 3)).astype("float32"), np.arange(10)
APART, TOGETHER = TrainingData(X[:6], Y[:6], X[6:], Y[6:]), TrainingData(X, Y, X, Y)
PARTS = ("x_train", "y_train", "x_validation", "y_validation")


@pytest.mark.parametrize("rows", [[0, 9, 5, 6, 2], [6, 7], [3, 1], []])
@pytest.mark.parametrize("data", [APART, TOGETHER], ids=["apart", "together"])
def test_rows_of_the_validation_set_count_on_from_those_of_the_training_set(data, rows) -> None:
    held = np.setdiff1d(Y, rows)

    found = select(data, Replica(1, np.array(rows, int), held))

    assert found.y_train.tolist() == rows
    assert found.y_validation.tolist() == held.tolist()
    assert np.array_equal(found.x_train, X[rows])
    assert np.array_equal(found.x_validation, X[held])
    assert {getattr(found, part).dtype for part in PARTS[::2]} == {X.dtype}


@pytest.mark.parametrize("data", [APART, TOGETHER], ids=["apart", "together"])
def test_all_rows_are_joined_and_a_few_stand_in_for_validation_rows(data) -> None:
    found = join_rows(data, 10, few=4)

    assert np.array_equal(found.x_train, X)
    assert np.array_equal(found.x_validation, X[:4])
    assert (found.y_train.tolist(), found.y_validation.tolist()) == ([*range(10)], [0, 1, 2, 3])
    assert (found.x_train is data.x_train) == (data is TOGETHER)
