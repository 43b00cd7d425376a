"""Write the summary of a run: it comes last, so that it marks a run that has ended."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.experiments.failures import cause
from tune_jobs.engine.experiments.files import SUMMARY
from tune_jobs.engine.experiments.summary import Summary, Winner
from tune_jobs.engine.outcome import Outcome, outcome_of_code
from tune_jobs.engine.storage.folder import Folder


def begin_summary(outcome: Outcome) -> Summary:
    """Return a summary that says only how a run ended."""
    return Summary(
        usage=None,
        outcome=outcome,
        metric=None,
        mode=None,
        trials={},
        began=None,
        ended=None,
        seconds=None,
        workers=None,
        worker_seconds=None,
    )


def write_summary(
    experiment: Experiment, summary: Summary, *, began: float, spent: float, workers: int = 0
) -> None:
    """Complete the summary of a run from its experiment, and write it.

    Args:
        experiment: the run's.
        summary: what only the run knows.
        began: when it began, in seconds since 1970.
        spent: the workers' seconds in earlier runs of the experiment.
        workers: how many workers this run had.
    """
    goal, verdict, ended = experiment.goal, experiment.verdict, time.time()
    states = experiment.trials["state"].value_counts()
    winner = None
    if verdict:
        winner = Winner(trial=verdict.trial, mean=verdict.mean, interval=verdict.interval)
    summary = replace(
        summary,
        metric=goal.metric,
        mode=goal.mode,
        trials={str(state): int(count) for state, count in states.items()},
        began=began,
        ended=ended,
        seconds=ended - began,
        workers=workers,
        worker_seconds=spent + workers * (ended - began),
        winner=winner,
    )
    experiment.folder.write_json(SUMMARY, summary.to_json())


@contextmanager
def recording_outcome(folder: Folder, *, began: float, spent: float) -> Iterator[None]:
    """Write the summary of a run that an exception or a signal ends, once it has begun.

    Args:
        folder: the experiment's.
        began: when the run began, in seconds since 1970.
        spent: the workers' seconds in earlier runs of the experiment.
    """
    try:
        yield
    except BaseException as error:
        with suppress(Exception):  # the exception in flight says more
            if not folder.exists(SUMMARY) and Experiment(folder).exists:
                said = cause(str(error) or type(error).__name__)
                summary = replace(begin_summary(outcome_of_error(error)), error=said)
                write_summary(Experiment(folder), summary, began=began, spent=spent)
        raise


def outcome_of_error(error: BaseException) -> Outcome:
    """Return the outcome of a run that an exception ends."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return outcome_of_code(error.exit_code) if isinstance(error, JobError) else "unexpected error"
