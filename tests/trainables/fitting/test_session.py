"""The bridge under a real Ray Tune: reports, checkpoints, and going on after a crash."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from ray import tune

from trainables import tabular_mlp
from trainables.fitting import fit
from trainables.fitting.checkpoints import load_weights

CONFIG = {
    "task": "binary",
    "input_shape": [6],
    "outputs": 1,
    "rows": 75,
    "layers": [{"units": 64, "dropout": 0.3}],
    "optimizer": {"name": "adam", "learning_rate": 0.03},
    "batch_size": 16,
    "max_epochs": 8,
    "seed": 7,
}


def make_data():
    random = np.random.default_rng(0)
    x = random.normal(size=(100, 6)).astype("float32")
    y = (x[:, 0] + 3 * random.normal(size=100) > 0).astype("float32")
    return SimpleNamespace(x_train=x[:75], y_train=y[:75], x_validation=x[75:], y_validation=y[75:])


def crash_once(marker, epoch):
    import keras

    def crash(done, logs):
        if done + 1 == epoch and not Path(marker).exists():
            Path(marker).touch()
            raise RuntimeError("a crash, once")

    return keras.callbacks.LambdaCallback(on_epoch_end=crash)


def train_with_a_crash(config):
    crash = crash_once(config["marker"], epoch=4)
    fit(tabular_mlp.build, config, make_data(), callbacks=[crash])


@pytest.fixture(scope="module")
def result(local_ray, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tune")
    tuner = tune.Tuner(
        train_with_a_crash,
        param_space=CONFIG | {"marker": str(folder / "crashed")},
        run_config=tune.RunConfig(
            storage_path=str(folder),
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=1),
            checkpoint_config=tune.CheckpointConfig(num_to_keep=1),
        ),
    )
    return tuner.fit()[0]


@pytest.fixture(scope="module")
def uninterrupted():
    return fit(tabular_mlp.build, CONFIG, make_data())


def test_a_crashed_trial_reports_each_epoch_once(result):
    assert result.error is None
    assert result.metrics_dataframe["epoch"].tolist() == list(range(1, 9))


def test_a_crashed_trial_has_the_losses_of_an_uninterrupted_fit(result, uninterrupted):
    expected = uninterrupted.history.history["val_loss"]

    np.testing.assert_allclose(result.metrics_dataframe["val_loss"], expected, rtol=1e-4)


def test_the_latest_checkpoint_holds_the_best_epochs_model(result, uninterrupted):
    data = make_data()
    checkpoint = result.checkpoint
    model = tabular_mlp.build(CONFIG)
    with checkpoint.as_directory() as folder:
        load_weights(model, folder)

    best = min(result.metrics_dataframe["val_loss"])
    scored = model.evaluate(data.x_validation, data.y_validation, verbose=0)[0]
    assert scored == pytest.approx(best, rel=1e-4)
    assert best < result.metrics["val_loss"]
