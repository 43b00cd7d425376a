"""Trials that fail in every way: the failure has a kind, and the search goes on or ends rightly."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from ray import cloudpickle, tune

from tune_jobs.engine import ASHA, TPE, Job, Profile, open_experiment, run
from tune_jobs.engine.experiments.history.records import Listener
from tune_jobs.engine.outcome import EXIT_CODES
from tune_jobs.engine.search.model_searcher import ModelSearcher
from tune_jobs.engine.search.observations import Observation

cloudpickle.register_pickle_by_value(sys.modules[__name__])
pytestmark = pytest.mark.usefixtures("local_ray")


# What a trial reports in its second epoch in place of the metric.
LATER = {"reports None later": {"loss": None}, "reports text later": {"loss": "0.5"}}
LATER["forgets it later"] = {"accuracy": 1.0}


def train(config: dict, data: object) -> object:
    """Do what the config says, where x is above one half."""
    import pathlib

    if config["x"] <= 0.5:
        tune.report({"loss": config["x"]})
        return None
    what, flag = config["what"], pathlib.Path(config["folder"], str(config["x"]))
    once = not flag.exists()
    flag.touch()
    if what == "raises":
        raise ValueError(f"x is {config['x']}")
    if what.startswith("exits"):
        raise SystemExit(int(what[-1]))
    if what == "out of memory":
        raise MemoryError
    if what in ("nan", "inf"):
        tune.report({"loss": float(what)})
        tune.report({"loss": 0.0})
    elif what in LATER:
        tune.report({"loss": config["x"]})
        tune.report(LATER[what])
    elif what == "returns a string":
        return "0.5"
    elif what == "dies" or (what == "dies once" and once):
        os.kill(os.getpid(), signal.SIGKILL)
    elif what == "hangs" or (what == "hangs once" and once):
        time.sleep(1000)
    elif what.endswith("once"):
        tune.report({"loss": config["x"]})
    return None


@pytest.fixture
def search(tmp_path):
    def search(
        what: str,
        resume: bool = False,
        max_failures: int = 1,
        listener: Listener = lambda _: None,
        **changes: object,
    ):
        space = {"x": tune.uniform(0, 1), "what": what, "folder": str(tmp_path)}
        job = Job(train, space, metric="loss", num_samples=6, max_epochs=3, seed=5, finalists=None)
        profile = Profile(
            storage=str(tmp_path / "results"),
            max_concurrent_trials=1,
            max_silence_minutes=3 / 60 if "hangs" in what else 60,
            max_failures=max_failures,
        )
        changed = replace(job, **changes)
        return run(changed, profile=profile, name="test", resume=resume, listeners=[listener])

    return search


@pytest.mark.parametrize(
    ("what", "kind", "said"),
    [
        ("raises", "configuration", "ValueError: x is 0."),
        ("out of memory", "configuration", "MemoryError"),
        ("exits with 0", "configuration", "SystemExit: 0"),
        ("exits with 3", "configuration", "SystemExit: 3"),
        ("nan", "divergence", "loss is nan"),
        ("inf", "divergence", "loss is inf"),
        ("returns a string", "configuration", "returned without reporting loss"),
        ("returns nothing", "configuration", "returned without reporting loss"),
        ("reports None later", "configuration", "'loss' must be reported as a number, got None"),
        ("reports text later", "configuration", "'loss' must be reported as a number, got '0.5'"),
        ("forgets it later", "configuration", "'loss' was never reported. The trainable reported"),
        ("dies", "configuration", "the worker process died in every attempt"),
        pytest.param("hangs", "hang", "and again after a retry", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("scheduler", [None, ASHA()], ids=["none", "asha"])
def test_a_failure_has_its_kind_and_the_others_go_on(search, what, kind, said, scheduler) -> None:
    if scheduler and what in ("dies", "hangs"):
        pytest.skip("a scheduler hears nothing of it")
    if scheduler and what in LATER:
        pytest.skip("the scheduler stops it before that")
    result = search(what, scheduler=scheduler)

    trials = result.trials
    failed = trials[trials["config.x"] > 0.5]
    assert 0 < len(failed) < 6
    assert set(failed["state"]) == {"failed"}
    assert set(failed["failure"]) == {kind}, failed["error"].tolist()
    assert failed["error"].str.contains(said, regex=False).all()
    assert set(trials[trials["config.x"] <= 0.5]["state"]) <= {"complete", "stopped"}
    assert result.exit_code == (0 if kind == "divergence" else 3)
    assert result.best_config["x"] <= 0.5


@pytest.mark.parametrize("what", ["dies once", pytest.param("hangs once", marks=pytest.mark.slow)])
def test_what_happens_once_is_tried_again(search, what) -> None:
    result = search(what)

    assert result.exit_code == 0
    assert set(result.trials["state"]) == {"complete"}


def test_the_searcher_learns_to_keep_away_from_what_fails(search) -> None:
    result = search("out of memory", searcher=TPE(n_initial_points=10), num_samples=60)

    late = result.trials[result.trials["trial"] > 30]
    assert (late["config.x"] > 0.5).mean() < 0.35  # it is half of the space, and never scored


def test_a_config_that_kills_its_worker_fails_for_good_and_the_searcher_hears(
    search, tmp_path, monkeypatch
) -> None:
    learned: list[Observation] = []
    learn = ModelSearcher.learn

    def note(self: ModelSearcher, key: str, observation: Observation) -> None:
        learned.append(observation)
        learn(self, key, observation)

    monkeypatch.setattr(ModelSearcher, "learn", note)
    first = search("dies", searcher=TPE(), num_samples=3)
    failed = first.trials[first.trials["state"] == "failed"]["config.x"].tolist()
    for x in failed:
        (tmp_path / str(x)).unlink()
    again = search("dies", searcher=TPE(), num_samples=3, resume=True)

    assert failed
    assert [o.config["x"] for o in learned if o.state == "failed"][: len(failed)] == failed
    assert again.trials["state"].tolist() == first.trials["state"].tolist()
    assert not any((tmp_path / str(x)).exists() for x in failed)  # none was tried again


def test_an_exception_from_most_trials_ends_the_search(search) -> None:
    space = {"x": tune.uniform(0.3, 1), "what": "raises"}
    result = search("raises", num_samples=60, space=space | {"folder": "/tmp"}, seed=1)

    assert result.exit_code == 5
    assert 3 <= len(result.trials) <= 20
    assert "ValueError" in result.summary.error


@pytest.mark.slow
def test_workers_that_are_killed_because_memory_is_short_fail_their_trials(tmp_path) -> None:
    always = {"RAY_memory_usage_threshold": "0.01", "RAY_memory_monitor_refresh_ms": "100"}
    job = Path(__file__).with_name("arithmetic.py")
    command = [sys.executable, "-m", "tune_jobs", "run", job, "--name", "x", "--storage", tmp_path]
    ran = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env=os.environ | always
    )

    assert ran.returncode == EXIT_CODES["nothing usable"], ran.stderr
    assert "Traceback" not in ran.stdout + ran.stderr
    assert "4 x OutOfMemoryError: " in ran.stdout
    found = open_experiment(tmp_path / "x")
    assert not any("COMMAND" in each for each in found.trials["error"])  # everybody's
