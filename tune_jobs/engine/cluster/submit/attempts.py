"""The attempts at experiments that a cluster knows, found and described."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from tune_jobs.engine.cluster.submit.submission import (
    attempt_of,
    attempts_of,
    exit_code_of,
    experiment_of,
)
from tune_jobs.engine.errors import JobError
from tune_jobs.engine.names import nearest
from tune_jobs.engine.outcome import CODES_OF_RUNS

if TYPE_CHECKING:
    from ray.job_submission import JobDetails

    from tune_jobs.engine.cluster.submit.jobs_api import JobsApi


def last_attempt(api: JobsApi, experiment: str) -> JobDetails:
    """Find the last attempt at an experiment.

    Raises:
        JobError: if none was submitted; the nearest names are shown.
    """
    jobs = api.list()
    attempts = attempts_of(experiment, jobs)
    if not attempts:
        known = {name for job in jobs if (name := experiment_of(job)) is not None}
        raise JobError(
            f"no experiment {experiment!r} was submitted to {api.address}"
            f"{nearest(experiment, known)}"
        )
    return attempts[-1]


def last_attempts(api: JobsApi) -> list[JobDetails]:
    """Find the last attempt at every experiment on a cluster, latest first."""
    last: dict[str, JobDetails] = {}
    for job in sorted(api.list(), key=attempt_of):
        if experiment := experiment_of(job):
            last[experiment] = job
    return sorted(last.values(), key=lambda job: -(job.start_time or 0))


def attempt_as_dict(job: JobDetails) -> dict[str, Any]:
    """Return the facts of an attempt for machines to read."""
    return {
        "experiment": experiment_of(job),
        "attempt": attempt_of(job),
        "submission_id": job.submission_id,
        "status": job.status.value,
        "exit_code": exit_code_of(job),
        "began": job.start_time and job.start_time / 1000,
        "ended": job.end_time and job.end_time / 1000,
    }


def describe_attempt(job: JobDetails) -> str:
    """Describe an attempt in one line: experiment, number, state, start and duration."""
    code = exit_code_of(job)
    state = job.status.value.lower() if code is None else CODES_OF_RUNS[code]
    began = time.strftime("%Y-%m-%d %H:%M", time.localtime((job.start_time or 0) / 1000))
    took = f", {((job.end_time or 0) - (job.start_time or 0)) / 1000:.0f} s" if job.end_time else ""
    why = "" if code is not None or not job.message or state == "running" else f": {job.message}"
    return f"{experiment_of(job)}  attempt {attempt_of(job)}, {state}{why}, since {began}{took}"
