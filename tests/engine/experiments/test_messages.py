"""Epochs reported in few messages: the same decisions, the same history."""

import sys
from pathlib import Path

import cloudpickle
import pytest
from ray import tune

from trainables.fitting.session import Session
from tune_jobs.engine import ASHA, Job, Profile, run
from tune_jobs.engine.analysis.usage import PURPOSES

cloudpickle.register_pickle_by_value(sys.modules[__name__])
pytestmark = pytest.mark.usefixtures("local_ray")


def curve(config: dict, data: object) -> None:
    """Report as ``trainables.fitting.fit`` does, of a fit that needs no Keras."""
    session = Session(config)
    session.path = "arithmetic"
    last = config["max_epochs"]
    for epoch in range(1, last + 1):
        loss = config["x"] + 1 / epoch
        session.note({"epoch": epoch, "loss": loss, "seconds": 0.001})
        if session.is_due(epoch, ended=epoch == last):
            session.send(loss, lambda _: None)
            with Path(config["log"]).open("a") as log:
                log.write(f"{config['x']} {epoch}\n")


def replicas(config: dict, data: object) -> None:
    session = Session(config)
    for epoch in range(1, 5):
        values = [{"loss": 4.0 - epoch}, {"loss": 1.0 / epoch} if epoch < 3 else None]
        row = {"epoch": epoch, "loss": 0.0, "seconds": 0.1, "replicas": values}
        session.note(row)
    session.send(0.0, lambda _: None)


def own_words(config: dict, data: object) -> None:
    tune.report({"loss": 1.0, "epochs": 5, "work": 2.0, "path": 3})


@pytest.fixture
def search(tmp_path):
    def search(name: str, **changes):
        options = {
            "trainable": curve,
            "space": {"x": tune.uniform(0, 1), "log": str(tmp_path / f"{name}.log")},
            "metric": "loss",
            "num_samples": 12,
            "max_epochs": 27,
            "finalists": None,
            "scheduler": ASHA(grace_period=1, reduction_factor=3),
        }
        profile = Profile(storage=str(tmp_path), max_concurrent_trials=1)
        job = Job(**options | changes)
        return run(job, profile=profile, name=name, listeners=[]), tmp_path / f"{name}.log"

    return search


def test_few_messages_lead_to_the_same_decisions_as_one_an_epoch(search) -> None:
    few, log = search("few")
    every, full_log = search("every", scheduler=lambda epochs: ASHA(1, 3)(epochs))

    columns = ["trial", "state", "epochs", "value", "best_epoch"]
    assert few.trials[columns].equals(every.trials[columns])
    assert few.epochs[["trial", "epoch", "loss"]].equals(every.epochs[["trial", "epoch", "loss"]])
    assert few.trials["state"].nunique() == 2
    reported = {int(line.split()[1]) for line in log.read_text().splitlines()}
    assert reported <= {1, 3, 9, 27}
    assert len(log.read_text().splitlines()) < len(full_log.read_text().splitlines())


def test_without_a_scheduler_a_trial_sends_one_message(search) -> None:
    experiment, log = search("alone", scheduler=None, num_samples=2)

    assert [line.split()[1] for line in log.read_text().splitlines()] == ["27", "27"]
    assert (
        experiment.epochs.groupby("trial")["epoch"].apply(list).tolist() == [list(range(1, 28))] * 2
    )


def test_the_history_holds_every_replica_and_the_best_is_that_of_their_mean(search) -> None:
    experiment, _ = search("replicas", trainable=replicas, scheduler=None, num_samples=1)

    rows = experiment.epochs.set_index(["epoch", "replica"])["loss"].to_dict()
    assert rows == {(1, 0): 3, (1, 1): 1, (2, 0): 2, (2, 1): 0.5, (3, 0): 1, (4, 0): 0}
    # The second replica ended after two epochs, and counts with its best from then on.
    assert experiment.best_value == pytest.approx((0 + 0.5) / 2)
    assert experiment.best_trial["best_epoch"] == 4


def test_a_run_says_where_its_time_went(search) -> None:
    experiment, _ = search("usage")
    usage = experiment.summary.usage

    assert set(usage.seconds) == set(PURPOSES)
    assert usage.seconds["training"] == pytest.approx(0.001 * len(experiment.epochs))
    assert sum(usage.seconds.values()) == pytest.approx(
        experiment.summary.seconds * usage.workers, rel=0.1
    )
    assert experiment.trials["path"].unique().tolist() == ["arithmetic"]
    assert experiment.trials["worker"].nunique() == 1


def test_a_trainables_own_metrics_may_have_the_names_of_a_message(search) -> None:
    experiment, _ = search("own", trainable=own_words, scheduler=None, num_samples=1)

    assert experiment.epochs[["epochs", "work", "path"]].to_numpy().tolist() == [[5, 2, 3]]
    assert experiment.trials["path"].isna().all()
