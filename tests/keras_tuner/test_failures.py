"""Trials that fail: retries, both kinds of giving up, and searches that end because of them."""

import os
import sys
from pathlib import Path

import pytest
from ray import cloudpickle

import tests.keras_tuner.models as models
import tune_jobs.keras_tuner as kt
from tests.keras_tuner.models import X_HELD, X_TRAIN, Y_HELD, Y_TRAIN, make_model
from tune_jobs.engine import Profile

cloudpickle.register_pickle_by_value(sys.modules[__name__])
cloudpickle.register_pickle_by_value(models)


class Flaky(kt.HyperModel):
    """A model whose trials fail by a rule; on a worker it notes each attempt in a folder."""

    def __init__(self, folder, fails):
        super().__init__()
        self.folder, self.fails, self.driver = str(folder), fails, os.getpid()

    def build(self, hp):
        return make_model(hp.Int("units", 1, 6))

    def fit(self, hp, model, *args, **kwargs):
        if os.getpid() == self.driver:  # it is asked for its hyperparameters
            return model.fit(*args, **kwargs)
        attempts = Path(self.folder, f"{hp.get('units')}.txt")
        with attempts.open("a") as file:
            file.write(".")
        self.fails(hp.get("units"), len(attempts.read_text()))
        return model.fit(*args, **kwargs)

    def attempts(self):
        return sorted(len(file.read_text()) for file in Path(self.folder).glob("*.txt"))


def make(tmp_path, fails, trials=3, **more):
    folder = tmp_path / f"attempts {more.get('project_name')}"
    folder.mkdir()
    model = Flaky(folder, fails)
    return kt.GridSearch(model, objective="val_loss", max_trials=trials, directory=tmp_path, **more)


def search(tuner):
    tuner.search(X_TRAIN, Y_TRAIN, validation_data=(X_HELD, Y_HELD), verbose=0)


def test_a_trial_that_fails_is_tried_again_as_often_as_allowed(tmp_path):
    def fails(units, attempt):
        if units == 2 or attempt == 1:
            raise ValueError("no luck")

    tuner = make(tmp_path, fails, max_retries_per_trial=1)
    search(tuner)
    found = {t.hyperparameters.get("units"): t for t in tuner.oracle.trials.values()}
    assert [found[units].status for units in (1, 2, 3)] == ["COMPLETED", "FAILED", "COMPLETED"]
    assert found[2].score is None
    assert found[2].message == "ValueError: no luck"
    assert tuner.hypermodel.attempts() == [2, 2, 2]  # each of them a second time


def test_a_program_gives_up_a_trial_or_the_search(tmp_path):
    def gives_up_one(units, attempt):
        if units == 2:
            raise kt.errors.FailedTrialError("too large")

    tuner = make(tmp_path, gives_up_one, max_retries_per_trial=3)
    search(tuner)
    assert tuner.hypermodel.attempts() == [1, 1, 1]
    failed = [t for t in tuner.oracle.trials.values() if t.status == "FAILED"]
    assert [trial.message for trial in failed] == ["FailedTrialError: too large"]

    def gives_up_all(units, attempt):
        if units == 2:
            raise kt.errors.FatalValueError("the folder is gone")

    tuner = make(tmp_path, gives_up_all, max_retries_per_trial=3, project_name="fatal")
    with pytest.raises(kt.errors.FatalValueError, match="the folder is gone"):
        search(tuner)


def test_too_many_failures_in_a_row_end_the_search(tmp_path):
    def fails(units, attempt):
        if units > 1:
            raise [ValueError, KeyError, OSError][units % 3](f"{units} units")

    one_by_one = Profile(storage=str(tmp_path), max_concurrent_trials=1)
    tuner = make(tmp_path, fails, trials=6, max_consecutive_failed_trials=2, profile=one_by_one)
    with pytest.raises(RuntimeError, match="trials in a row have failed") as caught:
        search(tuner)
    assert "\n" not in str(caught.value)
    assert len(tuner.oracle.trials) < 6
    assert tuner.oracle.get_best_trials(3)[0].hyperparameters.get("units") == 1


def test_what_fit_must_not_return_ends_the_search(tmp_path):
    class Returns(kt.HyperModel):
        def __init__(self, value):
            super().__init__()
            self.value = value

        def build(self, hp):
            return make_model(hp.Int("units", 1, 6))

        def fit(self, hp, model, *args, **kwargs):
            return self.value

    def run(value, name):
        tuner = kt.RandomSearch(Returns(value), "val_loss", directory=tmp_path, project_name=name)
        search(tuner)

    with pytest.raises(kt.errors.FatalTypeError, match="returned a str, but must return"):
        run("good", "text")
    with pytest.raises(kt.errors.FatalValueError, match="no value of the objective 'val_loss'"):
        run({"loss": 1.0}, "missing")


def test_a_model_that_is_too_large_fails_its_trial(tmp_path):
    tuner = kt.GridSearch(
        lambda hp: make_model(hp.Int("units", 1, 3)),
        objective="val_loss",
        max_model_size=15,  # units 1 and 2 have 7 and 13 parameters
        directory=tmp_path,
    )
    search(tuner)
    assert [t.status for t in tuner.oracle.trials.values()] == ["COMPLETED", "COMPLETED", "FAILED"]
    assert "more than max_model_size, 15" in tuner.oracle.get_trial("00003").message
