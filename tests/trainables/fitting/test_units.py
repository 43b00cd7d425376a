"""A number to predict is standardised for training, and every error is reported in its unit."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest

from trainables.export import export, load, predict, read_outputs
from trainables.fitting import fit

PATHS = pytest.mark.parametrize("path", ["compiled", "model.fit"])
MEAN, SCALE = 100_000.0, 40_000.0
UNIT = {"task": "regression", "outputs": 1, "target_mean": MEAN, "target_scale": SCALE}
TARGET = {"name": "price", "task": "regression", "mean": MEAN, "scale": SCALE}


def make_rows(rows=400):
    random = np.random.default_rng(0)
    x = random.normal(size=(rows, 2)).astype("float32")
    return x, MEAN + SCALE * (0.8 * x[:, 0] + 0.6 * x[:, 1] + random.normal(0, 0.1, rows))


def make_data(x, y, unit=UNIT, scorers=()):
    y = ((y - unit.get("target_mean", 0.0)) / unit.get("target_scale", 1.0)).astype("float32")
    half = len(x) // 2
    parts = {"x_train": x[:half], "y_train": y[:half], "x_validation": x[half:]}
    return SimpleNamespace(**parts, y_validation=y[half:], scorers=dict(scorers))


def own_error(truth, outputs):
    return keras.ops.mean(keras.ops.abs(keras.ops.reshape(truth, (-1,)) - outputs[:, 0]))


def ending(activation=None, loss="mean_squared_error", metrics=(), rate=0.05):
    def build(_):
        inputs = keras.Input((2,))
        hidden = keras.layers.Dense(8, activation="relu")(inputs)
        model = keras.Model(inputs, keras.layers.Dense(1, activation=activation)(hidden))
        model.compile(keras.optimizers.Adam(rate), loss=loss, metrics=list(metrics))
        return model

    return build


@pytest.fixture
def fit_on(monkeypatch):
    def fit_on_path(path, build, config, data):
        with monkeypatch.context() as patch:
            if path == "model.fit":
                patch.setattr(
                    "trainables.fitting.compiled.eligibility.why_not", lambda *_: "a test"
                )
            return fit(build, {"seed": 1, "batch_size": 32, "max_epochs": 20, **config}, data)

    return fit_on_path


@PATHS
def test_metrics_are_in_the_unit_of_the_target_and_the_loss_is_that_of_training(
    path, fit_on
) -> None:
    x, y = make_rows()
    measures = [
        "mean_absolute_error",
        "mape",
        keras.metrics.RootMeanSquaredError("rmse"),
        own_error,
    ]
    build = ending(metrics=measures)
    model = fit_on(path, build, UNIT, make_data(x, y))
    history = model.history.history
    best = int(np.argmin(history["val_loss"]))
    half = len(x) // 2
    predicted = MEAN + SCALE * model.predict(x[half:], verbose=0)[:, 0]
    error = predicted - y[half:]

    expected = {
        "loss": np.mean((error / SCALE) ** 2),
        "mean_absolute_error": np.mean(np.abs(error)),
        "rmse": np.sqrt(np.mean(error**2)),
        "mape": 100 * np.mean(np.abs(error / y[half:])),
        "own_error": np.mean(np.abs(error)),
    }
    found = {name: history[f"val_{name}"][best] for name in expected}
    assert found == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("kind", ["sequential", "subclassed"])
def test_a_model_without_an_input_layer_reports_in_the_unit_too(kind, fit_on) -> None:
    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(1)

        def call(self, x):
            return self.dense(x)

    def build(_):
        sequential = keras.Sequential([keras.layers.Dense(1)])
        model = sequential if kind == "sequential" else Subclassed()
        model.compile(keras.optimizers.Adam(0.05), "mse", metrics=["mean_absolute_error"])
        return model

    x, y = make_rows()
    config = UNIT | {"input_shape": [2], "max_epochs": 2}
    model = fit_on("compiled", build, config, make_data(x, y))
    best = int(np.argmin(model.history.history["val_loss"]))
    predicted = MEAN + SCALE * model.predict(x[200:], verbose=0)[:, 0]

    error = np.mean(np.abs(predicted - y[200:]))
    assert model.history.history["val_mean_absolute_error"][best] == pytest.approx(error, rel=1e-3)


@PATHS
def test_without_a_unit_nothing_is_converted(path, fit_on) -> None:
    x, y = make_rows()
    build = ending(metrics=["mean_absolute_error"])
    bare = {"task": "regression", "outputs": 1}
    history = fit_on(path, build, bare, make_data(x, y)).history.history

    assert history["val_mean_absolute_error"][-1] < 1


@PATHS
def test_a_percentage_is_that_of_the_target_and_not_of_its_distance_from_the_mean(
    path, fit_on, tmp_path
) -> None:
    x, y = make_rows()
    loss = "mean_absolute_percentage_error"
    build = ending(loss=loss, metrics=[loss])
    model = fit_on(path, build, UNIT, make_data(x, y))
    export(lambda _: model, UNIT, None, {"columns": None, "target": TARGET}, tmp_path / "m.keras")
    half = len(x) // 2
    predicted = predict(load(tmp_path / "m.keras"), x[half:])[:, 0]
    expected = 100 * np.mean(np.abs(predicted / y[half:] - 1))

    assert expected < 20
    assert min(model.history.history["val_loss"]) == pytest.approx(expected, rel=1e-3)
    assert min(model.history.history[f"val_{loss}"]) == pytest.approx(expected, rel=1e-3)


@PATHS
@pytest.mark.parametrize("loss", ["poisson", "mean_squared_error"])
def test_what_is_never_negative_is_trained_and_exported_in_the_unit_of_the_target(
    loss, path, fit_on, tmp_path
) -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(800, 2)).astype("float32")
    y = random.poisson(np.exp(1 + 0.8 * x[:, 0])).astype("float64")
    unit = UNIT | {"target_mean": float(y.mean()), "target_scale": float(y.std())}
    target = TARGET | {"mean": float(y.mean()), "scale": float(y.std())}
    seen = []

    def score(truth, outputs):
        seen.append((truth, outputs))
        return -float(np.mean((truth - outputs[:, 0]) ** 2))

    data = make_data(x, y, unit, {"score": score})
    build = ending("exponential", loss, ["mean_absolute_error"], rate=0.01)
    config = unit | {"metric": "val_score", "mode": "max", "max_epochs": 30}
    model = fit_on(path, build, config, data)
    export(lambda _: model, unit, None, {"columns": None, "target": target}, tmp_path / "m.keras")
    predicted = predict(load(tmp_path / "m.keras"), x[400:])[:, 0]
    outputs = model.predict(x[400:], verbose=0)

    assert predicted.min() >= 0
    assert 1 - np.mean((predicted - y[400:]) ** 2) / np.var(y[400:]) > 0.6
    np.testing.assert_allclose(outputs[:, 0], predicted, rtol=1e-4)
    # Scorers and the comparison of the file with the model see both standardised, as ever.
    again = read_outputs(model, outputs, unit)[:, 0] * target["scale"] + target["mean"]
    np.testing.assert_allclose(again, predicted, rtol=1e-4)
    truth, given = seen[0]
    np.testing.assert_allclose(truth * target["scale"] + target["mean"], y[400:], atol=1e-4)
    assert abs(float(given.mean())) < 3
    best = int(np.argmax(model.history.history["val_score"]))
    found = model.history.history["val_mean_absolute_error"][best]
    assert found == pytest.approx(np.mean(np.abs(predicted - y[400:])), rel=1e-3)


def test_large_numbers_of_little_spread_have_exact_differences(fit_on) -> None:
    x, y = make_rows()
    unit = UNIT | {"target_mean": 1.7e9, "target_scale": 3.0}
    y = 1.7e9 + 3.0 * (y - MEAN) / SCALE
    build = ending(metrics=["mean_absolute_error"])
    model = fit_on("compiled", build, unit, make_data(x, y, unit))

    best = int(np.argmin(model.history.history["val_loss"]))
    predicted = 1.7e9 + 3.0 * model.predict(x[200:], verbose=0)[:, 0].astype("float64")
    error = np.mean(np.abs(predicted - y[200:]))
    assert model.history.history["val_mean_absolute_error"][best] == pytest.approx(error, rel=1e-3)


def test_programs_of_other_units_are_others(fit_on) -> None:
    x, y = make_rows()
    build = ending(metrics=["mean_absolute_error"])
    found = [
        fit_on("compiled", build, unit, make_data(x, y)).history.history["val_mean_absolute_error"]
        for unit in (UNIT, UNIT | {"target_scale": 2 * SCALE})
    ]

    np.testing.assert_allclose(found[1], 2 * np.array(found[0]), rtol=1e-4)
