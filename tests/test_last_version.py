"""Experiments of the last version open, report, predict and continue.

The fixtures were made by version 0.1.0: ``tune_jobs run wine.py --name experiment_0_1 --seed 3``,
and the interrupted one with ``--seed 4 --num-samples 30 --max-hours 0.004``.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result

from tune_jobs.cli.main import main
from tune_jobs.engine import Experiment, Profile, open_experiment, run
from tune_jobs.engine.experiments.history.records import Event, TrialEnd, TrialStart
from tune_jobs.engine.job.modules import find_job
from tune_jobs.engine.report import write_report

FIXTURES = Path(__file__).parent / "fixtures"
COMPLETE, INTERRUPTED = "experiment_0_1", "experiment_0_1_interrupted"
TOLD = ["trial", "state", "config", "value", "best_epoch", "epochs"]


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A folder with the job and both experiments, which is the current one."""
    shutil.copy(FIXTURES / "wine.py", tmp_path)
    for name in (COMPLETE, INTERRUPTED):
        shutil.copytree(FIXTURES / name, tmp_path / "results" / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*words: str) -> Result:
    ran = CliRunner().invoke(main, words, catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    return ran


def find(name: str) -> Experiment:
    return open_experiment(name)


def told(experiment: Experiment, most: int) -> list[dict]:
    trials = experiment.trials
    return trials[trials["trial"] <= most][TOLD].to_dict("records")


def list_fits(experiment: Experiment) -> list[tuple[int, int]]:
    """What the finals have trained: the trial and the batch of replicas of each task."""
    records = Experiment(experiment.folder.child("finalists")).segments.records()
    return [(each.of, each.batch) for each in records if isinstance(each, TrialStart)]


def test_it_opens(here) -> None:
    found = find(COMPLETE)

    assert (found.exit_code, found.problems) == (0, [])
    assert found.best.trial == found.verdict.trial == found.summary.winner.trial == 5
    assert found.best_value == pytest.approx(0.17515904)
    assert found.verdict.mean == pytest.approx(0.3147334)
    assert [each.trial for each in found.verdict.finalists] == [5, 6]
    assert [base.name for base in found.verdict.baselines] == ["class frequencies", "linear model"]
    assert found.summary.test["accuracy"] == pytest.approx(35 / 36)
    assert (found.description.seed, found.description.command["job"]) == (3, "wine.py")
    assert found.description.source is None
    assert (len(found.trials), len(found.epochs)) == (8, 30)
    assert find(INTERRUPTED).exit_code == 6
    assert find(INTERRUPTED).verdict is None


def test_it_is_shown_listed_and_compared(here) -> None:
    said = call("show", COMPLETE).stdout
    found = json.loads(call("show", COMPLETE, "--json").stdout)
    listed = [json.loads(line) for line in call("ls", "--json").stdout.splitlines()]
    compared = call("compare", COMPLETE, INTERRUPTED).stdout

    assert "winner      trial 5, 1 epoch" in said
    assert found["winner"] == json.loads((FIXTURES / COMPLETE / "verdict.json").read_text())
    summary = json.loads((FIXTURES / COMPLETE / "summary.json").read_text())
    assert {key: found[key] for key in summary if key != "winner"} == {
        key: summary[key] for key in summary if key != "winner"
    }
    assert [(entry["name"], entry["state"], entry["best"], entry["fresh"]) for entry in listed] == [
        (INTERRUPTED, "budget used", None, None),
        (COMPLETE, "complete", pytest.approx(0.1751590), pytest.approx(0.3147334)),
    ]
    assert "winner on fresh seeds  0.3147 (-0.3248 to 0.9543)" in compared


def test_it_is_reported(here) -> None:
    write_report([find(COMPLETE), find(INTERRUPTED)])

    page = (here / "results" / COMPLETE / "report.html").read_text()
    assert "Finalists on fresh seeds" in page
    assert "val_loss of trial 5, mean of 8 fresh scores" in page
    assert (here / "results" / COMPLETE / "report.png").read_bytes().startswith(b"\x89PNG")


def test_its_model_predicts(here) -> None:
    from sklearn.datasets import load_wine

    data = load_wine(as_frame=True)
    names = {name: name.replace(" ", "_") for name in data.data.columns}
    data.data.rename(columns=names).to_parquet("new.parquet")
    words = ["predict", f"results/{COMPLETE}", "new.parquet", "predictions.csv"]
    ran = subprocess.run(
        [sys.executable, "-m", "tune_jobs", *words], capture_output=True, text=True, cwd=here
    )

    assert ran.returncode == 0, ran.stderr
    predicted = pd.read_csv("predictions.csv")
    assert (predicted["prediction"] == data.target).mean() > 0.9


@pytest.mark.usefixtures("local_ray")
def test_it_is_extended_and_nothing_is_trained_again(here) -> None:
    before, fits = find(COMPLETE), list_fits(find(COMPLETE))
    old, epochs = told(before, 8), before.epochs

    ran = call("run", "--name", COMPLETE, "--extend", "2")

    now = find(COMPLETE)
    assert "cannot be compared with that of tune-jobs 0.1.0" in ran.stderr
    assert told(now, 8) == old
    pd.testing.assert_frame_equal(now.epochs[now.epochs["trial"] <= 8][list(epochs)], epochs)
    assert list(now.trials["trial"]) == list(range(1, 11))
    assert set(now.trials["state"].tail(2)) <= {"complete", "stopped"}
    assert (now.exit_code, now.summary.attempt) == (0, 2)
    assert now.verdict.trial in [each.trial for each in now.verdict.finalists]
    assert list_fits(now)[: len(fits)] == fits
    assert len(list_fits(now)) == len(set(list_fits(now)))
    assert now.description.source
    # It has an id now, and its files without one are still its own.
    assert now.problems == []
    assert now.identity.id == now.description.experiment_id == now.verdict.experiment_id
    assert now.identity.id.startswith("adopted-")
    assert now.summary.checksums.keys() == {"best.keras", "best_config.json", "rebuild_best.py"}


@pytest.mark.usefixtures("local_ray")
def test_one_that_was_interrupted_continues_with_its_trials(here) -> None:
    before = find(INTERRUPTED)
    configs = list(before.trials["config"])
    ended = []

    def interrupt(record: Event | None) -> None:
        if isinstance(record, TrialEnd):
            was_enough = {1, 2} <= set(ended)
            ended.append(record.trial)
            if {1, 2} <= set(ended) and not was_enough:  # a second signal would end the test
                os.kill(os.getpid(), signal.SIGINT)

    job = replace(find_job("wine.py").job, seed=4, num_samples=3, finalists=None)
    profile = Profile(storage=str(here / "results"), max_concurrent_trials=2)
    run(job, profile=profile, name=INTERRUPTED, resume=True, listeners=[interrupt])

    now = find(INTERRUPTED)
    assert (now.exit_code, now.summary.attempt) == (7, 2)
    assert list(now.trials["config"][:2]) == configs
    assert set(now.trials["state"][:2]) <= {"complete", "stopped"}
    assert now.trials["value"][:2].notna().all()
