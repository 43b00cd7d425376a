"""Workers that outlive a run: the next run finds them, or starts others if they are gone."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray import tune

from tune_jobs.engine import ASHA, Experiment, Job, Profile, RandomSearch, run
from tune_jobs.engine.cluster.concurrency import find_concurrency
from tune_jobs.engine.cluster.connection import ray_of
from tune_jobs.engine.cluster.kept import end_kept, kept_ray
from tune_jobs.engine.runs.start_ray import import_roots
from tune_jobs.engine.trials.warm_workers import call_in_worker, start_workers


def train(config: dict[str, Any], data: Any) -> None:
    for epoch in range(1, 4):
        row = {"epoch": epoch, "val_loss": config["x"] / epoch, "seconds": 0.0}
        work = {"path": "", "worker": f"here:{os.getpid()}", "began": time.time(), "spent": {}}
        work |= {"parameters": None, "fallback": None, "memory": 100.0}
        tune.report({**row, "training_iteration": epoch, "epochs": [row], "work": work})


def die_once(config: dict[str, Any], data: Any) -> None:
    mark = Path(config["mark"])
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    train(config, data)


@pytest.fixture(scope="module", autouse=True)
def kept() -> Iterator[None]:
    with ray_of(Profile(), import_roots(Job(train, {"x": tune.uniform(0, 1)})), is_kept=True):
        pass
    yield
    end_kept()


def search(folder: Path, name: str, trainable: Any = train, **options: Any) -> Experiment:
    space = {"x": tune.uniform(0, 1), **options.pop("space", {})}
    job = Job(
        trainable,
        space,
        searcher=RandomSearch(),
        finalists=None,
        **{"num_samples": 4, "max_epochs": 3, **options},
    )
    return run(job, profile=Profile(storage=str(folder)), name=name, listeners=[])


def workers_of(experiment: Experiment) -> set[str]:
    return set(experiment.trials["worker"].dropna())


def test_the_next_run_finds_the_workers_of_the_last(tmp_path: Path) -> None:
    first, second = search(tmp_path, "first"), search(tmp_path, "second")

    one, other = workers_of(first), workers_of(second)  # the first to start may do all
    assert one & other
    assert len(one | other) <= find_concurrency(Profile())
    assert list(second.trials["state"]) == ["complete"] * 4


def test_trials_find_the_workers_that_were_started_ahead(tmp_path: Path) -> None:
    kept = kept_ray()
    assert kept is not None
    while kept.workers:
        ray.kill(kept.workers.pop())

    start_workers(Profile(), trials=1)
    (worker,) = kept.starting
    started = ray.get(worker.do.remote(os.getpid, ()))
    found = search(tmp_path, "ahead", num_samples=1)

    assert [each.partition(":")[2] for each in workers_of(found)] == [str(started)]
    assert kept.starting == []


def test_a_worker_that_has_died_since_is_replaced(tmp_path: Path) -> None:
    before = workers_of(search(tmp_path, "before"))
    for worker in before:
        os.kill(int(worker.partition(":")[2]), signal.SIGKILL)

    after = search(tmp_path, "after")

    assert list(after.trials["state"]) == ["complete"] * 4
    assert not workers_of(after) & before


def test_a_trial_whose_worker_dies_is_tried_again_in_another(tmp_path: Path) -> None:
    mark = {"mark": str(tmp_path / "mark")}

    found = search(tmp_path, "dies", die_once, space=mark, num_samples=2)

    assert list(found.trials["state"]) == ["complete"] * 2
    assert search(tmp_path, "later").summary.outcome == "complete"


def test_a_call_whose_worker_dies_is_repeated_in_another(tmp_path: Path) -> None:
    def called(mark: Path) -> int:
        if not mark.exists():
            mark.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
        return os.getpid()

    profile, mark = Profile(), tmp_path / "mark"

    second = call_in_worker(called, mark, profile=profile)

    dead = int(mark.read_text())
    assert dead not in (second, call_in_worker(os.getpid, profile=profile))


def test_a_call_that_is_broken_off_leaves_no_worker_behind_that_still_runs_it() -> None:
    profile = Profile()
    before = call_in_worker(os.getpid, profile=profile)

    with pytest.raises(ray.exceptions.GetTimeoutError):
        call_in_worker(time.sleep, 60, profile=profile, timeout=0.1)

    assert call_in_worker(os.getpid, profile=profile) != before


def test_a_scheduler_stops_trials_early(tmp_path: Path) -> None:
    stopped = search(tmp_path, "asha", scheduler=ASHA(grace_period=1), num_samples=8).trials[
        "state"
    ]

    assert set(stopped) == {"complete", "stopped"}
    assert workers_of(search(tmp_path, "next"))
    assert len(kept_ray().workers) <= os.cpu_count()  # type: ignore[union-attr,operator]
