"""The trials of a search as a KerasTuner program reads them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tune_jobs.engine.experiments.failures import cause
from tune_jobs.engine.names import trial_id
from tune_jobs.engine.terminal import write
from tune_jobs.keras_tuner.conversion import values_of
from tune_jobs.keras_tuner.objective import Objective

if TYPE_CHECKING:
    import pandas as pd

    from tune_jobs.engine.experiments.experiment import Experiment
    from tune_jobs.keras_tuner.hyperparameters import HyperParameters

# Columns of the table of epochs that are no metrics.
NOT_METRICS = ("trial", "replica", "epoch", "seconds", "checkpoint")


class TrialStatus:
    """The states of a trial."""

    RUNNING = "RUNNING"
    IDLE = "IDLE"
    INVALID = "INVALID"
    STOPPED = "STOPPED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


STATUS = {
    "running": TrialStatus.RUNNING,
    "unfinished": TrialStatus.IDLE,
    "complete": TrialStatus.COMPLETED,
    "stopped": TrialStatus.COMPLETED,
    "failed": TrialStatus.FAILED,
}


@dataclass(frozen=True)
class Observation:
    """A metric at an epoch, the mean over executions."""

    value: list[float]
    step: int

    def mean(self) -> float:
        """Return the value."""
        return self.value[0]


@dataclass(frozen=True)
class Metrics:
    """The metrics of a trial.

    Attributes:
        best: at the best epoch, averaged over executions.
        curves: (epoch, value) of each, averaged over executions.
        step: the best epoch.
    """

    best: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, Sequence[tuple[int, float]]] = field(default_factory=dict)
    step: int | None = None

    @property
    def metrics(self) -> Mapping[str, float]:
        """The values at the best epoch, by name."""
        return self.best

    def exists(self, name: str) -> bool:
        """Return whether a metric was reported."""
        return name in self.best

    def get_best_value(self, name: str) -> float | None:
        """Return a metric at the best epoch, averaged over executions; None if there is none."""
        return self.best.get(name)

    def get_last_value(self, name: str) -> float | None:
        """Return a metric at the last epoch; None if there is none."""
        curve = self.curves.get(name)
        return curve[-1][1] if curve else None

    def get_best_step(self, name: str) -> int | None:
        """Return the best epoch, None if the metric was not reported."""
        return self.step if name in self.best else None

    def get_history(self, name: str) -> list[Observation]:
        """Return a metric of every epoch."""
        return [Observation([value], step) for step, value in self.curves.get(name, ())]

    def get_statistics(self, name: str) -> dict[str, float]:
        """Return minimum, maximum, mean, median, variance and deviation over the epochs."""
        import numpy as np

        values = [value for _, value in self.curves.get(name, ())]
        if not values:
            return {}
        names = ("min", "max", "mean", "median", "var", "std")
        return {each: float(getattr(np, each)(values)) for each in names}


@dataclass
class Trial:
    """A trial: its hyperparameters, state and metrics.

    Attributes:
        hyperparameters: with the values of the trial.
        trial_id: the engine's, ``00001`` for the first.
        status: one of :class:`TrialStatus`.
        score: the objective at the best epoch, averaged over executions; None if it has none.
        best_step: the best epoch, counted from 1.
        metrics: all metrics.
        message: the exception that ended the trial, None if none did.
    """

    hyperparameters: HyperParameters
    trial_id: str = trial_id(0)
    status: str = TrialStatus.RUNNING
    score: float | None = None
    best_step: int | None = None
    metrics: Metrics = field(default_factory=Metrics)
    message: str | None = None

    def summary(self) -> None:
        """Print hyperparameters and score."""
        write(f"Trial {self.trial_id} summary")
        write("Hyperparameters:")
        for name, value in self.hyperparameters.values.items():
            write(f"{name}: {value}")
        if self.score is not None:
            write(f"Score: {self.score}")
        if self.message is not None:
            write(self.message)


def read_trials(
    experiment: Experiment,
    space: HyperParameters,
    objective: Objective,
    joined: Mapping[str, Any],
) -> dict[str, Trial]:
    """Return the trials of an experiment by their ids, in the order of their numbers.

    Args:
        experiment: the project's.
        space: the hyperparameters.
        objective: the metric that decides.
        joined: the defaults of hyperparameters that joined in mid-search: trials before had these.
    """
    if not experiment.exists:
        return {}
    by_trial = dict(list(experiment.epochs.groupby("trial")))
    found = {}
    for row in experiment.trials.sort_values("trial").itertuples():
        metrics = _read_metrics(by_trial.get(row.trial), objective)
        failed = isinstance(row.error, str) and row.state == "failed"
        found[trial_id(row.trial)] = Trial(
            hyperparameters=space.with_values(
                {**joined, **values_of(experiment.configs[row.trial])}
            ),
            trial_id=trial_id(row.trial),
            status=STATUS[row.state],
            score=None if row.state == "failed" else metrics.best.get(objective.name),
            best_step=metrics.step,
            metrics=metrics,
            message=cause(row.error) if failed else None,
        )
    return found


def rank(trials: Sequence[Trial], objective: Objective) -> list[Trial]:
    """Return the trials that have a score, the best first."""
    scored = [trial for trial in trials if trial.score is not None]
    return sorted(scored, key=lambda trial: objective.goal.loss(trial.score or 0.0))


def _read_metrics(epochs: pd.DataFrame | None, objective: Objective) -> Metrics:
    """Return a trial's metrics: each execution's at its own best epoch, and their means."""
    if epochs is None:
        return Metrics()
    names = [name for name in epochs.columns if name not in NOT_METRICS]
    names = [name for name in names if epochs[name].notna().any()]
    means = epochs.groupby("epoch")[names].mean()
    curves = {
        name: [(int(epoch), float(value)) for epoch, value in means[name].dropna().items()]
        for name in names
    }
    if objective.name not in names:
        return Metrics(curves=curves)
    finite = epochs[epochs[objective.name].abs() < math.inf]
    grouped = finite.groupby("replica")[objective.name]
    places = grouped.idxmin() if objective.goal.minimises else grouped.idxmax()
    best = finite.loc[places.to_numpy()]
    if best.empty:
        return Metrics(curves=curves)
    values = {name: float(best[name].mean()) for name in names}
    return Metrics(values, curves, round(float(best["epoch"].mean())))
