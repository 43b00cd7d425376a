"""``class_weight`` in a config."""

import re
from types import SimpleNamespace

import numpy as np
import pytest

from trainables.fitting.task import make_task


def data(targets):
    y = np.asarray(targets, "float32")
    return SimpleNamespace(x_train=y[:, None], y_train=y, x_validation=None, y_validation=None)


def test_balanced_classes_have_the_same_total_weight():
    task = make_task({"class_weight": "balanced"}, data([0] * 8 + [1] * 2))

    np.testing.assert_allclose(task.weights, [10 / 16] * 8 + [10 / 4] * 2)
    assert make_task({"class_weight": "none"}, data([0, 1])).weights is None
    assert make_task({}, data([0, 1])).weights is None


def test_weights_of_rows_and_of_classes_are_multiplied():
    given = data([0, 0, 0, 1])
    given.weights_train = np.array([1, 2, 3, 4], "float32")

    task = make_task({"class_weight": "balanced"}, given)

    np.testing.assert_allclose(task.weights, [2 / 3, 4 / 3, 2, 8], rtol=1e-6)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"class_weight": "even"}, "class_weight is 'even', but must be one of"),
        ({"class_weight": "balanced", "task": "regression"}, "needs a target of classes"),
    ],
)
def test_a_wrong_class_weight_is_refused(config, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make_task(config, data([0, 1]))
