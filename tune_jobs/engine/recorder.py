"""Ray calls these while a search runs: one writes the history, one says when to end."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

from ray.train.constants import CHECKPOINT_DIR_NAME
from ray.tune import Callback, Checkpoint, Stopper
from ray.tune.experiment import Trial
from ray.tune.result import AUTO_RESULT_KEYS

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.history import History, Record, State
from tune_jobs.engine.schedulers import EPOCH
from tune_jobs.engine.storage import Folder

NOT_METRICS = {*AUTO_RESULT_KEYS, "done", "trial_id", "experiment_tag", "epoch", "seconds"}

# What a message of ``trainables`` says of itself, beside its epochs.
WORK = ("path", "worker", "began", "spent")

Listener = Callable[[Record | None], None]


class Recorder(Callback):  # type: ignore[misc]  # Ray calls it
    """Writes what happens in an experiment to its history, and tells the listeners.

    A listener is called with each record, with None ten times a second, and at last with
    ``{"kind": "finish"}``.
    """

    def __init__(
        self, folder: Folder, max_epochs: int, listeners: Sequence[Listener], ending: Ending
    ) -> None:
        self._folder = folder
        self._max_epochs = max_epochs
        self._listeners = list(listeners)
        self._ending = ending
        self._numbers: dict[str, int] = {}
        self._stopped: set[str] = set()
        self._ended: set[str] = set()
        self._failed: list[Trial] = []
        self._history: History | None = None

    def setup(self, **_: Any) -> None:
        """Open the history."""
        self._history = History(self._folder)

    def on_trial_start(self, *, trial: Trial, **_: Any) -> None:
        """Record a new trial; one that starts again after a failure is not new."""
        if trial.trial_id not in self._numbers:
            self._numbers[trial.trial_id] = len(self._numbers) + 1
            self._append(trial, kind="trial", ray_id=trial.trial_id, config=trial.config)

    def on_trial_result(self, *, trial: Trial, result: dict[str, Any], **_: Any) -> None:
        """Record the epochs of a message, and whether the last was so by somebody's decision.

        A message of many epochs lists them; a trainable of one's own may report one at a time.
        """
        if result.get("done"):
            self._stopped.add(trial.trial_id)
        work = work_of(result)
        for row in result["epochs"] if work else [{**result, "epoch": result[EPOCH]}]:
            for replica, metrics in enumerate(row.get("replicas", [row])):
                if metrics is not None:
                    self._append(
                        trial,
                        kind="epoch",
                        replica=replica,
                        epoch=row["epoch"],
                        seconds=float(row.get("seconds", result.get("time_this_iter_s", math.nan))),
                        metrics=reported_metrics(metrics),
                    )
        if work:
            self._append(trial, kind="work", **{name: work[name] for name in WORK})
        if written := result.get(CHECKPOINT_DIR_NAME):
            self._append_checkpoint(trial, result[EPOCH], f"{trial.path}/{written}")

    def on_checkpoint(self, *, trial: Trial, checkpoint: Checkpoint, **_: Any) -> None:
        """Record a checkpoint that no message spoke of: that of a trainable class.

        A message's checkpoint is in storage before the message arrives; this is called later, and
        not at all where the run ends in between.
        """
        if not trial.last_result.get(CHECKPOINT_DIR_NAME):
            self._append_checkpoint(trial, trial.last_result[EPOCH], checkpoint.path)

    def on_trial_complete(self, *, trial: Trial, **_: Any) -> None:
        """Record that a trial came to its end, by itself or by the scheduler."""
        self._end(trial, self._state(trial))

    def on_trial_error(self, *, trial: Trial, **_: Any) -> None:
        """Remember that a trial failed; Ray writes its traceback only after this."""
        self._failed.append(trial)

    def on_step_end(self, **_: Any) -> None:
        """Record failures, and make what happened durable, at most once a second."""
        self._record_failures()
        if self._history:
            self._history.flush(after=1.0)
        for listen in self._listeners:
            listen(None)

    def on_experiment_end(self, *, trials: list[Trial], **_: Any) -> None:
        """Record the trials that were cut off, and make everything durable."""
        self._record_failures()
        for trial in trials:
            if trial.trial_id in self._numbers and trial.trial_id not in self._ended:
                self._end(trial, "unfinished")
        if self._history:
            self._history.flush()
        for listen in self._listeners:
            listen({"kind": "finish"})

    def _state(self, trial: Trial) -> State:
        last = trial.last_result or {}
        if last.get(EPOCH, 0) >= self._max_epochs:
            return "complete"
        if self._ending.reached:
            return "unfinished"
        returned = last.get("done") and trial.trial_id not in self._stopped
        return "complete" if returned else "stopped"

    def _record_failures(self) -> None:
        for trial in self._failed:
            self._end(trial, "failed", _traceback(trial))
        self._failed = []

    def _end(self, trial: Trial, state: State, error: str | None = None) -> None:
        self._ended.add(trial.trial_id)
        self._append(trial, kind="end", state=state, error=error)

    def _append_checkpoint(self, trial: Trial, epoch: int, path: str) -> None:
        inside = path.removeprefix(self._folder.path).strip("/")
        self._append(trial, kind="checkpoint", epoch=epoch, path=inside)

    def _append(self, trial: Trial, **record: Any) -> None:
        record["trial"] = self._numbers[trial.trial_id]
        if self._history:
            self._history.append(record)
        for listen in self._listeners:
            listen(record)


def _traceback(trial: Trial) -> str:
    """What Ray kept of a trial's exception, the latest failure last."""
    if trial.error_file and Path(trial.error_file).is_file():
        return Path(trial.error_file).read_text(encoding="utf-8", errors="replace").strip()
    return str(trial.get_error() or "Ray kept no traceback")


class Ending(Stopper):  # type: ignore[misc]  # Ray calls it
    """Ends a run at its deadline or on request, and at the first report without the metric."""

    def __init__(self, metric: str, max_hours: float | None = None) -> None:
        self.metric = metric
        self.requested = False
        self.reached: str | None = None
        self._deadline = None if max_hours is None else time.time() + 3600 * max_hours

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:  # noqa: ARG002
        """Let a trial go on.

        Raises:
            JobError: where it did not report the metric, or not as a number.
        """
        value = result.get(self.metric)
        if value is None and self.metric not in result:
            known = ", ".join(sorted(reported_metrics(result))) or "nothing"
            raise JobError(
                f"metric {self.metric!r} was never reported. The trainable reported: {known}."
            )
        if not _is_number(value):
            raise JobError(f"metric {self.metric!r} was reported as {value!r}, not as a number")
        return False

    def stop_all(self) -> bool:
        """Whether the deadline has passed or somebody asked for the end."""
        if self.requested:
            self.reached = "interrupted"
        elif self._deadline is not None and time.time() >= self._deadline:
            self.reached = "budget used"
        return self.reached is not None


def work_of(result: dict[str, Any]) -> dict[str, Any]:
    """What a message of ``trainables`` says of its worker; nothing where it is not one."""
    work = result.get("work")
    return work if isinstance(work, dict) and work.keys() >= set(WORK) else {}


def reported_metrics(result: dict[str, Any]) -> dict[str, float]:
    """The numbers that the trainable reported, without those that Ray adds."""
    return {
        name: float(value)
        for name, value in result.items()
        if name not in NOT_METRICS and not name.startswith("config/") and _is_number(value)
    }


def _is_number(value: Any) -> bool:
    """Whether a reported value is a number, numpy's included."""
    return isinstance(value, Real) and not isinstance(value, bool)
