"""Search with Optuna and Keras in one process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import optuna

from benchmarks import family
from benchmarks.contenders.journal import Journal, journal_callback
from benchmarks.task import Data, Task


def search(task: Task) -> dict[str, Any]:
    """Train all listed configs."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=task.seed))
    for point in task.points:
        study.enqueue_trial(point)
    return _run(study, task)


def search_pruned(task: Task) -> dict[str, Any]:
    """Run TPE and successive halving."""
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=task.seed),
        pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3),
    )
    return _run(study, task, [journal_callback(Journal(task.log))], prune=True)


class Report(keras.callbacks.Callback):
    """Reports the loss of every epoch to Optuna, and ends the fit if Optuna says so."""

    def __init__(self, trial: optuna.Trial) -> None:
        super().__init__()
        self.trial = trial
        self.pruned = False

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Report the loss, and ask whether to continue."""
        self.trial.report(logs["val_loss"], epoch + 1)
        self.pruned = self.trial.should_prune()
        self.model.stop_training = self.pruned


def _run(
    study: optuna.Study, task: Task, callbacks: Sequence[Any] = (), prune: bool = False
) -> dict[str, Any]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    data, losses = task.data(), []

    def objective(trial: optuna.Trial) -> float:
        report = [Report(trial)] if prune else []
        losses.append(_fit(trial, task, data, [*callbacks, *report]))
        if any(callback.pruned for callback in report):
            raise optuna.TrialPruned
        return losses[-1][-1]

    study.optimize(objective, n_trials=task.trials)
    return {"losses": [found[-1] for found in losses], "epochs": sum(map(len, losses))}


def _fit(trial: optuna.Trial, task: Task, data: Data, callbacks: Sequence[Any]) -> list[float]:
    def draw_log(name: str, lower: float, upper: float) -> float:
        return trial.suggest_float(name, lower, upper, log=True)

    chosen = family.ask(task.family, trial.suggest_categorical, draw_log)
    model = family.build_anew({**chosen, **task.fixed})
    history = model.fit(data.x_train, data.y_train, **task.fit_options(data, callbacks))
    return history.history["val_loss"]
