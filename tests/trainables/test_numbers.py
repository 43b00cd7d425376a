"""Losses for numbers: robust ones, quantiles and counts."""

from types import SimpleNamespace

import numpy as np
import pytest

from trainables import tabular_mlp
from trainables.compilation import make_loss

CONFIG = {
    "task": "regression",
    "input_shape": [1],
    "outputs": 1,
    "rows": 400,
    "layers": [{"units": 8}],
    "optimizer": {"name": "adam", "learning_rate": 0.02},
    "batch_size": 50,
    "max_epochs": 25,
    "seed": 0,
    "metric": "val_loss",
    "mode": "min",
}


def data(make, unit=None):
    draw = np.random.default_rng(0)
    x = draw.uniform(-1, 1, (600, 1)).astype("float32")
    y = make(x[:, 0], draw)
    if unit:
        y = (y - unit["target_mean"]) / unit["target_scale"]
    y = y.astype("float32")
    return SimpleNamespace(
        x_train=x[:400], y_train=y[:400], x_validation=x[400:], y_validation=y[400:]
    )


def train(config, given):
    return tabular_mlp.train({**CONFIG, **config}, given)


def test_quantiles_have_as_many_rows_below_as_they_say():
    given = data(lambda x, draw: x + draw.exponential(size=len(x)))

    model = train({"quantiles": [0.1, 0.5, 0.9]}, given)

    outputs = model.predict(given.x_validation, verbose=0)
    below = (given.y_validation[:, None] < outputs).mean(axis=0)
    np.testing.assert_allclose(below, [0.1, 0.5, 0.9], atol=0.12)


def test_a_robust_loss_is_not_drawn_by_outliers():
    def make(x, draw):
        return x + np.where(draw.random(len(x)) < 0.1, 30, 0)

    given = data(make)
    errors = {}
    for loss in ("mean_squared_error", "mean_absolute_error"):
        outputs = train({"loss": loss}, given).predict(given.x_validation, verbose=0)
        errors[loss] = np.abs(outputs - given.x_validation).mean()

    assert errors["mean_absolute_error"] < 0.3 < 1.5 < errors["mean_squared_error"]


def test_a_count_is_predicted_in_its_own_unit_and_never_negative():
    unit = {"target_mean": 3.0, "target_scale": 2.0}
    given = data(lambda x, draw: draw.poisson(np.exp(1 + x)), unit)

    model = train({"loss": "poisson", **unit}, given)

    outputs = model.predict(given.x_validation, verbose=0)[:, 0]
    assert outputs.min() > 0
    expected = np.exp(1 + given.x_validation[:, 0])
    assert np.corrcoef(outputs, expected)[0, 1] > 0.97
    assert outputs.mean() == pytest.approx(expected.mean(), rel=0.15)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"quantiles": [0.1, 1]}, "each must be between 0 and 1"),
        ({"quantiles": [0.5], "task": "binary"}, "quantiles need one number to predict"),
        ({"quantiles": [0.5], "outputs": 2}, "quantiles need one number to predict"),
    ],
)
def test_wrong_quantiles_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        make_loss({**CONFIG, **config})
