"""Fit a prepared tuner, and find the user's mistake or full storage in what Tune raises."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pandas as pd

from tune_jobs.engine.environment import environment
from tune_jobs.engine.errors import JobError, StorageError, reason_of
from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.experiments.failures import STORAGE_ERRORS
from tune_jobs.engine.experiments.history.frames import compact
from tune_jobs.engine.experiments.lease import Lease
from tune_jobs.engine.outcome import FINAL, Outcome, outcome_of
from tune_jobs.engine.trials.interruption import Interruption
from tune_jobs.engine.trials.ray_patches import (
    replaced_when_grown,
    short_queue,
    without_checkpoint_snapshots,
)
from tune_jobs.engine.trials.stopping import RunStopper
from tune_jobs.engine.trials.tuner import Prepared


@dataclass(frozen=True)
class SearchResult:
    """A search, or a stage of one, that has ended.

    Attributes:
        experiment: its trials.
        prepared: the tuner that was fitted.
        outcome: how it ended.
    """

    experiment: Experiment
    prepared: Prepared
    outcome: Outcome

    @property
    def is_decidable(self) -> bool:
        """True if finalists may be trained now."""
        return self.outcome in (*FINAL, "budget used") and not self.experiment.usable.empty


def fit(prepared: Prepared, lease: Lease, interruption: Interruption) -> JobError | None:
    """Fit a tuner; return the user's mistake, or what storage refused, if that ended it."""
    stopper = prepared.recorder.stopper
    prepared.recorder.lease = lease
    try:
        with (
            interruption.asking(stopper),
            replaced_when_grown(),
            short_queue(),
            without_checkpoint_snapshots(),
            environment({"TUNE_MAX_PENDING_TRIALS_PG": str(prepared.concurrency)}),
        ):
            prepared.tuner.fit()
    except Exception as error:
        mistake = _find_mistake(error, stopper)
        if mistake is None and stopper.reached != "storage failed":
            raise
        return mistake
    return None


def _find_mistake(error: BaseException | None, stopper: RunStopper) -> JobError | None:
    """Find the JobError behind an exception, and tell the stopper of full storage."""
    while error is not None and not isinstance(error, JobError):
        if isinstance(error, OSError) and error.errno in STORAGE_ERRORS:
            stopper.fail_storage(reason_of(error))
        error = error.__cause__ or error.__context__
    return error


def collect_result(prepared: Prepared) -> SearchResult:
    """Read what a search has found, and write its tables.

    Raises:
        StorageError: if they cannot be written.
    """
    experiment = Experiment(prepared.folder)
    with storage_errors(prepared):
        compact(prepared.folder)
    failed, usable = _count_failed(experiment.trials), len(experiment.usable)
    outcome = outcome_of(failed, usable, prepared.recorder.stopper.reached)
    return SearchResult(experiment, prepared, outcome)


def _count_failed(trials: pd.DataFrame) -> int:
    """Count the trials that failed; one that diverged is no failure."""
    return int(((trials["state"] == "failed") & (trials["failure"] != "divergence")).sum())


@contextmanager
def storage_errors(prepared: Prepared) -> Iterator[None]:
    """Turn an error of the file system into a line that says how to continue.

    Raises:
        StorageError: if the block raises an OSError.
    """
    try:
        yield
    except OSError as error:
        reason = prepared.recorder.stopper.detail or reason_of(error)
        raise StorageError(
            f"storage failed: {reason}; results so far are kept, continue them later with "
            f"--name {prepared.folder.name} --resume"
        ) from None
