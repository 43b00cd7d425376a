"""Ray calls this while a search runs: it writes the history and watches over the trials."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray
from ray.train.constants import CHECKPOINT_DIR_NAME
from ray.tune import Callback, Checkpoint
from ray.tune.experiment import Trial

from tune_jobs.engine.errors import reason_of
from tune_jobs.engine.experiments.failures import Failure, failure_in, is_report, of_lost_worker
from tune_jobs.engine.experiments.frames import State
from tune_jobs.engine.experiments.lease import Lease
from tune_jobs.engine.experiments.messages import OPTIONAL_WORK, WORK, reported_metrics, work_of
from tune_jobs.engine.experiments.segments import Listener, Record, SegmentWriter
from tune_jobs.engine.search.schedulers import EPOCH
from tune_jobs.engine.storage.folder import Folder
from tune_jobs.engine.trials.checkpoint_limit import CheckpointLimit
from tune_jobs.engine.trials.stopping import RunStopper


class Recorder(Callback):  # type: ignore[misc]  # Ray calls it
    """Writes what happens in an experiment to its history, and tells the listeners.

    A listener is called with each record, with None ten times a second, and at last with
    ``{"kind": "finish"}``.

    Args:
        folder: the experiment.
        writer: its history.
        max_epochs: where a trial is complete.
        listeners: called with what happens.
        stopper: told of failures.
        checkpoint_limit: told of trials that ended.
        hang_timeout: seconds after which a trial without a report is taken to hang.
        before: called when Tune is about to begin.

    Attributes:
        stopper: says whether the run has to end.
        lease: what guards the experiment, where anything does.
    """

    def __init__(
        self,
        folder: Folder,
        writer: SegmentWriter,
        max_epochs: int,
        listeners: Sequence[Listener],
        stopper: RunStopper,
        checkpoint_limit: CheckpointLimit,
        hang_timeout: float,
        before: Callable[[], None] | None = None,
    ) -> None:
        self._folder, self._writer, self._max_epochs = folder, writer, max_epochs
        self._listeners, self.stopper, self._checkpoint_limit = (
            list(listeners),
            stopper,
            checkpoint_limit,
        )
        self._hang_timeout, self._before = hang_timeout, before
        self.lease: Lease | None = None
        self._numbers: dict[str, int] = {}
        self._count = 0
        self._stopped: set[str] = set()
        self._reported: set[str] = set()
        self._failures: dict[str, Failure] = {}
        self._lost: list[Trial] = []
        self._heard: dict[str, tuple[float, Trial]] = {}
        self._hung: set[str] = set()
        self._looked = time.monotonic()

    @property
    def attempt(self) -> int:
        """How many runs have written the experiment, this one included."""
        return self._writer.attempt

    def setup(self, **_: Any) -> None:
        """Do what has to be done once Tune has told everybody metric and mode."""
        if self._before:
            self._before()

    def announce(self, trial_id: str, record: Record) -> None:
        """Record a trial that is about to start, under the number in its record."""
        self._numbers[trial_id] = record["trial"]
        self.append(record)

    def on_trial_start(self, *, trial: Trial, **_: Any) -> None:
        """Record a trial that nobody has announced; one that starts again is not new."""
        if trial.trial_id not in self._numbers:
            self._count += 1
            self.announce(
                trial.trial_id, {"kind": "trial", "trial": self._count, "config": trial.config}
            )
        self._heard[trial.trial_id] = (time.monotonic(), trial)

    def on_trial_result(self, *, trial: Trial, result: dict[str, Any], **_: Any) -> None:
        """Record the epochs of a message, and whether the last was so by somebody's decision.

        A message of many epochs lists them; a trainable of one's own may report one at a time.
        """
        self._heard[trial.trial_id] = (time.monotonic(), trial)
        if result.get("done"):
            self._stopped.add(trial.trial_id)
        if failure := failure_in(result, self.stopper.metric):
            self._failures[trial.trial_id] = failure
        if is_report(result):
            return  # an exception, and no epoch
        self._reported.add(trial.trial_id)
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
            told = {name: work[name] for name in WORK}
            told |= {name: work.get(name) for name in OPTIONAL_WORK}
            self._append(trial, kind="work", **told)
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
        failure = self._failures.get(trial.trial_id)
        if failure is None and trial.trial_id not in self._reported and not self.stopper.reached:
            failure = Failure(
                "configuration",
                f"the trainable returned without a report of {self.stopper.metric}; "
                "call tune.report in it",
            )
        self._end(trial, "failed" if failure else self._state(trial), failure)

    def on_trial_error(self, *, trial: Trial, **_: Any) -> None:
        """Remember that a trial was lost; Ray writes its traceback only after this."""
        self._lost.append(trial)

    def on_step_end(self, **_: Any) -> None:
        """Record failures, and make what happened durable, at most once a second."""
        self._record_lost()
        self.flush(after=1.0)
        if self.lease is not None:
            self.lease.moved = time.time()
        if self.lease is not None and self.lease.is_lost:
            self.stopper.fail_storage("another run has taken the experiment over")
        if time.monotonic() - self._looked > 1.0:
            self._looked = time.monotonic()
            self._end_silent()
        for listen in self._listeners:
            listen(None)

    def on_experiment_end(self, *, trials: list[Trial], **_: Any) -> None:
        """Record the trials that were cut off, and make everything durable."""
        self._record_lost()
        for trial in trials:
            if trial.trial_id in self._numbers:
                self._end(trial, "unfinished")
        self._numbers = {}
        self.flush()
        for listen in self._listeners:
            listen({"kind": "finish"})

    def append(self, record: Record) -> None:
        """Write a record to the history, and tell the listeners.

        The end of a trial is durable before anybody hears of it; where writing takes long and
        trials end often, soon after.
        """
        self._writer.append(record)
        if record["kind"] == "end":
            self.flush(after=self._writer.pause)
        for listen in self._listeners:
            listen(record)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks, but nobody reads that."""
        return {}

    def flush(self, *, after: float = 0.0) -> None:
        """Make what happened durable; where that cannot be, the run ends."""
        try:
            self._writer.flush(after=after)
        except OSError as error:
            self.stopper.fail_storage(f"{self._folder.uri}: {reason_of(error)}")

    def _state(self, trial: Trial) -> State:
        last = trial.last_result or {}
        if last.get(EPOCH, 0) >= self._max_epochs:
            return "complete"
        if self.stopper.reached:
            return "unfinished"
        returned = last.get("done") and trial.trial_id not in self._stopped
        return "complete" if returned else "stopped"

    def _record_lost(self) -> None:
        for trial in self._lost:
            failure = of_lost_worker(error_of(trial))
            if trial.trial_id in self._hung:
                text = f"no report for {self._hang_timeout / 60:g} minutes, and again when retried"
                failure = Failure("hang", text)
            self._end(trial, "failed", failure)
        self._lost = []

    def _end_silent(self) -> None:
        """Kill the worker of a trial that hangs; Tune gives it one more chance."""
        now = time.monotonic()
        for name, (heard, trial) in list(self._heard.items()):
            actor = trial.temporary_state.ray_actor
            if now - heard > self._hang_timeout and actor is not None:
                self._heard[name] = (now, trial)
                if name in self._hung:
                    trial.max_failures = 0
                self._hung.add(name)
                ray.kill(actor)

    def _end(self, trial: Trial, state: State, failure: Failure | None = None) -> None:
        if trial.trial_id not in self._numbers:
            return
        self._heard.pop(trial.trial_id, None)
        self._append(
            trial,
            kind="end",
            state=state,
            failure=failure.kind if failure else None,
            error=failure.error if failure else None,
        )
        number = self._numbers.pop(trial.trial_id)
        # A third of what Tune keeps of a trial: room for averages that nobody will take.
        trial.run_metadata.metric_n_steps.clear()
        with suppress(OSError):  # it holds something
            Path(trial.local_path).rmdir()  # else Tune uploads it whenever it saves its state
        if state != "unfinished":
            self._checkpoint_limit.add(number, str(trial.path))
            self.stopper.count(failure)

    def _append_checkpoint(self, trial: Trial, epoch: int, path: str) -> None:
        self._append(trial, kind="checkpoint", epoch=epoch, path=self._folder.inside(path))

    def _append(self, trial: Trial, **record: Any) -> None:
        record["trial"] = self._numbers[trial.trial_id]
        if record["kind"] == "epoch":
            self._checkpoint_limit.note(record["trial"], record["metrics"].get(self.stopper.metric))
        self.append(record)


def error_of(trial: Trial) -> str:
    """What Ray kept of a trial's exception, the latest failure last."""
    if trial.error_file and Path(trial.error_file).is_file():
        return Path(trial.error_file).read_text(encoding="utf-8", errors="replace").strip()
    return str(trial.get_error() or "Ray kept no traceback")
