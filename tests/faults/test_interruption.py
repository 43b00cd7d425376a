"""SIGTERM and SIGINT, wherever a run is: it ends in good order, and says that it is to go on."""

import json
import signal
import time

import pytest

from tune_jobs.engine import open_experiment
from tune_jobs.engine.experiments.lease import leased
from tune_jobs.engine.storage.folder import open_folder

# Longer than any test waits: what a signal has to cut short.
LONG = """
import time
from ray import tune
from tune_jobs.engine import Job

def train(config, data):
    tune.report({"loss": config["x"]})
    time.sleep(600)

JOB = Job(train, {"x": tune.uniform(0, 1)}, metric="loss", num_samples=2, max_epochs=3,
          finalists=None)
"""

LONG_REFIT = """
import pathlib
import time
from ray import tune
from tune_jobs.engine import Finalists, Job, table

class Model:
    compute_dtype = "float32"
    def predict(self, inputs, verbose=0): ...

def build(config): ...
def export(*_): ...
def load(path): ...
def predict(*_): ...

def train(config, data):
    if "epochs" in config:
        pathlib.Path("REFIT").touch()
        time.sleep(600)
    tune.report({"val_loss": config["x"]})
    return Model()

JOB = Job(train, {"x": tune.uniform(0, 1)}, data=table("breast_cancer", target="malignant"),
          num_samples=2, max_epochs=1, finalists=Finalists(count=1, scores=2))
"""


def wait_for(found) -> None:
    end = time.monotonic() + 120
    while not found():
        assert time.monotonic() < end
        time.sleep(0.05)


def end_with(driver, number: signal.Signals) -> int:
    driver.process.send_signal(number)
    driver.process.communicate(timeout=120)
    return driver.process.returncode


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_a_run_in_the_middle_of_a_long_epoch(folder, drive, number) -> None:
    (folder / "job.py").write_text(LONG)
    driver = drive("--slot", "2026-11-28", name="nightly-{slot}")
    for event in driver.events():
        if event["kind"] == "epoch":
            break

    assert end_with(driver, number) == 7
    found = open_experiment(str(folder / "results" / "nightly-2026-11-28"))
    assert found.summary.outcome == "interrupted"
    assert set(found.trials["state"]) == {"unfinished"}
    assert not list((folder / "results").glob("**/lease/*"))


def test_a_run_that_trains_its_winner(folder, drive) -> None:
    (folder / "job.py").write_text(LONG_REFIT.replace("REFIT", str(folder / "refit")))
    driver = drive()
    wait_for((folder / "refit").exists)

    assert end_with(driver, signal.SIGTERM) == 7
    found = open_experiment(str(folder / "results" / "test"))
    assert found.summary.outcome == "interrupted"
    assert found.verdict.trial in (1, 2)
    assert not list((folder / "results" / "test").glob("lease/*"))


def test_a_run_that_waits_for_another(folder, drive) -> None:
    with leased(open_folder(folder / "results" / "test")):
        driver = drive("--resume", "--on-overlap", "wait", "--log-format", "json")
        line = json.loads(driver.process.stderr.readline())
        assert (line["kind"], line["level"]) == ("log", "warning")
        assert line["message"].startswith("waiting: ")

        assert end_with(driver, signal.SIGTERM) == 7
    assert not (folder / "log").exists()


@pytest.mark.slow
def test_a_deadline_in_the_middle_of_a_long_epoch(folder, drive) -> None:
    (folder / "job.py").write_text(LONG)
    ended = drive("--max-hours", str(8 / 3600)).end()

    assert ended["outcome"] == "budget used"
    assert {trial["state"] for trial in ended["all_trials"]} == {"unfinished"}
