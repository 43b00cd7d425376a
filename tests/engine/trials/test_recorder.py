"""Trials of several replicas: while a search runs, too, the mean over replicas is compared."""

import io
import sys
from pathlib import Path

import cloudpickle
import pytest
from ray import tune
from ray.tune.schedulers import FIFOScheduler

from trainables.fitting.session import Session
from tune_jobs.engine import Job, Profile, run
from tune_jobs.engine.experiments.lease import Lease
from tune_jobs.engine.goal import Goal
from tune_jobs.engine.storage.folder import open_folder
from tune_jobs.engine.views.board import Board
from tune_jobs.engine.views.live import LineView, as_text
from tune_jobs.engine.views.pulse import Pulse

cloudpickle.register_pickle_by_value(sys.modules[__name__])
pytestmark = pytest.mark.usefixtures("local_ray")

BYTES = 1000
GOAL = Goal("loss")


def two_folds(config: dict, data: object) -> None:
    """One fold that is the better, the worse their mean is: trial 1 has the best mean."""
    session, number = Session(config), config["number"]
    for epoch in (1, 2):
        values = [{"loss": float(-number)}, {"loss": 3.0 * number + 2 - epoch}]
        mean = sum(each["loss"] for each in values) / 2
        session.note({"epoch": epoch, "loss": mean, "seconds": 0.1, "replicas": values})
    session.send(0.0, lambda folder: Path(folder, "weights").write_bytes(b"x" * BYTES))


@pytest.fixture
def search(tmp_path):
    def search(trials: int, *listeners, **profile):
        job = Job(
            two_folds,
            {"number": tune.grid_search(list(range(1, trials + 1)))},
            metric="loss",
            num_samples=1,
            max_epochs=2,
            finalists=None,
            scheduler=lambda _: FIFOScheduler(),
        )
        where = Profile(storage=str(tmp_path), max_concurrent_trials=1, **profile)
        return run(job, profile=where, name="folds", listeners=list(listeners))

    return search


def test_the_views_show_the_mean_over_replicas(search) -> None:
    stream, board = io.StringIO(), Board(2, 2, GOAL)
    experiment = search(2, LineView(board, stream))

    assert experiment.best_value == 1.0  # (-1 + 3) / 2, of trial 1 after epoch 2
    _, first, second = stream.getvalue().splitlines()
    assert first.endswith("trial 1 of 2 complete: loss 1 at epoch 2 (best 1, trial 1)")
    assert second.endswith("trial 2 of 2 complete: loss 2 at epoch 2 (best 1, trial 1)")
    assert "best loss 1  trial 1, epoch 2" in as_text(board)


def test_the_pulse_of_a_run_holds_the_mean_over_replicas(search, tmp_path) -> None:
    lease, best = Lease(open_folder(tmp_path / "other")), []
    pulse = Pulse(lease, Board(2, 2, GOAL))

    def look(record) -> None:
        pulse(record)
        if record is not None:
            best.append(lease.facts["best"])

    search(2, look)
    assert best[-1] == 1.0
    assert set(best) == {None, 1.5, 1.0}


def test_the_trials_with_the_best_means_keep_their_checkpoints(search) -> None:
    experiment = search(7, max_checkpoint_gb=BYTES / 2**30)

    saved = experiment.epochs.dropna(subset="checkpoint")
    kept = [experiment.folder.exists(path) for path in saved["checkpoint"]]
    assert set(saved["trial"][kept]) == {1, 2, 3, 4, 5}
