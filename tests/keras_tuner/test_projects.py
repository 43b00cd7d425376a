"""Projects that are continued, and those that KerasTuner itself has left."""

import json
import os
import signal
import sys

import numpy as np
import pytest
from ray import cloudpickle

import tune_jobs.keras_tuner as kt
from tune_jobs.engine import JobError
from tune_jobs.engine.cluster.kept import kept_ray
from tune_jobs.engine.experiments.history.records import ImportedResult
from tune_jobs.engine.experiments.history.segments import read_segments

cloudpickle.register_pickle_by_value(sys.modules[__name__])

X = np.random.default_rng(0).normal(size=(60, 4)).astype("float32")
Y = (X[:, 0] > 0).astype("int32")


def build(hp):
    import keras

    model = keras.Sequential([keras.Input((4,))])
    for layer in range(hp.Int("layers", 1, 3)):
        model.add(keras.layers.Dense(hp.Int(f"units_{layer}", 8, 32, step=8), activation="relu"))
    if hp.Boolean("dropout"):
        model.add(keras.layers.Dropout(hp.Float("rate", 0.1, 0.5, step=0.1)))
    model.add(keras.layers.Dense(1, activation="sigmoid"))
    rate = hp.Float("learning_rate", 1e-4, 1e-1, sampling="log")
    model.compile(keras.optimizers.Adam(rate), loss="binary_crossentropy", metrics=["accuracy"])
    return model


def write_trials(folder, *trials, metric="val_accuracy"):
    """Write trials as KerasTuner 1.4 does, without what nobody reads."""
    for number, (values, score) in enumerate(trials):
        place = folder / f"trial_{number}"
        place.mkdir(parents=True)
        facts = {
            "trial_id": str(number),
            "hyperparameters": {"space": [], "values": values},
            "metrics": {"metrics": {metric: {"direction": "max", "observations": []}}},
            "score": score,
            "status": "COMPLETED",
        }
        (place / "trial.json").write_text(json.dumps(facts))
    (folder / "oracle.json").write_text("{}")


ONE = {"layers": 1, "units_0": 8, "dropout": False, "learning_rate": 0.01, "units_1": 8}
TWO = {"layers": 2, "units_0": 8, "units_1": 24, "dropout": True, "learning_rate": 0.02}
OLD = ((ONE, 0.8), (TWO | {"rate": 0.1 + 0.2}, 0.9), (ONE | {"units_0": 7}, 0.7), (ONE, None))


def make_tuner(tmp_path, build=build, **settings):
    settings = {"objective": "val_accuracy", "max_trials": 1} | settings
    return kt.RandomSearch(build, directory=tmp_path, project_name="old", **settings)


@pytest.mark.usefixtures("local_ray")
def test_a_project_of_keras_tuner_is_a_warm_start(tmp_path, caplog):
    write_trials(tmp_path / "old", *OLD)
    tuner = make_tuner(tmp_path)
    tuner.search(X, Y, validation_split=0.2, epochs=1, verbose=0)
    tuner.search(X, Y, validation_split=0.2, epochs=1, verbose=0)

    records = list(read_segments(tuner.experiment.folder).records())
    known = [(each.config, each.score) for each in records if isinstance(each, ImportedResult)]
    layers = [{"layers": 1}, {"layers": 2, "units_1": 24}]
    assert [score for _, score in known] == [0.8, 0.9]  # once, though searched twice
    assert known[0][0]["layers"] == [{"layers": 1}]
    assert known[0][0]["dropout"] == {"dropout": False}
    assert known[1][0] == {
        "layers": layers,
        "units_0": 8,
        "dropout": {"dropout": True, "rate": 0.3},
        "learning_rate": 0.02,
    }
    assert "units_0 is 7, but must be one of 8, 16, 24, 32" in caplog.text
    assert len(tuner.oracle.trials) == 1


def test_a_project_of_another_objective_is_refused(tmp_path):
    write_trials(tmp_path / "old", (ONE, 0.8), metric="val_auc")

    with pytest.raises(JobError, match=r"old has no metric 'val_accuracy'; .* report val_auc$"):
        make_tuner(tmp_path).search(X, Y, validation_split=0.2, epochs=1)


class Arithmetic(kt.RandomSearch):
    """Trials that cost little: no model is trained."""

    def run_trial(self, trial, *args, **kwargs):
        values = trial.hyperparameters.values
        self.hypermodel.build(trial.hyperparameters)
        return {"val_accuracy": 1 / (1 + values.get("filters", 0))}


def build_flat(hp):
    import keras

    hp.Choice("model", ["mlp", "cnn"])
    hp.Int("units", 1, 100)
    return keras.Sequential()


def build_scoped(hp):
    model = hp.Choice("model", ["mlp", "cnn"])
    with hp.conditional_scope("model", ["cnn"]):
        if model == "cnn":
            hp.Int("filters", 8, 64, default=16)
    with hp.name_scope("head"):
        hp.Boolean("bias")
    return build_flat(hp)


@pytest.mark.usefixtures("local_ray")
def test_a_project_is_continued_with_another_build(tmp_path, caplog):
    def search(build, count):
        tuner = Arithmetic(
            build,
            objective=kt.Objective("val_accuracy", "max"),
            max_trials=count,
            directory=tmp_path,
            project_name="edited",
        )
        tuner.search(verbose=0)
        return tuner

    before = [
        trial.hyperparameters.values for trial in search(build_flat, 4).oracle.trials.values()
    ]
    tuner = search(build_scoped, 12)
    after = [trial.hyperparameters.values for trial in tuner.oracle.trials.values()]

    assert kept_ray().workers  # though somebody else has started Ray
    assert after[:4] == before
    assert len(after) == 12
    assert "do not fit the search space" not in caplog.text
    for values in after[4:]:
        expected = {"model", "head/bias", "units"} | ({"filters"} & values.keys())
        assert values.keys() == expected
        assert ("filters" in values) == (values["model"] == "cnn")
    assert {values["model"] for values in after[4:]} == {"mlp", "cnn"}


class Interrupting(Arithmetic):
    """A tuner whose third trial interrupts the program, as Ctrl-C does."""

    def run_trial(self, trial, *args, **kwargs):
        if trial.trial_id == "00003":
            os.kill(DRIVER, signal.SIGINT)
        return super().run_trial(trial, *args, **kwargs)


DRIVER = os.getpid()


@pytest.mark.usefixtures("local_ray")
def test_an_interrupt_ends_the_program_and_the_next_start_continues(tmp_path):
    def make(kind):
        goal = kt.Objective("val_accuracy", "max")
        return kind(build_flat, objective=goal, max_trials=6, directory=tmp_path)

    with pytest.raises(KeyboardInterrupt, match="was interrupted; search again to continue"):
        make(Interrupting).search(verbose=0)
    tuner = make(Arithmetic)
    before = len([each for each in tuner.oracle.trials.values() if each.score is not None])
    tuner.search(verbose=0)

    assert 0 < before < 6
    assert [each.status for each in tuner.oracle.trials.values()].count("COMPLETED") == 6
