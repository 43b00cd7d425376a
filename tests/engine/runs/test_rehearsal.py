"""A check trains one batch, saves the model, and reads it in a fresh process."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tune_jobs.engine import JobError, Profile, open_experiment, run
from tune_jobs.engine.job.modules import find_job
from tune_jobs.engine.runs.check import plan

LAYER = """
import keras
from keras import ops


REGISTER
class Double(keras.layers.Layer):
    def call(self, x):
        return ops.multiply(x, 2.0)
"""
REGISTERED = LAYER.replace("REGISTER", '@keras.saving.register_keras_serializable("mine")')
JOB = """
from ray import tune

from tune_jobs.engine import Job, table
from trainables.export import export, load, predict
from trainables.fitting import fit
from trainables.layers import features, make_inputs

LAYER


def build(config):
    import keras

    inputs = make_inputs(config)
    x = features(inputs, config)
    x = keras.layers.Dense(config["units"], activation="relu")(x)
    HIDDEN
    x = keras.layers.Dense(1, activation="sigmoid")(x)
    model = keras.Model(inputs, x)
    model.compile("adam", loss="binary_crossentropy", metrics=["accuracy"])
    return model


def train(config, data):
    TRAIN


JOB = Job(
    trainable=train,
    space={"units": tune.choice([8, 16])},
    data=table("FOLDER/data.csv", target="y"),
    max_epochs=20,
    finalists=None,
    MORE
)
"""


@pytest.fixture
def make_job(tmp_path):
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(draw.normal(size=(400, 2)), columns=["a", "b"])
    frame["y"] = np.where(frame["a"] > 0, "yes", "no")
    frame.to_csv(tmp_path / "data.csv", index=False)
    (tmp_path / "my_rehearsed_layers.py").write_text(REGISTERED)

    def make_job(layer="", hidden="", train="return fit(build, config, data)", more=""):
        parts = {"LAYER": layer, "HIDDEN": hidden, "TRAIN": train, "MORE": more}
        content = JOB
        for name, part in (parts | {"FOLDER": str(tmp_path)}).items():
            content = content.replace(name, part)
        (tmp_path / "rehearsed.py").write_text(content)
        return find_job(str(tmp_path / "rehearsed.py")).job

    return make_job


@pytest.fixture
def check(make_job):
    return lambda **parts: plan(make_job(**parts), Profile())["rehearsal"]


LAMBDA = "x = keras.layers.Lambda(lambda t: t * 2.0)(x)"
PROVEN = "one batch trained, saved and read in a fresh process; reports "


def test_a_registered_layer_in_the_job_s_file_is_read_back(check) -> None:
    said = check(layer=REGISTERED, hidden="x = Double()(x)")

    assert said == f"{PROVEN}accuracy, loss, val_accuracy, val_loss"


@pytest.mark.slow
def test_a_registered_layer_beside_the_job_is_read_back(check) -> None:
    said = check(hidden="from my_rehearsed_layers import Double; x = Double()(x)")

    assert said == f"{PROVEN}accuracy, loss, val_accuracy, val_loss"


def test_a_lambda_layer_is_refused_in_one_line(check) -> None:
    with pytest.raises(JobError) as caught:
        check(hidden=LAMBDA)

    assert str(caught.value) == (
        "the smallest model cannot be read from its file: best.keras has a Lambda layer with "
        "Python code, which is not run; train again with a registered layer or keras.ops instead "
        "of the lambda"
    )


@pytest.mark.slow
def test_a_layer_that_is_not_registered_is_named(check) -> None:
    layer = LAYER.replace("REGISTER", "")
    with pytest.raises(JobError, match=r"cannot be read from its file: best\.keras needs 'Double'"):
        check(layer=layer, hidden="x = Double()(x)")


def test_a_metric_that_is_not_reported_is_named_with_those_that_are(check) -> None:
    with pytest.raises(JobError) as caught:
        check(more='metric="val_acc", mode="max"')

    assert str(caught.value) == (
        "metric 'val_acc' is reported by neither the model nor a scorer; "
        "did you mean 'val_accuracy'? "
        "Reported: accuracy, loss, val_accuracy, val_loss"
    )


@pytest.mark.slow
def test_a_train_without_return_is_exported_from_build(check) -> None:
    said = check(train="fit(build, config, data)")

    assert said == f"{PROVEN}metrics that are not known before a run"


@pytest.mark.slow
def test_a_run_ends_after_its_first_trial_if_no_file_can_hold_its_model(
    local_ray, make_job, tmp_path
) -> None:
    profile = Profile(storage=str(tmp_path / "results"), max_concurrent_trials=1)
    job = replace(make_job(hidden=LAMBDA), max_epochs=2, num_samples=5)
    with pytest.raises(JobError, match=r"^the model has a Lambda layer with Python code, which is"):
        run(job, profile=profile, name="x", listeners=[])

    found = open_experiment(str(tmp_path / "results" / "x"))
    assert found.exit_code == 2
    assert len(found.trials) == 1
