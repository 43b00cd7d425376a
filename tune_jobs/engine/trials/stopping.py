"""The stopper of a run: it ends on request, at the deadline, for a bug, or without free space."""

from __future__ import annotations

import time

from ray.tune import Stopper

from tune_jobs.engine.deadline import Deadline
from tune_jobs.engine.errors import JobError
from tune_jobs.engine.experiments.failures import Bugs, Failure
from tune_jobs.engine.experiments.messages import (
    ENDS_RUN,
    Result,
    failure_in,
    is_report,
    mistake_in,
    why_unusable,
)
from tune_jobs.engine.names import trial_id as id_of
from tune_jobs.engine.outcome import EXIT_CODES, Reason
from tune_jobs.engine.storage.folder import Folder

# The trial that runs before anything is known of the job.
FIRST = id_of(1)

# Seconds between two looks at the free space.
PATROL = 0.2
GIB = 2**30


class RunStopper(Stopper):  # type: ignore[misc]  # Ray calls it
    """Ends trials that failed, and the run if there is a reason to.

    Args:
        metric: the metric that decides.
        folder: the experiment's.
        deadline: when the run has to end.
        min_free_gb: the least space that storage has to have left.
        is_reported: whether a trial has reported the metric already, as in an earlier run.

    Attributes:
        reached: why the run ends; None while it does not.
        detail: more about the reason: a traceback, or a line.
        requested: set to end the run.
    """

    def __init__(
        self,
        metric: str,
        folder: Folder,
        deadline: Deadline,
        min_free_gb: float = 0.0,
        *,
        is_reported: bool = False,
    ) -> None:
        self.metric = metric
        self.requested = False
        self.reached: Reason | None = None
        self.detail = ""
        self._folder, self._least = folder, min_free_gb * GIB
        self._deadline = deadline
        self._is_reported = is_reported
        self._bugs = Bugs()
        self._looked = 0.0

    def __call__(self, trial_id: str, result: Result) -> bool:
        """Return whether a trial has to end: it failed, or its metric is no finite number.

        Raises:
            JobError: if the metric is missing or no number, or the trial says that the job is
                wrong, and no trial has reported the metric yet; or the first trial says so later;
                or any trial says that the run has to end.
        """
        is_failure = is_report(result)
        said = mistake_in(result) if is_failure else why_unusable(result, self.metric)
        # The first trial's model may show itself as a mistake after it has been trained.
        is_early = not self._is_reported or (is_failure and trial_id == FIRST)
        if said and (is_early or ENDS_RUN in result):
            raise JobError(said)
        self._is_reported = self._is_reported or self.metric in result
        # Without the metric it returned without a report.
        return failure_in(result, self.metric) is not None or self.metric not in result

    def stop_all(self) -> bool:
        """Return whether the run has to end."""
        if self.requested:
            self._reach("interrupted", "")
        elif self._deadline.is_past:
            self._reach("budget used", "")
        elif self.reached is None and time.monotonic() - self._looked > PATROL:
            self._looked = time.monotonic()
            self._check_space()
        return self.reached is not None

    def count(self, failure: Failure | None) -> None:
        """Count a trial that ended, and end the run if all fail alike or space runs out."""
        self._check_space()
        if failure and failure.kind == "storage":
            self.fail_storage(failure.error)
        elif self._bugs.add(failure) and failure:
            self._reach("same error", failure.error)

    def fail_storage(self, detail: str) -> None:
        """End the run, since its results cannot be stored."""
        self._reach("storage failed", detail)

    def lose(self, error: JobError) -> None:
        """End the run, since it may not write any more, or there is no place left to write to."""
        is_lost = error.exit_code == EXIT_CODES["lease held"]
        self._reach("lease held" if is_lost else "storage failed", str(error))

    def free_space_lacking(self) -> str | None:
        """Describe a lack of free space; return None if there is enough."""
        free = self._folder.free_bytes() if self._least else None
        if free is None or free >= self._least:
            return None
        return (
            f"{self._folder.uri} has {free / GIB:.2f} GiB left, less than min_free_gb "
            f"({self._least / GIB:g})"
        )

    def _check_space(self) -> None:
        """End the run before its disk is full."""
        try:
            lacking = self.free_space_lacking()
        except OSError as error:
            lacking = f"free space cannot be determined: {error}"
        if lacking:
            self.fail_storage(lacking)

    def _reach(self, reason: Reason, detail: str) -> None:
        if self.reached is None:
            self.reached, self.detail = reason, detail
