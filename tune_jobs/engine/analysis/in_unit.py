"""The errors of a number in its own unit, beside a loss that nobody can read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.experiments.history.records import TrialStart
from tune_jobs.engine.formatting import number

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class InUnit:
    """Errors of the models of an experiment.

    Attributes:
        name: what people call the error, such as ``RMSE``.
        target: the number that is predicted.
        trials: the error of each trial at its best epoch, the mean over its replicas.
        winner: the mean over the winner's fresh fits; None without finals.
    """

    name: str
    target: str
    trials: Mapping[int, float]
    winner: float | None = None

    def say(self, value: float) -> str:
        """Say an error with its name and unit."""
        return f"{self.name} {number(value)} in the unit of {self.target}"


def read_in_unit(experiment: Experiment) -> InUnit | None:
    """Read the errors that trials reported; None if the metric is no loss of a number, or none."""
    goal, epochs = experiment.goal, experiment.epochs
    column = next((name for name in goal.errors if name in epochs.columns), None)
    if column is None:
        return None
    best = experiment.trials.set_index("trial")["best_epoch"]
    rows = epochs[epochs["epoch"] == epochs["trial"].map(best)]
    return InUnit(
        goal.errors[column],
        goal.target,
        _means(rows, column),
        _of_winner(experiment, column),
    )


def _means(rows: pd.DataFrame, column: str) -> dict[int, float]:
    means = rows.groupby("trial")[column].mean().dropna()
    return {int(trial): float(value) for trial, value in means.items()}


def _of_winner(experiment: Experiment, column: str) -> float | None:
    """Return the mean over the fits that the verdict's mean is of, at the same epoch."""
    verdict, finals = experiment.verdict, experiment.finals
    if verdict is None or finals is None or column not in finals.epochs.columns:
        return None
    first = finals.description.choosing or 0
    starts = (each for each in finals.segments.records() if isinstance(each, TrialStart))
    fresh = {s.trial for s in starts if s.of == verdict.trial and (s.batch or 0) >= first}
    epochs = finals.epochs
    rows = epochs[epochs["trial"].isin(fresh) & (epochs["epoch"] == verdict.epochs)]
    value = rows[column].mean()
    return float(value) if value == value else None
