"""One KerasTuner program, run by KerasTuner, and by tune-jobs with its import changed."""

from __future__ import annotations

from typing import Any

from benchmarks import family
from benchmarks.task import Task


def search_with_keras_tuner(task: Task) -> dict[str, Any]:
    """Run the program as it was written."""
    import keras_tuner as kt

    return run(kt, task)


def search_with_tune_jobs(task: Task) -> dict[str, Any]:
    """Run the program with one import changed."""
    import tune_jobs.keras_tuner as kt

    return run(kt, task)


def run(kt: Any, task: Task) -> dict[str, Any]:
    """Search at random, as a program does: the trials draw configurations of their own."""

    def build(hp: Any) -> Any:
        def draw_log(name: str, lower: float, upper: float) -> float:
            return float(hp.Float(name, lower, upper, sampling="log"))

        return family.build({**family.ask(task.family, hp.Choice, draw_log), **task.fixed})

    tuner = kt.RandomSearch(
        build,
        objective="val_loss",
        max_trials=task.trials,
        seed=task.seed + 1,
        directory=task.folder,
        project_name="program",
        overwrite=True,
    )
    data = task.data()
    tuner.search(data.x_train, data.y_train, **task.fit_options(data))
    losses = [trial.score for trial in tuner.oracle.trials.values()]
    return {"losses": losses, "epochs": task.trials * task.epochs}
