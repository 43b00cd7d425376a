"""Drivers that are killed, told to stop, or started twice: nothing finished is lost or redone."""

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tune_jobs.engine import open_experiment

TOLD = ["trial", "state", "config", "value", "best_epoch", "epochs"]


def trained(folder: Path) -> Counter:
    """How often each epoch of each trial was trained."""
    return Counter((folder / "log").read_text().splitlines())


def epochs_trained(folder: Path) -> Counter:
    """How many epochs of each trial were trained."""
    return Counter(int(line.split()[0]) for line in (folder / "log").read_text().splitlines())


@pytest.mark.parametrize(
    ("kills", "samples", "searcher"),
    [(2, 24, "tpe"), pytest.param(20, 200, "auto", marks=pytest.mark.slow)],
)
def test_a_driver_that_is_killed_again_and_again_loses_and_repeats_nothing(
    folder, drive, kills, samples, searcher
) -> None:
    count = "--num-samples", str(samples), "--searcher", searcher
    assert drive(*count, name="whole").end()["exit_code"] == 0
    whole = open_experiment(str(folder / "results" / "whole"))
    (folder / "log").unlink()
    chance = random.Random(0)
    finished: set[int] = set()
    log: dict[int, int] = {}
    for _ in range(kills):
        driver, left = drive("--resume", *count), chance.randint(1, 12)
        for event in driver.events():
            if event["kind"] == "end":
                assert event["trial"] not in finished
                finished.add(event["trial"])
                left -= 1
            if left <= 0 and chance.random() < 0.3:  # at an end, or somewhere in the next trials
                break
        assert driver.process.poll() is None
        driver.process.kill()
        driver.process.communicate()
        trials = open_experiment(str(folder / "results" / "test")).trials
        done = set(trials[trials["state"].isin(["complete", "stopped"])]["trial"])
        assert done >= finished
        now = epochs_trained(folder)
        assert all(now[number] == count for number, count in log.items())  # none trained again
        log = {number: now[number] for number in done}
    assert len(finished) > 2 * kills

    assert drive("--resume", *count).end()["exit_code"] == 0

    result = open_experiment(str(folder / "results" / "test"))
    assert result.trials["trial"].tolist() == list(range(1, samples + 1))
    assert not result.epochs.duplicated(["trial", "replica", "epoch"]).any()
    assert result.trials[TOLD].equals(whole.trials[TOLD])
    assert result.problems == []


def test_a_search_that_pauses_trials_may_be_killed_and_promotes_as_if_it_had_not_been(
    folder, drive
) -> None:
    options = "--num-samples", "20", "--set", "scheduler.resume=True"
    assert drive(*options, name="whole").end()["exit_code"] == 0
    whole = open_experiment(str(folder / "results" / "whole"))
    order = [int(line.split()[0]) for line in (folder / "log").read_text().splitlines()]
    assert order != sorted(order)  # some were promoted after later ones had begun
    (folder / "log").unlink()
    known: dict[str, int] = {}
    waited = 0
    for epochs in (9, 30, 50):
        driver = drive("--resume", *options)
        while not (folder / "log").exists() or trained(folder).total() < epochs:
            assert driver.process.poll() is None
            time.sleep(0.02)
        driver.process.kill()
        driver.process.communicate()
        now = trained(folder)
        assert all(now[line] == count for line, count in known.items())
        history = open_experiment(str(folder / "results" / "test")).epochs
        # Of trials that wait nothing is lost; of others the last second is not yet written.
        last = dict(line.split() for line in (folder / "log").read_text().splitlines())
        written = history.groupby("trial")["epoch"].max()
        waiting = {str(n) for n, epoch in written.items() if last[str(n)] == str(epoch)}
        known = {line: count for line, count in now.items() if line.split()[0] in waiting}
        waited += len(known)
    assert drive("--resume", *options).end()["exit_code"] == 0

    result = open_experiment(str(folder / "results" / "test"))
    assert result.trials[TOLD].equals(whole.trials[TOLD])
    assert not result.epochs.duplicated(["trial", "replica", "epoch"]).any()
    assert waited > 5


# Saves a checkpoint after each short epoch; the third is the best, so that Tune keeps that.
SHORT_EPOCHS = """
import pathlib
import tempfile
import time
from ray import tune
from tune_jobs.engine import Job

def train(config, data):
    start = 0
    if checkpoint := tune.get_checkpoint():
        with checkpoint.as_directory() as folder:
            start = int(pathlib.Path(folder, "epoch").read_text())
    for epoch in range(start + 1, config["max_epochs"] + 1):
        time.sleep(0.05)
        with pathlib.Path("LOG").open("a") as log:
            log.write(f"{epoch}\\n")
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "epoch").write_text(str(epoch))
            tune.report({"loss": abs(epoch - 3)}, checkpoint=tune.Checkpoint.from_directory(folder))

JOB = Job(train, {"x": tune.uniform(0, 1)}, metric="loss", num_samples=1, max_epochs=100_000,
          finalists=None)
"""


def test_a_trial_of_short_epochs_that_is_killed_again_and_again_advances(folder, drive) -> None:
    log = folder / "log"
    (folder / "job.py").write_text(SHORT_EPOCHS.replace("LOG", str(log)))
    last = 0
    for _ in range(3):
        driver = drive("--resume")
        while not log.exists() or len(log.read_text().splitlines()) < 40:
            assert driver.process.poll() is None
            time.sleep(0.02)
        driver.process.kill()
        driver.process.communicate()
        epochs = [int(line) for line in log.read_text().splitlines()]
        # What the worker trained while the driver still worked on its last message is lost.
        assert last - 3 <= epochs[0] <= last + 1
        last = epochs[-1]
        log.unlink()
    assert last > 90


@pytest.mark.slow
def test_a_search_that_is_killed_at_random_ends_after_few_more_epochs(folder, drive) -> None:
    log, chance, kills = folder / "log", random.Random(0), 0
    (folder / "job.py").write_text(SHORT_EPOCHS.replace("LOG", str(log)).replace("100_000", "600"))
    log.touch()
    while True:
        driver, trained = drive("--resume"), len(log.read_text().splitlines())
        until = trained + chance.randint(10, 120)
        while driver.process.poll() is None and len(log.read_text().splitlines()) < until:
            time.sleep(0.02)
        if driver.process.poll() is not None:
            break
        driver.process.kill()
        driver.process.communicate()
        kills += 1

    assert driver.process.returncode == 0
    assert kills > 4
    assert len(log.read_text().splitlines()) <= 600 + 4 * kills


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_driver_that_is_told_to_stop_goes_on_later(folder, drive, number) -> None:
    driver = drive("--num-samples", "12")
    for event in driver.events():
        if event["kind"] == "end" and event["trial"] == 5:
            driver.process.send_signal(number)
            break
    stopped = driver.end()
    words = [sys.executable, "-m", "tune_jobs", "show", str(folder / "results" / "test")]
    shown = subprocess.run(words, capture_output=True, text=True, cwd=folder).stdout
    # What it says to type next goes on with the job and the options that it was begun with.
    (line,) = [line for line in shown.splitlines() if line.endswith("--resume")]
    options = line.split("run ")[1].split()
    subprocess.run([*words[:3], "run", *options], check=True, cwd=folder, capture_output=True)
    resumed = drive("--num-samples", "12", "--resume").end()

    assert (stopped["outcome"], driver.process.returncode) == ("interrupted", 7)
    assert resumed["outcome"] == "complete"
    assert len(resumed["all_trials"]) == 12
    epochs = trained(folder)
    assert all(count == 1 for epoch, count in epochs.items() if int(epoch.split()[0]) <= 5)


@pytest.mark.slow
def test_a_second_signal_ends_the_driver_at_once_and_it_goes_on_later(folder, drive) -> None:
    driver = drive("--num-samples", "8")
    for event in driver.events():
        if event["kind"] == "end" and event["trial"] == 3:
            driver.process.send_signal(signal.SIGINT)
            driver.process.send_signal(signal.SIGINT)
            break
    driver.end()

    assert driver.process.returncode == 7
    assert len(drive("--num-samples", "8", "--resume").end()["all_trials"]) == 8


def test_of_two_runs_of_one_slot_that_wait_one_searches_and_both_report(folder, drive) -> None:
    words = ["--num-samples", "6", "--slot", "2026-11-28", "--on-overlap", "wait"]
    drivers = [drive(*words, name="nightly-{slot}") for _ in range(2)]
    results = [driver.end() for driver in drivers]

    assert [driver.process.returncode for driver in drivers] == [0, 0]
    assert results[0] == results[1]
    assert len(results[0]["all_trials"]) == 6
    assert set(trained(folder).values()) == {1}


def test_of_two_runs_of_one_name_one_searches(folder, drive) -> None:
    drivers = [drive("--num-samples", "20", "--resume") for _ in range(2)]
    results = [driver.end() for driver in drivers]

    codes = sorted(driver.process.returncode for driver in drivers)
    refused = next(d for d, result in zip(drivers, results, strict=True) if not result)
    assert codes == [0, 10]
    assert "is in use by process" in refused.errors[-1]
    assert set(trained(folder).values()) == {1}


# Every config kills its worker; the third time, the worker of the first one waits to be killed.
CRASHING = """
import os, pathlib, time
from ray import tune
from tune_jobs.engine import TPE, Job

def train(config, data):
    number = int(tune.get_context().get_trial_id())
    with pathlib.Path("LOG").open("a") as log:
        log.write(f"{number} 1\\n")
    if number > 1:
        tune.report({"loss": config["x"]})
        return
    while pathlib.Path("LOG").read_text().count("1 1\\n") == 3:
        time.sleep(0.1)
    os._exit(1)

JOB = Job(train, {"x": tune.uniform(0, 1)}, metric="loss", searcher=TPE(n_initial_points=5),
          num_samples=2, max_epochs=1, finalists=None)
"""


def test_the_crashes_of_a_config_count_over_all_runs(folder, drive) -> None:
    (folder / "job.py").write_text(CRASHING.replace("LOG", str(folder / "log")))
    (folder / "log").touch()
    driver = drive()
    while epochs_trained(folder)[1] < 3:
        assert driver.process.poll() is None
        time.sleep(0.1)
    driver.process.kill()
    driver.process.communicate()
    assert open_experiment(str(folder / "results" / "test")).trials["state"].tolist() == ["running"]

    assert drive("--resume").end()["exit_code"] == 3

    trials = open_experiment(str(folder / "results" / "test")).trials
    assert trials["state"].tolist() == ["failed", "complete"]
    assert trials["failure"][0] == "configuration"
    assert "the worker process died in every attempt" in trials["error"][0]
    assert epochs_trained(folder)[1] == 3 + 2  # two crashes, one cut off, two more crashes
