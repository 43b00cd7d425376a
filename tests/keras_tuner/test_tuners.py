"""Which configurations each tuner tries, and for how long."""

import sys

import pytest
from ray import cloudpickle

import tests.keras_tuner.models as models
import tune_jobs.keras_tuner as kt
from tests.keras_tuner.models import X_HELD, X_TRAIN, Y_HELD, Y_TRAIN, build, make_model

cloudpickle.register_pickle_by_value(sys.modules[__name__])
cloudpickle.register_pickle_by_value(models)

HELD = (X_HELD, Y_HELD)


def test_the_brackets_of_eight_epochs(tmp_path):
    tuner = kt.Hyperband(build, "val_loss", max_epochs=8, factor=2, directory=tmp_path)
    tuner.search(X_TRAIN, Y_TRAIN, validation_data=HELD, epochs=50)

    trials = [len(t.metrics.get_history("val_loss")) for t in tuner.oracle.trials.values()]
    assert len(trials) == 15
    brackets = [trials[0:8], trials[8:12], trials[12:14], trials[14:]]
    assert [sorted(bracket) for bracket in brackets] == [
        [1, 1, 1, 1, 2, 2, 4, 8],
        [2, 2, 4, 8],
        [4, 8],
        [8],
    ]
    first = {t.trial_id: t.metrics.get_history("val_loss") for t in tuner.oracle.trials.values()}
    at_one = {name: curve[0].mean() for name, curve in list(first.items())[:8]}
    best = sorted(at_one, key=at_one.get)[:4]
    assert {name for name in at_one if len(first[name]) > 1} == set(best)
    assert set(tuner.experiment.trials["path"]) == {"compiled"}


def test_a_grid_is_tried_until_it_is_exhausted(tmp_path):
    def build_grid(hp):
        units = hp.Int("units", 2, 4, step=2)
        if hp.Boolean("slow"):
            with hp.conditional_scope("slow", [True]):
                return make_model(units, hp.Choice("rate", [1e-4, 1e-3]))
        return make_model(units)

    tuner = kt.GridSearch(build_grid, objective="val_loss", directory=tmp_path)
    tuner.search(X_TRAIN, Y_TRAIN, validation_data=HELD)
    values = [trial.hyperparameters.values for trial in tuner.oracle.trials.values()]
    slow = [(v["units"], v["rate"]) for v in values if v["slow"]]
    assert sorted(slow) == [(u, r) for u in (2, 4) for r in (1e-4, 1e-3)]
    assert sorted(v["units"] for v in values if not v["slow"]) == [2, 4]
    assert all("rate" not in v for v in values if not v["slow"])
    assert len(values) == 6


def test_a_space_is_tailored_without_a_change_of_build(tmp_path):
    hp = kt.HyperParameters()
    hp.Choice("rate", [1e-2, 1e-3])
    hp.Fixed("units", 4)
    tuner = kt.RandomSearch(
        build,
        objective="val_mse",
        max_trials=3,
        hyperparameters=hp,
        tune_new_entries=False,
        loss="mse",
        metrics=["mse"],
        directory=tmp_path,
    )
    tuner.search(X_TRAIN, Y_TRAIN, validation_data=HELD)
    values = [trial.hyperparameters.values for trial in tuner.oracle.trials.values()]
    assert sorted(v["rate"] for v in values) == [1e-3, 1e-2]  # there are no more
    assert {v["units"] for v in values} == {4}
    assert tuner.get_best_models()[0].loss == "mse"

    with pytest.raises(ValueError, match="allow_new_entries"):
        kt.RandomSearch(
            build,
            objective="val_loss",
            hyperparameters=kt.HyperParameters(),
            allow_new_entries=False,
            directory=tmp_path,
            project_name="closed",
        )
