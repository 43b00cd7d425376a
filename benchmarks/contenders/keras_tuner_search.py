"""Search with KerasTuner: a hypermodel in one process."""

from __future__ import annotations

import math
from typing import Any

import keras_tuner

from benchmarks import family
from benchmarks.contenders.journal import Journal, journal_callback
from benchmarks.task import Task

FACTOR = 3


def search(task: Task) -> dict[str, Any]:
    """Run RandomSearch, whose draws are the listed configs."""
    model = Model(task)
    oracle = ListedOracle(objective="val_loss", max_trials=task.trials, seed=_seed(task))
    oracle.points = task.points
    return _run(keras_tuner.Tuner(oracle=oracle, hypermodel=model, **_place(task)), model, task)


def search_hyperband(task: Task) -> dict[str, Any]:
    """Run Hyperband repeatedly until it has trained about as many epochs as the others."""
    _, epochs = one_hyperband(task.epochs)
    return _run_hyperband(task, max(1, round(task.trials * task.epochs / epochs)))


def search_pruned(task: Task) -> dict[str, Any]:
    """Run Hyperband repeatedly until it has tried about as many configs as the others."""
    configs, _ = one_hyperband(task.epochs)
    return _run_hyperband(task, max(1, round(task.trials / configs)), journal=True)


def one_hyperband(max_epochs: int) -> tuple[int, int]:
    """Return the configs and epochs of one iteration, as KerasTuner plans its brackets."""
    ends, configs, epochs = math.ceil(1 + math.log(max_epochs, FACTOR)), 0, 0
    bracket, first = 0, float(max_epochs)  # the epochs of a bracket's first round
    while first >= 1:
        sizes = [math.ceil(ends / (bracket + 1) * FACTOR**left) for left in range(bracket, -1, -1)]
        until = [math.ceil(max_epochs / FACTOR**left) for left in range(bracket, -1, -1)]
        steps = [b - a for a, b in zip([0, *until], until, strict=False)]
        configs += sizes[0]
        epochs += sum(size * step for size, step in zip(sizes, steps, strict=True))
        bracket, first = bracket + 1, first / FACTOR
    return configs, epochs


class ListedOracle(keras_tuner.oracles.RandomSearchOracle):
    """Gives the listed configs instead of random ones."""

    points: list[dict[str, Any]]

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Return the next config."""
        return {"status": "RUNNING", "values": dict(self.points[int(trial_id)])}


class Model(keras_tuner.HyperModel):
    """Asks for one hyperparameter after another, and keeps the last loss of every fit."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.task = task
        self.losses: list[float] = []
        self.epochs = 0

    def build(self, hp: keras_tuner.HyperParameters) -> Any:
        """Build the model for KerasTuner's choice."""

        def draw_log(name: str, lower: float, upper: float) -> float:
            return hp.Float(name, lower, upper, sampling="log")

        return family.build_anew(
            {**family.ask(self.task.family, hp.Choice, draw_log), **self.task.fixed}
        )

    def fit(self, hp: keras_tuner.HyperParameters, model: Any, *args: Any, **kwargs: Any) -> Any:
        """Fit, and keep the last loss."""
        history = super().fit(hp, model, *args, **kwargs)
        losses = history.history["val_loss"]
        self.losses.append(losses[-1])
        self.epochs += len(losses)
        return history


def _run_hyperband(task: Task, iterations: int, journal: bool = False) -> dict[str, Any]:
    model = Model(task)
    tuner = keras_tuner.Hyperband(
        model,
        objective="val_loss",
        max_epochs=task.epochs,
        factor=FACTOR,
        hyperband_iterations=iterations,
        seed=_seed(task),
        **_place(task),
    )
    return _run(tuner, model, task, [journal_callback(Journal(task.log))] if journal else [])


def _seed(task: Task) -> int:
    """Return a seed of at least one: KerasTuner takes 0 for none."""
    return task.seed + 1


def _place(task: Task) -> dict[str, Any]:
    return {"directory": task.folder, "project_name": "keras_tuner", "overwrite": True}


def _run(tuner: Any, model: Model, task: Task, callbacks: Any = ()) -> dict[str, Any]:
    data = task.data()
    tuner.search(data.x_train, data.y_train, **task.fit_options(data, callbacks))
    return {"losses": model.losses, "epochs": model.epochs}
