"""Metrics and losses of one's own: functions, Keras objects and classes, in the model of a job."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import ops

from trainables.export import export, load, predict
from trainables.fitting import fit

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(200, 2)).astype("float32")
Y = (X[:, 0] > 0.3).astype("float32")
DATA = SimpleNamespace(
    x_train=X[:120], y_train=Y[:120], x_validation=X[120:], y_validation=Y[120:], replicas=()
)
CONFIG = {
    "task": "binary",
    "outputs": 1,
    "input_shape": (2,),
    "rows": 120,
    "batch_size": 32,
    "max_epochs": 3,
    "seed": 1,
}


def like(truth, outputs):
    return ops.reshape(ops.cast(truth, outputs.dtype), ops.shape(outputs))


def asymmetric(truth, outputs):
    errors = like(truth, outputs) - outputs
    return ops.mean(ops.where(errors > 0, 3 * errors**2, errors**2), axis=-1)


def distance(truth, outputs):
    return ops.abs(like(truth, outputs) - outputs)


class Asymmetric(keras.losses.Loss):
    def call(self, y_true, y_pred):
        return asymmetric(y_true, y_pred)


class Misses(keras.metrics.Metric):
    """Count the rows that are predicted wrongly."""

    def __init__(self, name="misses", **settings):
        super().__init__(name=name, **settings)
        self.total = self.add_weight(name="total", initializer="zeros")

    def update_state(self, y_true, y_pred, sample_weight=None):
        wrong = ops.not_equal(like(y_true, y_pred) > 0.5, y_pred > 0.5)
        self.total.assign_add(ops.sum(ops.cast(wrong, "float32")))

    def result(self):
        return self.total


def make_build(loss, metrics):
    def build(config):
        inputs = keras.Input((2,))
        outputs = keras.layers.Dense(1, activation="sigmoid")(inputs)
        model = keras.Model(inputs, outputs)
        model.compile(keras.optimizers.Adam(0.1), loss=loss(), metrics=metrics())
        return model

    return build


@pytest.mark.parametrize(
    ("loss", "metrics", "metric", "mode"),
    [
        (lambda: asymmetric, lambda: [distance], "val_distance", "min"),
        (Asymmetric, lambda: [keras.metrics.AUC(name="area"), distance], "val_area", "max"),
        (Asymmetric, lambda: [Misses()], "val_misses", "min"),
    ],
)
def test_the_best_epoch_by_an_own_metric_is_kept(loss, metrics, metric, mode, tmp_path) -> None:
    build = make_build(loss, metrics)
    model = fit(build, {**CONFIG, "metric": metric, "mode": mode}, DATA)

    history = model.history.history
    assert len(history[metric]) == 3
    now = model.evaluate(X[120:], Y[120:], batch_size=32, verbose=0, return_dict=True)
    best = {"min": min, "max": max}[mode](history[metric])
    assert now[metric.removeprefix("val_")] == pytest.approx(best, rel=1e-3, abs=1e-4)
    errors = Y[120:] - model.predict(X[120:], verbose=0)[:, 0]
    weighted = np.mean(np.where(errors > 0, 3, 1) * errors**2)
    assert history["val_loss"][history[metric].index(best)] == pytest.approx(weighted, rel=1e-3)

    path = tmp_path / "best.keras"
    export(lambda _: model, CONFIG, None, None, path)
    outputs = predict(load(path), X[:5])
    np.testing.assert_allclose(outputs, model.predict(X[:5], verbose=0), rtol=1e-5)
