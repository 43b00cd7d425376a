"""Write the summary of a run: it comes last, so that it marks a run that has ended."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.experiments.failures import cause
from tune_jobs.engine.experiments.files import SUMMARY
from tune_jobs.engine.experiments.summary import Summary, Winner
from tune_jobs.engine.outcome import Outcome, outcome_of_code
from tune_jobs.engine.storage.folder import Folder


def write_summary(
    experiment: Experiment, *, began: float, spent: float, workers: int = 0, **found: Any
) -> None:
    """Write what is known of a run at its end, so that nobody has to read the history for it.

    Args:
        experiment: the run's.
        began: when it began, in seconds since 1970.
        spent: the workers' seconds in earlier runs of the experiment.
        workers: how many workers this run had.
        found: further fields of :class:`~tune_jobs.engine.experiments.summary.Summary`.
    """
    about, verdict, ended = experiment.description, experiment.verdict, time.time()
    states = experiment.trials["state"].value_counts()
    summary = Summary(
        **{"usage": None, **found},
        metric=about.metric,
        mode=about.mode,
        trials={str(state): int(count) for state, count in states.items()},
        began=began,
        ended=ended,
        seconds=ended - began,
        workers=workers,
        worker_seconds=spent + workers * (ended - began),
        winner=Winner(trial=verdict.trial, mean=verdict.mean, interval=verdict.interval)
        if verdict
        else None,
    )
    experiment.folder.write_json(SUMMARY, summary.to_json())


@contextmanager
def recording_outcome(folder: Folder, **about: Any) -> Iterator[None]:
    """Write the summary of a run that an exception or a signal ends, once it has begun.

    Args:
        folder: the experiment's.
        about: further arguments of :func:`write_summary`.
    """
    try:
        yield
    except BaseException as error:
        with suppress(Exception):  # the exception in flight says more
            if not folder.exists(SUMMARY) and Experiment(folder).exists:
                said = cause(str(error) or type(error).__name__)
                outcome = outcome_of_error(error)
                write_summary(Experiment(folder), outcome=outcome, error=said, **about)
        raise


def outcome_of_error(error: BaseException) -> Outcome:
    """Return the outcome of a run that an exception ends."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return outcome_of_code(error.exit_code) if isinstance(error, JobError) else "unexpected error"
