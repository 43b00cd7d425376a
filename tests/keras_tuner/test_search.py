"""KerasTuner programs with one import changed, from `search` to the best model."""

import sys

import keras
import numpy as np
import pytest
from ray import cloudpickle
from sklearn.datasets import load_digits

import tune_jobs.keras_tuner as kt

cloudpickle.register_pickle_by_value(sys.modules[__name__])

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(240, 4)).astype("float32")
Y = (X[:, 0] + X[:, 1] > 0).astype("int32")


def read_digits():
    digits = load_digits()
    images = np.kron(digits.images, np.ones((4, 4)))[:, 2:30, 2:30] / 16
    return images[:500].astype("float32"), digits.target[:500]


def build_digits(hp):
    model = keras.Sequential([keras.Input((28, 28)), keras.layers.Flatten()])
    for number in (1, 2):
        units = hp.Int(f"units_{number}", min_value=32, max_value=256, step=32)
        model.add(keras.layers.Dense(units, activation="relu"))
    model.add(keras.layers.Dense(10, activation="softmax"))
    rate = hp.Float("learning_rate", 0.005, 0.01, sampling="log")
    model.compile(
        optimizer=keras.optimizers.Adam(rate),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def test_a_program_runs_with_one_import_changed(tmp_path, capsys):
    x, y = read_digits()
    tuner = kt.BayesianOptimization(
        build_digits,
        objective="val_accuracy",
        max_trials=4,
        directory=tmp_path,
        project_name="digits",
    )
    tuner.search_space_summary()
    tuner.search(x, y, validation_split=0.1, epochs=4)

    hp = tuner.get_best_hyperparameters(1)[0]
    assert hp.values.keys() == {"units_1", "units_2", "learning_rate"}
    assert hp.get("units_1") % 32 == 0
    assert tuner.hypermodel.build(hp).count_params() > 0

    best = tuner.oracle.get_best_trials(1)[0]
    model = tuner.get_best_models(1)[0]
    assert model.evaluate(x[450:], y[450:], verbose=0)[1] == pytest.approx(best.score)
    model.save(tmp_path / "best.keras")
    read = keras.saving.load_model(tmp_path / "best.keras")
    assert read.evaluate(x[450:], y[450:], verbose=0)[1] == pytest.approx(best.score)
    assert best.metrics.get_best_value("val_accuracy") == best.score
    assert best.score == max(trial.score for trial in tuner.oracle.trials.values())
    assert len(tuner.oracle.trials) == 4
    assert set(tuner.experiment.trials["path"]) == {"compiled"}

    tuner.search(x, y, validation_split=0.1, epochs=4)  # all trials are there already
    assert len(tuner.oracle.trials) == 4
    again = kt.BayesianOptimization(
        build_digits,
        objective="val_accuracy",
        max_trials=4,
        directory=tmp_path,
        project_name="digits",
    )
    again.reload()
    assert again.get_best_hyperparameters()[0].values == hp.values
    again.results_summary(2)
    printed = capsys.readouterr().out
    assert "Search space size: 3" in printed.replace("Default search", "Search")
    assert f"Score: {best.score}" in printed
