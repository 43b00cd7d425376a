"""Search with tune-jobs: a job whose data are the task's arrays.

The trainable's module has no ``export``, so no model file is written: no peer writes one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ray import tune

from benchmarks import family
from benchmarks.contenders.journal import Journal
from benchmarks.task import Task
from tune_jobs.engine import ASHA, Auto, Job, Profile, RandomSearch, run
from tune_jobs.engine.data.dataset import Dataset, TrainingData, digest
from tune_jobs.engine.experiments.history.records import Epoch, Event


def search(task: Task) -> dict[str, Any]:
    """Train all listed configs, as a grid."""
    space = {"model": tune.grid_search(task.configs), "batch_size": family.BATCH_SIZE}
    return _run(Job(space=space, num_samples=1, **_common(task)), task)


def search_pruned(task: Task) -> dict[str, Any]:
    """Run the default searcher and ASHA."""
    return _run(_job(task, searcher=Auto(), scheduler=ASHA(grace_period=1)), task, _listen(task))


def search_whole(task: Task) -> dict[str, Any]:
    """Run the default searcher, and train every trial to the end."""
    return _run(_job(task, searcher=Auto()), task, _listen(task))


def search_long(task: Task) -> dict[str, Any]:
    """Run a random search without pruning, to find how low the loss can get."""
    return _run(_job(task, searcher=RandomSearch()), task, _listen(task))


def _job(task: Task, **how: Any) -> Job:
    space = family.nested_space(task.family)
    return Job(space=space, num_samples=task.trials, **how, **_common(task))


def _common(task: Task) -> dict[str, Any]:
    return {
        "trainable": family.train,
        "data": lambda _seed: _dataset(task),
        "max_epochs": task.epochs,
        "seed": task.seed,
        "finalists": None,  # a comparison of searches
    }


def _dataset(task: Task) -> Dataset:
    data = task.data()
    training = TrainingData(data.x_train, data.y_train, data.x_validation, data.y_validation)
    none = np.empty(0)
    return Dataset(
        training,
        x_test=none,
        y_test=none,
        raw_test=none,
        signature={
            "task": "multiclass",
            "input_shape": task.fixed["input_shape"],
            "outputs": task.fixed["outputs"],
            "rows": len(data.x_train),
        },
        preprocessing={},
        fingerprint=digest([data.x_train, data.y_train]),
    )


def _listen(task: Task) -> list[Any]:
    journal = Journal(task.log)

    def listen(event: Event | None) -> None:
        if isinstance(event, Epoch):
            journal.note(event.metrics["val_loss"])

    return [listen]


def _run(job: Job, task: Task, listeners: Any = ()) -> dict[str, Any]:
    epochs = run(job, profile=Profile(storage=task.folder), listeners=list(listeners)).epochs
    last = epochs.sort_values("epoch").groupby("trial")["val_loss"].last()
    return {"losses": last.tolist(), "epochs": len(epochs)}
