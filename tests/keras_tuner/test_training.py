"""Training in a way of the program's own: `HyperModel.fit`, `run_trial`, executions, datasets."""

import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from ray import cloudpickle

import tests.keras_tuner.models as models
import tune_jobs.keras_tuner as kt
from tests.keras_tuner.models import X_HELD, X_TRAIN, Y_HELD, Y_TRAIN, build, make_model
from tune_jobs.engine import Finalists

cloudpickle.register_pickle_by_value(sys.modules[__name__])
cloudpickle.register_pickle_by_value(models)

HELD = (X_HELD, Y_HELD)


class WithBatches(kt.HyperModel):
    """A model whose `fit` has a hyperparameter that `build` does not know."""

    def build(self, hp):
        return build(hp)

    def fit(self, hp, model, *args, **kwargs):
        return model.fit(*args, batch_size=hp.Choice("batch_size", [8, 16, 32]), **kwargs)


class ReturnsNumber(kt.HyperModel):
    def build(self, hp):
        return build(hp)

    def fit(self, hp, model, x, y, validation_data, callbacks=None, **kwargs):
        model.fit(x, y, callbacks=callbacks, **kwargs)
        return float(np.mean((model.predict(validation_data[0], verbose=0)[:, 0] > 0.5) != 0))


class OwnLoop(kt.HyperModel):
    """A loop that never calls `model.fit`, and returns a dict."""

    def build(self, hp):
        return build(hp)

    def fit(self, hp, model, x, y, validation_data, **kwargs):
        for _ in range(hp.Int("rounds", 1, 3)):
            model.train_on_batch(x, y)
        loss, accuracy = model.evaluate(*validation_data, verbose=0)
        return {"my_loss": loss, "my_accuracy": accuracy}


class Folds(kt.RandomSearch):
    """A tuner that scores each trial itself, on two halves."""

    def run_trial(self, trial, x, y, epochs):
        losses = []
        for half in (slice(0, 45), slice(45, 90)):
            model = self.hypermodel.build(trial.hyperparameters)
            size = trial.hyperparameters.Int("batch_size", 8, 32, step=8)
            model.fit(x[half], y[half], epochs=epochs, batch_size=size, verbose=0)
            losses.append(model.evaluate(X_HELD, Y_HELD, verbose=0)[0])
        return losses


class LargerBatches(kt.RandomSearch):
    def run_trial(self, trial, *args, **kwargs):
        kwargs["batch_size"] = trial.hyperparameters.Int("batch_size", 8, 32, step=8)
        return super().run_trial(trial, *args, **kwargs)


class Reports(kt.RandomSearch):
    """A tuner of KerasTuner's first years, which tells its oracle."""

    def run_trial(self, trial, x, y):
        model = self.hypermodel.build(trial.hyperparameters)
        loss = model.fit(x, y, verbose=0).history["loss"][-1]
        self.oracle.update_trial(trial.trial_id, {"loss": loss})


def make(tmp_path, kind=kt.RandomSearch, model=build, objective="val_loss", trials=1, **more):
    return kind(model, objective=objective, max_trials=trials, directory=tmp_path, **more)


def test_a_hyperparameter_of_fit_joins_the_space(tmp_path):
    tuner = make(tmp_path, model=WithBatches(), trials=2)
    tuner.search(X_TRAIN, Y_TRAIN, validation_data=HELD, epochs=2)

    trials = list(tuner.oracle.trials.values())
    assert [trial.status for trial in trials] == ["COMPLETED"] * 2
    assert all(trial.hyperparameters.get("batch_size") in (8, 16, 32) for trial in trials)
    assert [len(trial.metrics.get_history("val_loss")) for trial in trials] == [2, 2]
    best = tuner.oracle.get_best_trials()[0]
    loss, _ = tuner.get_best_models()[0].evaluate(*HELD, verbose=0)
    assert loss == pytest.approx(best.score, rel=1e-4)


def test_what_fit_returns_is_the_score(tmp_path):
    tuner = make(tmp_path, model=ReturnsNumber(), objective=None)
    tuner.search(X_TRAIN, Y_TRAIN, validation_data=HELD, epochs=2)
    for trial in tuner.oracle.trials.values():
        assert 0 <= trial.score <= 1
        assert trial.metrics.get_best_value("default_objective") == trial.score
    assert tuner.get_best_models()[0].count_params() > 0

    goal = kt.Objective("my_loss", "min")
    tuner = make(tmp_path, model=OwnLoop(), objective=goal, project_name="loop")
    tuner.search(X_TRAIN, Y_TRAIN, validation_data=HELD)
    best = tuner.oracle.get_best_trials()[0]
    assert best.metrics.metrics.keys() == {"my_loss", "my_accuracy"}
    assert best.hyperparameters.get("rounds") in (1, 2, 3)


def test_tuners_of_a_program_run_their_trials(tmp_path):
    tuner = make(tmp_path, kind=Folds, objective=None)
    tuner.search(X_TRAIN, Y_TRAIN, epochs=1)
    best = tuner.oracle.get_best_trials()[0]
    assert best.score > 0
    assert best.hyperparameters.get("batch_size") % 8 == 0

    tuner = make(tmp_path, kind=LargerBatches, project_name="larger")
    tuner.search(X_TRAIN, Y_TRAIN, validation_data=HELD, epochs=2)
    assert set(tuner.experiment.trials["path"]) == {"compiled"}
    assert "batch_size" in tuner.get_best_hyperparameters()[0].values

    tuner = make(tmp_path, kind=Reports, objective="loss", project_name="reports")
    tuner.search(X_TRAIN, Y_TRAIN)
    assert tuner.oracle.get_best_trials()[0].score > 0


def test_a_score_is_the_best_epoch_averaged_over_executions(tmp_path):
    tuner = make(tmp_path, objective="val_accuracy", executions_per_trial=2)
    tuner.search(X_TRAIN, Y_TRAIN, validation_data=HELD, epochs=4)

    epochs = tuner.experiment.epochs
    assert sorted(set(epochs["replica"])) == [0, 1]
    for trial in tuner.oracle.trials.values():
        own = epochs[epochs["trial"] == int(trial.trial_id)]
        assert trial.score == pytest.approx(own.groupby("replica")["val_accuracy"].max().mean())


def read_batches():
    for first in range(0, 90, 30):
        yield X_TRAIN[first : first + 30], Y_TRAIN[first : first + 30]


class Counting(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        logs["epoch_number"] = epoch + 1.0


def test_datasets_generators_and_callbacks_are_those_of_model_fit(tmp_path, caplog):
    data = tf.data.Dataset.from_tensor_slices((X_TRAIN, Y_TRAIN)).shuffle(90).batch(30)
    held = tf.data.Dataset.from_tensor_slices(HELD).batch(30)
    tuner = make(tmp_path, trials=1)
    tuner.search(data, validation_data=held, epochs=2, callbacks=[Counting()], verbose=0)
    (trial,) = tuner.oracle.trials.values()
    assert [each.mean() for each in trial.metrics.get_history("epoch_number")] == [1, 2]

    tuner = make(tmp_path, trials=1, project_name="generator")
    tuner.search(read_batches(), validation_data=HELD, epochs=2, class_weight={0: 1.0, 1: 3.0})
    assert len(tuner.oracle.get_trial("00001").metrics.get_history("val_loss")) == 2
    assert "x is a generator, which can be read once" in caplog.text


def build_sequence(hp):
    """A model that is built by its first batch."""
    model = keras.Sequential([keras.layers.Dense(hp.Int("units", 2, 8)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


def test_folds_and_what_the_tuner_compiles(tmp_path):
    tuner = make(
        tmp_path,
        model=lambda hp: make_model(hp.Int("units", 2, 8)),
        cv=2,
        loss="mse",
        metrics=["mae"],
        objective="val_mae",
    )
    tuner.search(X_TRAIN, Y_TRAIN, epochs=2)
    assert sorted(set(tuner.experiment.epochs["replica"])) == [0, 1]
    assert tuner.get_best_models()[0].loss == "mse"

    tuner = make(
        tmp_path,
        model=lambda hp: make_model(hp.Int("units", 2, 8)),
        cv=2,
        executions_per_trial=2,
        finalists=Finalists(count=2, scores=2),
        project_name="finals",
        trials=2,
    )
    tuner.search(X_TRAIN, Y_TRAIN, epochs=2)
    assert sorted(set(tuner.experiment.epochs["replica"])) == list(range(4))
    assert set(tuner.experiment.finals.epochs["replica"]) == {0}
    assert tuner.experiment.verdict.trial in (1, 2)

    tuner = make(tmp_path, model=build_sequence, project_name="unbuilt")
    tuner.search(X_TRAIN, Y_TRAIN, validation_data=HELD)
    best = tuner.oracle.get_best_trials()[0]
    assert tuner.get_best_models()[0].evaluate(*HELD, verbose=0) == pytest.approx(best.score)
    again = make(tmp_path, model=build_sequence, project_name="unbuilt")  # before any search
    assert again.get_best_models()[0].evaluate(*HELD, verbose=0) == pytest.approx(best.score)


class OwnOptimizer(kt.HyperModel):
    """A model that is never compiled, and a loop that tells its callbacks what it has reached."""

    def build(self, hp):
        return keras.Sequential([keras.Input((4,)), keras.layers.Dense(hp.Int("units", 1, 4))])

    def fit(self, hp, model, x, y, callbacks=None, **kwargs):
        optimizer = keras.optimizers.SGD(hp.Float("rate", 0.01, 0.1, default=0.05))
        for callback in callbacks:
            callback.set_model(model)
        losses = []
        for epoch in range(2):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((model(x) - y[:, None]) ** 2)
            variables = model.trainable_variables
            optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
            losses.append(float(loss))
            for callback in callbacks:
                callback.on_epoch_end(epoch, logs={"own_loss": float(loss)})
        return min(losses)


def test_a_loop_with_an_optimizer_of_its_own_needs_no_compiled_model(tmp_path, caplog):
    tuner = make(tmp_path, model=OwnOptimizer(), objective=kt.Objective("own_loss", "min"))
    tuner.search(X_TRAIN, Y_TRAIN)

    (trial,) = tuner.oracle.trials.values()
    assert trial.status == "COMPLETED"
    assert "the program asks for 'rate', which probing has not found" in caplog.text
    after = tuner.get_best_models()[0](X_TRAIN)  # the weights at the end of the best epoch
    assert float(np.mean((after - Y_TRAIN[:, None]) ** 2)) < trial.score


class LateRounds(kt.HyperModel):
    """A model whose own loop asks for one more hyperparameter, but not in all trials."""

    def build(self, hp):
        return make_model(hp.Int("units", 1, 4))

    def fit(self, hp, model, x, y, **kwargs):
        rounds = hp.Int("more", 1, 2) if hp.get("units") == 3 else 1
        return {"loss": sum(float(model.train_on_batch(x, y)[0]) for _ in range(rounds))}


def test_a_hyperparameter_that_shows_up_in_mid_search_joins_the_trials_before(tmp_path):
    tuner = kt.GridSearch(LateRounds(), objective="loss", max_trials=4, directory=tmp_path)
    tuner.search(X_TRAIN, Y_TRAIN)

    values = [trial.hyperparameters.values for trial in tuner.oracle.trials.values()]
    assert [v["units"] for v in values[:3]] == [1, 2, 3]
    assert [v["more"] for v in values[:3]] == [1, 1, 1]  # the default is what they had
    assert len({(v["units"], v["more"]) for v in values}) == len(values) == 4
    assert all(t.status == "COMPLETED" for t in tuner.oracle.trials.values())
