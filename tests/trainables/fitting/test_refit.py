"""Fits of a known number of epochs, whose last weights are wanted."""

import math
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from pyarrow.fs import LocalFileSystem
from ray import tune

from trainables import tabular_mlp
from trainables.fitting import fit
from trainables.fitting.checkpoints import load_checkpoint, load_weights, save_checkpoint
from trainables.fitting.curves import Progress
from trainables.fitting.models import shape_of, stack, state_of
from trainables.fitting.task import Replica

CONFIG = {
    "task": "binary",
    "input_shape": [6],
    "outputs": 1,
    "rows": 75,
    "layers": [{"units": 64}],
    "optimizer": {"name": "adam", "learning_rate": 0.03},
    "decay": {"name": "cosine"},
    "batch_size": 16,
    "max_epochs": 40,
    "patience": 3,
    "seed": 7,
}
REFIT = CONFIG | {"epochs": 9}
PATHS = pytest.mark.parametrize("path", ["compiled", "model.fit"])


def make_data(**more):
    random = np.random.default_rng(0)
    x = random.normal(size=(100, 6)).astype("float32")
    y = (x[:, 0] + 3 * random.normal(size=100) > 0).astype("float32")
    parts = {"x_train": x[:75], "y_train": y[:75], "x_validation": x[75:], "y_validation": y[75:]}
    return SimpleNamespace(**parts, **more)


def run(path, config, **more):
    callbacks = [keras.callbacks.Callback()] if path == "model.fit" else []
    return fit(tabular_mlp.build, config, make_data(**more), callbacks=callbacks)


def loss_of(model):
    data = make_data()
    return model.evaluate(data.x_validation, data.y_validation, verbose=0)[0]


@PATHS
def test_exactly_so_many_epochs_are_trained_and_the_last_weights_kept(path):
    patient, refit = run(path, CONFIG), run(path, REFIT)
    values = refit.history.history["val_loss"]

    before = patient.history.history["val_loss"]
    assert len(before) < len(values) == 9
    assert values[: len(before)] == before  # the schedule is still that of all epochs
    assert min(values) < values[-1] == pytest.approx(loss_of(refit), rel=1e-5)


@PATHS
def test_the_checkpoint_holds_the_last_weights_too(path, monkeypatch, tmp_path):
    kept = []

    def report(message, *, checkpoint=None):
        kept.append(load_checkpoint(checkpoint.path) if checkpoint else None)

    storage = SimpleNamespace(storage_filesystem=LocalFileSystem(), trial_fs_path=str(tmp_path))
    context = SimpleNamespace(
        get_trial_id=lambda: "trial",
        get_trial_dir=lambda: str(tmp_path),
        get_storage=lambda: storage,
    )
    monkeypatch.setattr(tune, "get_context", lambda: context)
    monkeypatch.setattr(tune, "get_checkpoint", lambda: None)
    monkeypatch.setattr(tune, "report", report)
    for _ in range(2):  # the second is no better than the first, and is kept all the same
        run(path, REFIT | {"rungs": [], "decay": {"name": "none"}})
        found, (progress,) = kept[-1]

        assert progress.epoch == progress.best_epoch == 9
        for weights, last in zip(found["best_weights"], found["weights"], strict=True):
            assert np.array_equal(weights, last)


def test_a_checkpoint_is_loaded_into_a_model_without_an_input_layer(tmp_path):
    def build():
        return keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(1)])

    first = build()
    first.build((None, 3, 2))
    arrays = stack([state_of(first)])
    best = {f"best_{kind}": values for kind, values in arrays.items()}
    save_checkpoint(arrays | best, [Progress()], tmp_path, shape_of(first))
    second = build()
    load_weights(second, tmp_path)

    rows = np.ones((4, 3, 2), "float32")
    assert np.array_equal(second.predict(rows, verbose=0), first.predict(rows, verbose=0))


@PATHS
def test_each_replica_keeps_its_last_weights(path, monkeypatch):
    if path == "model.fit":
        monkeypatch.setattr("trainables.fitting.compiled.eligibility.why_not", lambda *_: "a test")
    config = REFIT | {"epochs": 4}
    together = fit(tabular_mlp.build, config, make_data(replicas=[Replica(1), Replica(2)]))
    alone = fit(tabular_mlp.build, config, make_data(replicas=[Replica(1)]))

    assert loss_of(together) == pytest.approx(loss_of(alone), rel=2e-3)


def test_a_metric_that_is_not_reported_ends_no_fit_of_known_length():
    model = run("compiled", REFIT | {"metric": "val_average_precision", "mode": "max"})

    assert len(model.history.history["loss"]) == 9
    assert math.isfinite(loss_of(model))


@pytest.mark.parametrize("epochs", [0, 41])
def test_no_more_epochs_than_there_may_be(epochs):
    with pytest.raises(ValueError, match=f"epochs is {epochs}, but must be between 1 and max_ep"):
        run("compiled", CONFIG | {"epochs": epochs})
