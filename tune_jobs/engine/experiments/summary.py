"""The summary of a run: written last, so that it marks one that has come to an end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.experiments.failures import cause
from tune_jobs.engine.experiments.files import SUMMARY
from tune_jobs.engine.outcome import Outcome, outcome_of_code
from tune_jobs.engine.storage.folder import Folder


def write_summary(
    experiment: Experiment, *, began: float, spent: float, workers: int = 0, **found: Any
) -> None:
    """Write what is known of a run at its end, so that nobody has to read the history for it.

    Args:
        experiment: the run's.
        began: when it did, in seconds since 1970.
        spent: seconds of workers that earlier runs of the experiment took.
        workers: how many this one had.
        found: what else there is to say.
    """
    about, verdict, ended = experiment.description, experiment.verdict, time.time()
    known = {
        "metric": about["metric"],
        "mode": about["mode"],
        "trials": dict(experiment.trials["state"].value_counts()),
        "began": began,
        "ended": ended,
        "seconds": ended - began,
        "workers": workers,
        "worker_seconds": spent + workers * (ended - began),
    }
    if verdict:
        known["winner"] = {name: verdict[name] for name in ("trial", "mean", "interval")}
    experiment.folder.write_json(SUMMARY, found | known)


@contextmanager
def recording_outcome(folder: Folder, **about: Any) -> Iterator[None]:
    """Write the summary of a run that an exception or a signal breaks off, once it has begun.

    Args:
        folder: the experiment's.
        about: further arguments of :func:`write_summary`.
    """
    try:
        yield
    except BaseException as error:
        with suppress(Exception):  # what is under way says more
            if not folder.exists(SUMMARY) and Experiment(folder).exists:
                said = cause(str(error) or type(error).__name__)
                outcome = outcome_of_error(error)
                write_summary(Experiment(folder), outcome=outcome, error=said, **about)
        raise


def outcome_of_error(error: BaseException) -> Outcome:
    """How a run ends that an exception breaks off."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return outcome_of_code(error.exit_code) if isinstance(error, JobError) else "unexpected error"
