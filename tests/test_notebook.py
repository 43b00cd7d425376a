"""A search in a notebook and in a script: everything is defined in ``__main__``."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kernel import ROOT, Kernel, open_kernel, shown

JOB = """
import keras
from ray import tune

from trainables.export import export, load, predict
from trainables.fitting import fit
from trainables.preload import preload
from tune_jobs.engine import Job, Profile, run, table

FACTOR = 2.0


@keras.saving.register_keras_serializable()
class Times(keras.layers.Layer):
    def call(self, x):
        return FACTOR * x


@keras.saving.register_keras_serializable()
class OwnError(keras.metrics.MeanAbsoluteError):
    def get_config(self):
        return super().get_config()


def own_loss(truth, found):
    return keras.ops.mean(keras.ops.square(keras.ops.cast(truth, found.dtype) - found), axis=-1)


def build(config):
    last = keras.layers.Dense(1, activation="sigmoid")
    hidden = keras.layers.Dense(config["units"], activation="relu")
    model = keras.Sequential([keras.Input(config["input_shape"]), hidden, Times(), last])
    model.compile(keras.optimizers.Adam(config["rate"]), own_loss, metrics=[OwnError(name="own")])
    return model


def train(config, data):
    return fit(build, config, data)


job = Job(
    trainable=train,
    space={"units": 8, "rate": tune.loguniform(1e-3, 1e-1)},
    data=table("breast_cancer", target="malignant"),
    num_samples=2,
    max_epochs=2,
    finalists=None,
)
here = Profile(storage="out", max_concurrent_trials=1)
"""

RUN = """
if __name__ == "__main__":
    result = run(job, profile=here, name="search")
    print(result.summary.outcome, *result.trials["path"], *result.epochs["val_own"].notna())
"""

READ = """
from trainables.export import load
try:
    load("out/search/best.keras")
except ValueError as error:
    print(error)
import search
print(load("out/search/best.keras").output_shape)
"""


def python(folder: Path, *words: str) -> str:
    ran = subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_a_script_holds_everything_and_its_model_is_read_elsewhere(tmp_path) -> None:
    (tmp_path / "search.py").write_text(JOB + RUN)

    assert python(tmp_path, "search.py").split() == ["complete", *["compiled"] * 2, *["True"] * 4]
    refused, read = python(tmp_path, "-c", READ).splitlines()

    assert refused.startswith(
        "best.keras needs 'Custom>Times', which a script or a notebook defines and registers; run "
    )
    assert read == "(None, 1)"


ARITHMETIC = """
import time
from dataclasses import replace
from ray import tune
from tune_jobs.engine import Job, Profile, run

def train(config, data):
    for epoch in range(1, 4):
        time.sleep(config["seconds"])
        tune.report({"val_loss": config["x"] / epoch, "epoch": epoch})

job = Job(train, {"x": tune.uniform(1, 2), "seconds": 0.0}, num_samples=4, max_epochs=3,
          finalists=None)
here = Profile(storage="out", max_concurrent_trials=1)
"""
SLOW = "slow = replace(job, num_samples=50, space={**job.space, 'seconds': 0.2})"
AGAIN = "result = run(replace(job, num_samples={}), profile=here, name='search', resume=True{})\n"
TELL = "print(result.summary.outcome, len(result.trials))"


@pytest.fixture(scope="module")
def kernel(tmp_path_factory) -> Kernel:
    with open_kernel(tmp_path_factory.mktemp("notebook")) as kernel:
        kernel.run(ARITHMETIC)
        yield kernel


def test_an_interrupted_cell_ends_its_run_in_order_and_the_next_one_continues(kernel) -> None:
    cut = kernel.run(
        f"{SLOW}\nresult = run(slow, profile=here, name='cut')\n{TELL}",
        interrupt_after="complete",
    )
    more = AGAIN.format("len(result.trials) + 1", "").replace("search", "cut")
    continued = kernel.run(more + TELL)

    assert "interrupted " in shown(cut)
    assert "best val_loss" in shown(cut)  # the view in the cell
    assert "\ncomplete " in shown(continued)


def test_a_run_that_is_interrupted_while_ray_starts_leaves_the_kernel_usable(kernel) -> None:
    cut = kernel.run(
        "print('now', flush=True)\nrun(job, profile=here, name='none')", interrupt_after="now"
    )
    after = kernel.run(f"result = run(job, profile=here, name='after')\n{TELL}")
    (taken,) = kernel.run("run(job, profile=here, name='after')").outputs

    # Where Ray was quick, the search had begun.
    has_error = "KeyboardInterrupt" in [output.get("ename") for output in cut.outputs]
    assert has_error or "interrupted " in shown(cut), shown(cut)
    assert "complete 4" in shown(after)
    assert [line.partition(" at ")[0] for line in taken.traceback] == [
        "JobError: experiment 'after' already exists"
    ]


@pytest.mark.slow
def test_a_notebook_holds_a_layer_a_loss_and_a_metric(tmp_path) -> None:
    with open_kernel(tmp_path) as kernel:
        ran = kernel.run(JOB + RUN)
        again = kernel.run(RUN.replace("name=", "resume=True, extend=1, name="))
    (tmp_path / "search.py").write_text(JOB)  # as a module, its objects are imported
    refused, read = python(tmp_path, "-c", READ).splitlines()

    assert shown(ran).split()[-7:] == ["complete", *["compiled"] * 2, *["True"] * 4]
    assert shown(again).split()[-10:] == ["complete", *["compiled"] * 3, *["True"] * 6]
    assert refused.startswith("best.keras needs 'Custom>Times'")
    assert read == "(None, 1)"


@pytest.mark.slow
def test_a_trainable_that_is_defined_again_is_another_one(kernel) -> None:
    kernel.run(AGAIN.format(2, ""))
    kernel.run("job = replace(job, space={**job.space, 'x': tune.uniform(1, 3)})")
    wider = kernel.run(AGAIN.format(3, "") + TELL)
    kernel.run(ARITHMETIC.replace('config["x"] / epoch', 'config["x"] * epoch'))
    refused = kernel.run(AGAIN.format(4, ""))
    allowed = kernel.run(AGAIN.format(4, ", allow_changed=True") + TELL)

    assert "complete 3" in shown(wider)
    assert "the trainable's code changed" in shown(refused)
    assert "complete 4" in shown(allowed)
