"""All that a rehearsal of a job needs, in a file that other processes read."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tune_jobs.engine.data.dataset import Replica, TrainingData
from tune_jobs.engine.data.own_data import OwnData
from tune_jobs.engine.finals.making import Recipe
from tune_jobs.engine.job.companions import companion
from tune_jobs.engine.space.configs import Config
from tune_jobs.engine.space.grid import extremes
from tune_jobs.engine.trials.shipping import ship

if TYPE_CHECKING:
    from tune_jobs.engine.data.dataset import Dataset
    from tune_jobs.engine.job.job import Job

# Rows that are predicted, and rows that are scored without scorers of one's own.
FEW, SCORED = 4, 256
BATCH_SIZE = 32

SCENE, PLACES = "scene.pkl", "places.pkl"


@dataclass(frozen=True)
class Scene:
    """All that the two processes need.

    Attributes:
        train: the job's trainable.
        recipe: the functions that make and read a model file.
        metric: what decides.
        data: one batch, and validation rows.
        inputs: rows as the model file takes them; None without data.
        module: the place of the trainable's module, which ``predict --trust`` would import; None
            if it is no file.
    """

    train: Callable[..., Any]
    recipe: Recipe
    metric: str
    data: Any
    inputs: Any
    module: str | None


def make_scene(job: Job, data: Dataset | OwnData | None) -> Scene:
    """Gather what a rehearsal needs.

    Raises:
        JobError: if the trainable's module lacks a function.
    """
    module = sys.modules[job.trainable.__module__]
    names = ("build", "export", "load", "predict")
    dataset = None if isinstance(data, OwnData) else data
    smallest = {**extremes(job.space)[0], **job.constants(dataset)}
    config = {**smallest, "max_epochs": 1, "rungs": []}
    functions = {name: companion(module, name) for name in names}
    recipe = Recipe(
        **functions,
        config=config,
        checkpoint=None,
        preprocessing=dataset.preprocessing if dataset else None,
    )
    return Scene(
        train=job.trainable,
        recipe=recipe,
        metric=job.metric,
        data=_one_batch(data, config),
        inputs=_few_rows(dataset.raw_test) if dataset else None,
        module=_place_of(module.__name__),
    )


def _place_of(module: str) -> str | None:
    """Return what a user would name to import a module: its file, or its dotted name."""
    file = getattr(sys.modules[module], "__file__", None)
    if module == "__main__" or file is None:
        return None
    return module if "." in module else str(Path(file).absolute())


def _one_batch(data: Dataset | OwnData | None, config: Config) -> Any:
    """Return what a trainable gets of the data: a training batch, and some validation rows."""
    size = config.get("batch_size", BATCH_SIZE)
    size = size if isinstance(size, int) else BATCH_SIZE
    if isinstance(data, OwnData):
        return data.cut(size, max(size, SCORED)).training
    return None if data is None else _first_batch(data.training, size)


def _first_batch(training: TrainingData, size: int) -> TrainingData:
    """Return a training batch of the first replica, its validation rows, and at most two seeds."""
    first = training.replicas[0] if training.replicas else Replica(0)
    rows = np.arange(len(training.y_train)) if first.train is None else first.train
    held = np.arange(len(training.y_validation)) if first.validation is None else first.validation
    rows = rows[:size]
    held = held if training.scorers else held[:SCORED]
    return replace(
        training,
        x_train=training.x_train[rows],
        y_train=training.y_train[rows],
        x_validation=training.x_validation[held],
        y_validation=training.y_validation[held],
        replicas=tuple(Replica(each.seed) for each in training.replicas[:2]),
    )


def _few_rows(inputs: Any) -> Any:
    if isinstance(inputs, dict):
        return {name: column[:FEW] for name, column in inputs.items()}
    return inputs[:FEW]


def write_scene(scene: Scene, folder: Path) -> None:
    """Write the files that the processes of a rehearsal read."""
    from ray import cloudpickle

    (folder / SCENE).write_bytes(ship(scene, of=scene.train).content)
    (folder / PLACES).write_bytes(cloudpickle.dumps((scene.module, scene.inputs)))
