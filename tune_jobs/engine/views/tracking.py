"""Trackers: TensorBoard, MLflow and Weights & Biases show a search while it runs.

Nothing depends on them: each has its own thread, so that a slow server delays no trial, and one
that fails is disabled with a warning.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from tune_jobs.engine.errors import reason_of
from tune_jobs.engine.experiments.messages import Result, epochs_in, failure_in, is_report
from tune_jobs.engine.goal import Goal
from tune_jobs.engine.plain import plain
from tune_jobs.engine.search.schedulers import EPOCH
from tune_jobs.engine.space.configs import Config, flatten, without_followers
from tune_jobs.engine.storage.folder import Folder
from tune_jobs.engine.views.trackers import (
    Destination,
    TrackedTrial,
    find_destination,
    split_wanted,
    without_secrets,
)

logger = logging.getLogger(__name__)

# How long a run waits at its end for what a tracker still has to write.
MOST_SECONDS = 60

# MLflow refuses texts of more than 6,000 letters; a table shows far fewer.
MOST_LETTERS = 500


def make_trackers(wanted: Sequence[str], *, folder: Folder, goal: Goal) -> list[Callback]:
    """Make the callbacks of Ray Tune that ``--track`` asks for.

    Args:
        wanted: ``tensorboard``, ``tensorboard=FOLDER``, ``mlflow=URI``, ``wandb=PROJECT``.
        folder: the experiment.
        goal: what is sought.

    Raises:
        JobError: if a tracker is unknown, not installed, or lacks what it needs.
    """
    return [
        Tracker(name, find_destination(name, value, folder), goal, value)
        for name, value in split_wanted(wanted).items()
    ]


class Tracker(Callback):  # type: ignore[misc]  # Ray calls it
    """Passes what happens to a logger callback of Ray, in a thread, epoch by epoch.

    Args:
        name: in warnings.
        destination: the logger callback, which is built in the thread, and its folder.
        goal: what is sought.
        value: what it was given; its credentials are kept out of warnings.
    """

    def __init__(
        self,
        name: str,
        destination: Destination,
        goal: Goal,
        value: str = "",
    ) -> None:
        self._name, self._destination, self._value = name, destination, value
        self._goal = goal
        self._events: SimpleQueue[tuple[Any, ...] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def setup(self, **_: object) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
        self._thread.start()

    def on_trial_start(self, *, trial: Trial, **_: object) -> None:
        """Pass on the start of a trial; one that restarts is known."""
        name = Path(trial.path).name if trial.path else trial.trial_id
        self._put("start", trial.trial_id, name, without_followers(trial.config))

    def on_trial_result(self, *, trial: Trial, result: Result, **_: object) -> None:
        """Pass on the epochs of a message."""
        self._put("report", trial.trial_id, dict(result))

    def on_trial_complete(self, *, trial: Trial, **_: object) -> None:
        """Pass on the end of a trial."""
        self._put("end", trial.trial_id)

    def on_trial_error(self, *, trial: Trial, **_: object) -> None:
        """Pass on that Tune gave a trial up."""
        self._put("fail", trial.trial_id)

    def on_experiment_end(self, **_: object) -> None:
        """Wait until everything is written, but not for ever."""
        self._events.put(None)
        if self._thread is not None:
            self._thread.join(MOST_SECONDS)
            if self._thread.is_alive():
                self._drop(f"not finished {MOST_SECONDS} s after the last trial")

    def __getstate__(self) -> dict[str, object]:
        """Return nothing: Tune writes its pickled callbacks to storage, where no secret may go."""
        return {}

    def _put(self, *event: object) -> None:
        if self._thread is not None and self._thread.is_alive():
            self._events.put(event)

    def _work(self) -> None:
        """Write the events, until there are no more, or the tracker fails."""
        try:
            epochs = EpochByEpoch(self._destination, self._goal)
            while (event := self._events.get()) is not None:
                getattr(epochs, event[0])(*event[1:])
            epochs.close()
        except Exception as error:  # noqa: BLE001  # nothing here may end a trial
            self._drop(f"{type(error).__name__}: {reason_of(error)}")

    def _drop(self, reason: str) -> None:
        said = without_secrets(reason, self._value)[:MOST_LETTERS]
        logger.warning("--track %s is disabled, the run continues: %s", self._name, said)


@dataclass
class _Followed:
    """A trial that has begun: the last epoch written, the best value so far, whether it failed."""

    trial: TrackedTrial
    epoch: int = 0
    best: float = math.nan
    failed: bool = False


class EpochByEpoch:
    """Calls a logger callback of Ray with one result per epoch, each epoch once.

    A result holds the reported metrics, the best value so far as ``best_<metric>``, and the epoch
    as Ray's ``training_iteration``, which is the step in all trackers.

    Args:
        destination: how to make the logger callback, and the folder of its files.
        goal: what is sought.
    """

    def __init__(self, destination: Destination, goal: Goal) -> None:
        self._place, self._goal = destination.place, goal
        self._followed: dict[str, _Followed] = {}
        self._logger = destination.make()
        self._logger.setup()

    def start(self, trial_id: str, name: str, config: Config) -> None:
        """Log the start of a trial; one that restarts is known."""
        if trial_id not in self._followed:
            trial = TrackedTrial(name, as_table(config), str(self._place / name))
            self._followed[trial_id] = _Followed(trial)
            self._logger.log_trial_start(trial)

    def report(self, trial_id: str, result: Result) -> None:
        """Log the epochs of a message, or note the failure in it."""
        followed = self._followed[trial_id]
        followed.failed = followed.failed or failure_in(result, self._goal.metric) is not None
        if is_report(result):
            return
        for report in epochs_in(result):
            if report.epoch > followed.epoch:
                self._log(followed, report.epoch, report.metrics)

    def end(self, trial_id: str) -> None:
        """Log the end of a trial; one that reported nothing has failed."""
        if trial_id in self._followed:
            followed = self._followed.pop(trial_id)
            failed = followed.failed or not followed.epoch
            self._logger.log_trial_end(followed.trial, failed=failed)

    def fail(self, trial_id: str) -> None:
        """Log the loss of a trial."""
        if trial_id in self._followed:
            self._followed[trial_id].failed = True
            self.end(trial_id)

    def close(self) -> None:
        """End all trials: those that were cut off are shown as failed."""
        for trial_id in list(self._followed):
            self.fail(trial_id)
        self._logger.on_experiment_end(trials=[])

    def _log(self, followed: _Followed, epoch: int, metrics: Mapping[str, float]) -> None:
        followed.epoch = epoch
        value = metrics.get(self._goal.metric, math.nan)
        if math.isfinite(value) and not self._goal.better(followed.best, value):
            followed.best = value
        if math.isfinite(followed.best):
            metrics = {f"best_{self._goal.metric}": followed.best, **metrics}
        self._logger.log_trial_result(epoch, followed.trial, {**metrics, EPOCH: epoch})


def as_table(config: Config) -> Config:
    """Flatten a config to dotted names and values that every tracker shows."""
    return {name: _shown(plain(value)) for name, value in flatten(config).items()}


def _shown(value: object) -> bool | int | float | str:
    if isinstance(value, bool | int | float):
        return value
    return str(value)[:MOST_LETTERS]
