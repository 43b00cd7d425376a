"""The recorder, called by Ray during a search: it writes the history and watches the trials."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ray.train.constants import CHECKPOINT_DIR_NAME
from ray.tune import Callback, Checkpoint
from ray.tune.experiment import Trial

from tune_jobs.engine.errors import JobError, reason_of
from tune_jobs.engine.experiments.failures import Failure, is_crash, of_lost_worker
from tune_jobs.engine.experiments.history.records import (
    Continued,
    Crash,
    Epoch,
    Event,
    Finish,
    HistoryRecord,
    Listener,
    Paused,
    Progress,
    SavedCheckpoint,
    State,
    TrialEnd,
    TrialStart,
)
from tune_jobs.engine.experiments.history.segments import SegmentWriter
from tune_jobs.engine.experiments.lease import Lease
from tune_jobs.engine.experiments.messages import (
    EpochReport,
    Result,
    epochs_in,
    failure_in,
    is_report,
    work_in,
)
from tune_jobs.engine.goal import Goal
from tune_jobs.engine.search.schedulers import EPOCH
from tune_jobs.engine.storage.folder import Folder
from tune_jobs.engine.trials.checkpoint_limit import CheckpointLimit
from tune_jobs.engine.trials.stopping import RunStopper
from tune_jobs.engine.trials.warm_workers import kill_worker


class Recorder(Callback):  # type: ignore[misc]  # Ray calls it
    """Writes what happens in an experiment to its history, and passes it to the listeners.

    A listener is called with each record, with a :class:`Progress` per epoch of a trial, with None
    ten times a second, and with :class:`Finish` at the end.

    Args:
        folder: the experiment.
        writer: of its history.
        max_epochs: the epoch after which a trial is complete.
        listeners: called with what happens.
        stopper: counts failures, and knows whether the run ends early.
        checkpoint_limit: deletes checkpoints of bad trials.
        hang_timeout: seconds without a report after which a trial hangs.
        before: called before Tune starts the first trial.
        goal: what is sought.

    Attributes:
        max_epochs: the epoch after which a trial is complete.
        lease: what guards the experiment; None if nothing does.
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
        goal: Goal | None = None,
    ) -> None:
        self._folder, self._writer, self.max_epochs = folder, writer, max_epochs
        self._listeners, self._stopper, self._checkpoint_limit = (
            list(listeners),
            stopper,
            checkpoint_limit,
        )
        self._hang_timeout, self._before, self._goal = hang_timeout, before, goal
        self.lease: Lease | None = None
        self._numbers: dict[str, int] = {}
        self._count = 0
        self._stopped: set[str] = set()
        self._reported: set[str] = set()
        self._failures: dict[str, Failure] = {}
        self._lost: list[Trial] = []
        self._heard: dict[str, tuple[float, Trial]] = {}
        self._hung: set[str] = set()
        self._paused: set[str] = set()
        self._looked = time.monotonic()

    @property
    def attempt(self) -> int:
        """The number of runs that have written the experiment, this one included."""
        return self._writer.attempt

    def setup(self, **_: Any) -> None:
        """Call ``before``; by now all of Tune knows metric and mode."""
        if self._before:
            self._before()

    def announce(self, trial_id: str, start: TrialStart) -> None:
        """Record a trial that is about to start, and remember its number."""
        self._numbers[trial_id] = start.trial
        self.append(start)

    def on_trial_start(self, *, trial: Trial, **_: Any) -> None:
        """Record a trial that nobody has announced; one that restarts is known."""
        if trial.trial_id not in self._numbers:
            self._count += 1
            self.announce(trial.trial_id, TrialStart(self._count, trial.config))
        self._heard[trial.trial_id] = (time.monotonic(), trial)
        if trial.trial_id in self._paused:
            self._paused.discard(trial.trial_id)
            self.notify(Continued(self._numbers[trial.trial_id]))

    def on_trial_result(self, *, trial: Trial, result: Result, **_: Any) -> None:
        """Record the epochs of a message, and whether a scheduler or stopper ends the trial."""
        self._heard[trial.trial_id] = (time.monotonic(), trial)
        if result.get("done"):
            self._stopped.add(trial.trial_id)
        if failure := failure_in(result, self._stopper.metric):
            self._failures[trial.trial_id] = failure
        if is_report(result):
            return  # an exception, and no epoch
        self._reported.add(trial.trial_id)
        number = self._numbers[trial.trial_id]
        for report in epochs_in(result):
            self._record_epoch(number, report)
        if work := work_in(result, number):
            self.append(work)
        if written := result.get(CHECKPOINT_DIR_NAME):
            self._record_checkpoint(number, result[EPOCH], f"{trial.path}/{written}")

    def on_checkpoint(self, *, trial: Trial, checkpoint: Checkpoint, **_: Any) -> None:
        """Record a checkpoint that was in no message, as those of a trainable class.

        The checkpoint of a message is in storage before the message arrives; this is called later,
        and not at all if the run ends in between. Then Tune deletes an earlier checkpoint: by then
        the history must name this one, else a run that is killed now could resume from neither.
        """
        if not trial.last_result.get(CHECKPOINT_DIR_NAME):
            number = self._numbers[trial.trial_id]
            self._record_checkpoint(number, trial.last_result[EPOCH], checkpoint.path)
        self.flush()  # Tune deletes the checkpoint before this one now

    def on_trial_complete(self, *, trial: Trial, **_: Any) -> None:
        """Record that a trial has ended, by itself or by the scheduler."""
        failure = self._failures.get(trial.trial_id)
        if failure is None and trial.trial_id not in self._reported and not self._stopper.reached:
            failure = Failure(
                "configuration",
                f"the trainable returned without reporting {self._stopper.metric}; "
                "call tune.report in it",
            )
        self._end(trial, "failed" if failure else self._state(trial), failure)

    def on_trial_recover(self, *, trial: Trial, **_: Any) -> None:
        """Record a crash before the next attempt, so that it counts if the run is killed."""
        self._note_crash(trial)
        self.flush()

    def on_trial_error(self, *, trial: Trial, **_: Any) -> None:
        """Remember that a trial was lost; Ray writes its traceback only after this."""
        self._lost.append(trial)

    def on_step_end(self, **_: Any) -> None:
        """Record failures, and make the history durable, at most once a second."""
        self._record_lost()
        self._note_paused()
        self.flush(after=1.0)
        if self.lease is not None:
            self.lease.moved = time.time()
            if self.lease.is_lost:
                self._check_lease()
        if time.monotonic() - self._looked > 1.0:
            self._looked = time.monotonic()
            self._end_silent()
        self.notify(None)

    def on_experiment_end(self, *, trials: list[Trial], **_: Any) -> None:
        """Record the trials that were cut off, and make the history durable."""
        self._record_lost()
        for trial in trials:
            if trial.trial_id in self._numbers:
                self._end(trial, "unfinished")
        self._numbers = {}
        self.flush()
        self.notify(Finish())

    def append(self, record: HistoryRecord) -> None:
        """Write a record to the history, and pass it to the listeners.

        The end of a trial is durable before the listeners hear of it; soon after, if writing takes
        long and trials end often.
        """
        self._writer.append(record)
        if isinstance(record, TrialEnd):
            self.flush(after=self._writer.pause)
        self.notify(record)

    def notify(self, event: Event | None) -> None:
        """Pass an event to the listeners, or None for the time that has passed."""
        for listen in self._listeners:
            listen(event)

    def __getstate__(self) -> dict[str, object]:
        """Leave everything out of what Tune pickles of its callbacks; nobody reads it."""
        return {}

    def flush(self, *, after: float = 0.0) -> None:
        """Make the history durable; if that fails, end the run."""
        try:
            self._writer.flush(after=after)
        except OSError as error:
            self._stopper.fail_storage(f"{self._folder.uri}: {reason_of(error)}")
        except JobError as error:
            self._stopper.lose(error)

    def _check_lease(self) -> None:
        """End the run if another one has taken over, or the experiment is gone."""
        try:
            if self.lease is not None:
                self.lease.check()
        except JobError as error:
            self._stopper.lose(error)

    def _state(self, trial: Trial) -> State:
        last = trial.last_result or {}
        if last.get(EPOCH, 0) >= self.max_epochs:
            return "complete"
        if self._stopper.reached:
            return "unfinished"
        returned = last.get("done") and trial.trial_id not in self._stopped
        return "complete" if returned else "stopped"

    def _record_lost(self) -> None:
        for trial in self._lost:
            self._note_crash(trial)
            failure = of_lost_worker(error_of(trial))
            if trial.trial_id in self._hung:
                text = f"no report for {self._hang_timeout / 60:g} minutes, and again after a retry"
                failure = Failure("hang", text)
            self._end(trial, "failed", failure)
        self._lost = []

    def _note_crash(self, trial: Trial) -> None:
        if is_crash(error_of(trial)) and trial.trial_id in self._numbers:
            self.append(Crash(self._numbers[trial.trial_id]))

    def _note_paused(self) -> None:
        """Say which trials a scheduler has paused; they are not silent, they have no worker."""
        now = time.monotonic()
        for name, (_, trial) in self._heard.items():
            if trial.status != Trial.PAUSED:
                continue
            self._heard[name] = (now, trial)
            if name not in self._paused:
                self._paused.add(name)
                self.notify(Paused(self._numbers[name]))

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
                kill_worker(actor)

    def _end(self, trial: Trial, state: State, failure: Failure | None = None) -> None:
        if trial.trial_id not in self._numbers:
            return
        self._heard.pop(trial.trial_id, None)
        self._paused.discard(trial.trial_id)
        number = self._numbers[trial.trial_id]
        kind, error = (failure.kind, failure.error) if failure else (None, None)
        self.append(TrialEnd(number, state, kind, error))
        del self._numbers[trial.trial_id]
        # A third of what Tune keeps of a trial: room for averages that nobody will take.
        trial.run_metadata.metric_n_steps.clear()
        with suppress(OSError):  # it holds something
            Path(trial.local_path).rmdir()  # else Tune uploads it whenever it saves its state
        if state != "unfinished":
            self._checkpoint_limit.add(number, str(trial.path))
            self._stopper.count(failure)

    def _record_epoch(self, number: int, report: EpochReport) -> None:
        """Record an epoch of each replica; the mean over them is the value of the trial."""
        for replica, metrics in enumerate(report.replicas):
            if metrics is not None:
                self.append(Epoch(number, replica, report.epoch, report.seconds, metrics))
        value = report.metrics.get(self._stopper.metric, math.nan)
        self._checkpoint_limit.note(number, value)
        error = self._goal.say_error(report.metrics) if self._goal else ""
        self.notify(Progress(number, report.epoch, value, error))

    def _record_checkpoint(self, number: int, epoch: int, path: str) -> None:
        self.append(SavedCheckpoint(number, epoch, self._folder.inside(path)))


def error_of(trial: Trial) -> str:
    """Return what Ray kept of a trial's exceptions, the latest last."""
    if trial.error_file and Path(trial.error_file).is_file():
        return Path(trial.error_file).read_text(encoding="utf-8", errors="replace").strip()
    return str(trial.get_error() or "Ray kept no traceback")
