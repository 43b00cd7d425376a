"""ASHA that pauses: who waits, who is promoted, and what a killed search remembers of it."""

import os
import random
import signal
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from ray import cloudpickle, tune

from tune_jobs.engine import ASHA, TPE, Job, JobError, Profile, RandomSearch, run
from tune_jobs.engine.experiments.history.records import Continued, Epoch, Paused
from tune_jobs.engine.job.job import MakeSearcher
from tune_jobs.engine.resume.past import PastTrial
from tune_jobs.engine.resume.replay import replay
from tune_jobs.engine.search.promotion.rungs import Rungs
from tune_jobs.engine.search.promotion.scheduler import PromotingScheduler

cloudpickle.register_pickle_by_value(sys.modules[__name__])

# The first epoch of each trial, in their order; the second is a slow starter.
FIRST = [0.2, 0.3, 0.5, 0.6, 0.7, 0.8]


def test_one_in_three_may_train_further_and_the_best_always() -> None:
    rungs = Rungs([1, 3], 3)
    for number, loss in enumerate(FIRST[:5], 1):
        assert rungs.enter(f"{number}", 1, loss)
    assert rungs.next() == "1"
    assert rungs.next(leave_out=["1"]) is None  # of 5, one

    rungs.enter("6", 1, FIRST[5])

    assert rungs.next(leave_out=["1"]) == "2"  # of 6, two
    rungs.enter("1", 2, 0.1)
    assert "1" not in rungs.waiting  # it is between two rungs
    rungs.enter("1", 3, 0.9)
    assert rungs.next() == "1"  # the higher rung comes first
    assert not rungs.enter("1", 3, 0.0)


def test_what_is_promoted_does_not_depend_on_the_order_in_which_trials_came() -> None:
    entries = [(f"{n}", epoch, random.Random(n).random()) for n in range(40) for epoch in (1, 3)]
    entries = [entry for entry in entries if entry[1] == 1 or int(entry[0]) % 3 == 0]
    promoted = []
    for seed in range(5):
        rungs, left = Rungs([1, 3, 9], 3), list(entries)
        random.Random(seed).shuffle(left)
        for name, epoch, loss in sorted(left, key=lambda entry: entry[1]):
            rungs.enter(name, epoch, loss)
        order = []
        while name := rungs.next(order):
            order.append(name)
        promoted.append(order)
    assert len(promoted[0]) > 4
    assert all(order == promoted[0] for order in promoted)


def test_rungs_that_are_replayed_are_those_that_were() -> None:
    scheduler, again = make(9), make(9)
    past = []
    for number, loss in enumerate(FIRST, 1):
        curve = [(1, loss), *([(2, 0.15), (3, 0.1)] if number == 1 else [])]
        scheduler.recall(f"{number:05d}", curve, waits=True)
        past.append(PastTrial(number, {}, True, loss, 1, curve, number, waits=number < 6))
    replay(again, past, "loss")

    assert again.rungs.losses == scheduler.rungs.losses
    assert scheduler.rungs.losses[3] == {"00001": 0.1}
    assert again.rungs.waiting == {"00001": 3, **{f"0000{n}": 1 for n in (2, 3, 4, 5)}}
    assert scheduler.rungs.waiting == again.rungs.waiting | {"00006": 1}


def test_a_trial_at_the_end_waits_for_nothing() -> None:
    scheduler = make(4)
    scheduler.recall("00001", [(1, 0.5), (2, 0.5), (3, 0.5), (4, 0.5)], waits=True)
    assert not scheduler.is_waiting("00001")


def test_brackets_are_refused() -> None:
    with pytest.raises(JobError, match="brackets is 2, but must be 1 with resume=True"):
        ASHA(brackets=2, resume=True)(9)


def make(max_epochs: int) -> PromotingScheduler:
    scheduler = ASHA(grace_period=1, reduction_factor=3, resume=True)(max_epochs)
    assert isinstance(scheduler, PromotingScheduler)
    scheduler.set_search_properties("loss", "min")
    return scheduler


def train(config: dict, data: object) -> None:
    """Fall from the first loss to the last, and note every epoch that is really trained."""
    import pathlib
    import tempfile

    start = 0
    if checkpoint := tune.get_checkpoint():
        with checkpoint.as_directory() as folder:
            start = int(pathlib.Path(folder, "epoch").read_text())
    for epoch in range(start + 1, config["max_epochs"] + 1):
        with pathlib.Path(config["log"]).open("a") as log:
            log.write(f"{int(tune.get_context().get_trial_id())} {epoch}\n")
        loss = config["x"] - (0.08 if config["x"] == 0.3 else 0.02) * (epoch - 1)
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "epoch").write_text(str(epoch))
            tune.report({"loss": loss}, checkpoint=tune.Checkpoint.from_directory(folder))


@pytest.fixture
def job(tmp_path) -> Job:
    return Job(
        train,
        {"x": tune.uniform(0, 1), "log": str(tmp_path / "log")},
        metric="loss",
        searcher=RandomSearch(),
        scheduler=ASHA(grace_period=1, reduction_factor=3, resume=True),
        points_to_evaluate=[{"x": x, "log": str(tmp_path / "log")} for x in FIRST],
        num_samples=6,
        max_epochs=9,
        finalists=None,
    )


@pytest.fixture
def search(tmp_path):
    def search(job: Job, name: str = "test", workers: int = 1, **how: object):
        profile = Profile(storage=str(tmp_path / "results"), max_concurrent_trials=workers)
        listeners = [how.pop("listener")] if "listener" in how else []
        return run(job, profile=profile, name=name, listeners=listeners, **how)

    return search


def trained(job: Job) -> Counter:
    """How often each epoch of each trial was trained."""
    lines = Path(job.space["log"]).read_text().splitlines()
    return Counter(tuple(map(int, line.split())) for line in lines)


@pytest.mark.usefixtures("local_ray")
def test_a_slow_starter_that_was_overtaken_is_promoted_later(search, job) -> None:
    heard: list[object] = []
    result = search(job, listener=heard.append)

    assert result.exit_code == 0
    assert [e.trial for e in heard if isinstance(e, Paused)] == [2, 3, 4, 5, 6]
    assert [e.trial for e in heard if isinstance(e, Continued)] == [2]
    assert result.trials["epochs"].tolist() == [9, 9, 1, 1, 1, 1]
    assert result.trials["state"].tolist() == ["complete"] * 2 + ["stopped"] * 4
    log = Path(job.space["log"]).read_text().split("\n")
    assert log.index("2 2") > log.index("6 1")  # only then were there enough that are worse
    assert set(trained(job).values()) == {1}
    assert len(result.epochs) == 2 * 9 + 4
    assert result.best_config["x"] == 0.3  # ASHA that stops had found 0.2


@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize("searcher", [RandomSearch(), TPE(n_initial_points=3)], ids=str)
def test_with_several_workers_the_search_ends_and_trains_nothing_twice(
    search, job, searcher: MakeSearcher
) -> None:
    result = search(replace(job, searcher=searcher, num_samples=20), workers=2)

    assert result.exit_code == 0
    assert len(result.trials) == 20
    assert set(result.trials["state"]) == {"complete", "stopped"}
    assert set(result.trials["epochs"]) <= {1, 3, 9}
    assert set(trained(job).values()) == {1}


@pytest.mark.usefixtures("local_ray")
def test_a_search_that_is_cut_off_goes_on_as_if_it_had_not_been(search, job) -> None:
    job = replace(job, searcher=TPE(n_initial_points=3), num_samples=12)
    whole, once = search(job, "whole"), trained(job)
    Path(job.space["log"]).unlink()
    for epochs in (3, 12, 5):
        search(job, "parts", resume=True, listener=Interrupt(epochs))
    parts = search(job, "parts", resume=True)

    told = ["trial", "state", "config", "value", "best_epoch", "epochs"]
    assert parts.trials[told].equals(whole.trials[told])
    assert trained(job) == once
    assert "unfinished" not in set(parts.trials["state"])


@pytest.mark.usefixtures("local_ray")
def test_a_trial_that_was_stopped_is_promoted_when_more_trials_come(search, job) -> None:
    few = search(replace(job, num_samples=4))
    assert few.trials["state"].tolist() == ["complete", *["stopped"] * 3]

    more = search(replace(job, num_samples=4), extend=2)

    assert more.trials["epochs"].tolist() == [9, 9, 1, 1, 1, 1]
    assert set(trained(job).values()) == {1}


class Interrupt:
    """Ends a run by a signal, after some epochs."""

    def __init__(self, epochs: int) -> None:
        self.left = epochs

    def __call__(self, event: object) -> None:
        if isinstance(event, Epoch):
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGINT)
