"""The learning curves of a fit's replicas: each replica's best epoch, and the means reported."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from trainables.fitting.task import Task


@dataclass(frozen=True)
class Progress:
    """A replica's progress: epochs trained, and the best value so far, its epoch and metrics."""

    epoch: int = 0
    best: float | None = None
    best_epoch: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)

    def advance(self, metrics: Mapping[str, float], metric: str, mode: str) -> Progress:
        """Return the progress after another epoch; a value that is not finite is never the best."""
        sign, epoch = {"min": 1, "max": -1}[mode], self.epoch + 1
        value = metrics.get(metric, math.nan)
        if math.isfinite(value) and (self.best is None or sign * value < sign * self.best):
            return Progress(epoch, value, epoch, dict(metrics))
        return replace(self, epoch=epoch, metrics=self.metrics if self.best_epoch else metrics)

    def follow(self, metrics: Mapping[str, float], metric: str) -> Progress:
        """Return the progress after another epoch if the last epoch counts, whatever its value."""
        value, epoch = metrics.get(metric, math.nan), self.epoch + 1
        return Progress(epoch, value if math.isfinite(value) else None, epoch, dict(metrics))


class UnreportedMetricError(ValueError):
    """Raised if no epoch has the metric that decides.

    Attributes:
        reported: the metrics that every epoch has.
    """

    def __init__(self, metric: str, reported: Sequence[str]) -> None:
        self.reported = sorted(reported)
        super().__init__(
            f"metric '{metric}' was not reported; Keras reported: {', '.join(self.reported)}"
        )


class Curves:
    """The progress of a task's replicas, and the mean metrics of every epoch."""

    def __init__(self, task: Task, progress: Sequence[Progress] | None = None) -> None:
        self.task = task
        self.progress = list(progress or [Progress()] * len(task.replicas))
        self.epoch = max(each.epoch for each in self.progress)
        self.history: dict[str, list[float]] = {}
        self.score = math.inf  # the best mean so far, smaller being better
        self.has_diverged = False
        self.stopped: set[int] = set()  # replicas that a callback has stopped
        if len(self.progress) == 1 and self.progress[0].best is not None:
            self.score = self.progress[0].best * self.task.sign

    def add(self, logs: Sequence[Mapping[str, float] | None], seconds: float) -> dict[str, Any]:
        """Add an epoch of all active replicas; return its row for the history.

        A replica that has stopped by its patience counts in the mean with its best epoch.
        """
        self.epoch += 1
        for index, values in enumerate(logs):
            if values is not None:
                self.progress[index] = self._advance(self.progress[index], values)
        counted = [values or p.metrics for values, p in zip(logs, self.progress, strict=True)]
        means = average(counted)
        for name, value in means.items():
            self.history.setdefault(name, []).append(value)
        value = means.get(self.task.metric, math.nan) * self.task.sign
        if math.isfinite(value):
            self.score = min(self.score, value)
        self.has_diverged = not math.isfinite(means["loss"] if self.task.keeps_last else value)
        row = {"epoch": self.epoch, **means, "seconds": seconds}
        return row if len(logs) == 1 else row | {"replicas": [dict(v) if v else None for v in logs]}

    def is_active(self, index: int) -> bool:
        """Return whether a replica's patience lasts, and no callback has stopped it."""
        if index in self.stopped:
            return False
        progress, patience = self.progress[index], self.task.patience
        return patience is None or progress.epoch - progress.best_epoch < patience

    def _advance(self, before: Progress, values: Mapping[str, float]) -> Progress:
        if self.task.keeps_last:
            return before.follow(values, self.task.metric)
        return before.advance(values, self.task.metric, self.task.mode)

    @property
    def ended(self) -> bool:
        """True if all epochs are trained, all replicas have stopped, or the fit has diverged."""
        active = any(self.is_active(index) for index in range(len(self.progress)))
        return self.epoch >= self.task.epochs or not active or self.has_diverged


def average(logs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of each metric over replicas."""
    return {name: sum(each[name] for each in logs) / len(logs) for name in logs[0]}


def check_metric(task: Task, known: Sequence[str], *, in_tune: bool) -> None:
    """Refuse a metric that is not reported but decides; in Tune, the job itself ends the run.

    Raises:
        UnreportedMetricError: naming the metrics that are reported.
    """
    if task.metric not in known and not in_tune and not task.keeps_last:
        raise UnreportedMetricError(task.metric, known)
