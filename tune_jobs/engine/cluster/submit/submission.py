"""A search as one job of a cluster: its id, its command line, its environment."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NotRequired, TypedDict

from tune_jobs.engine.cluster.submit.jobs_api import LIVE
from tune_jobs.engine.cluster.submit.upload import EXCLUDES, packages_to_send
from tune_jobs.engine.cluster.tokens import MODE, TOKEN_PATH
from tune_jobs.engine.errors import JobError
from tune_jobs.engine.outcome import CODES_OF_RUNS, EXIT_CODES, FINAL, NOT_BETTER

if TYPE_CHECKING:
    from ray.job_submission import JobDetails

    from tune_jobs.engine.job.profile import Profile

# Another character would leave the job pending for ever; the attempt is added to it.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}")

# So long Ray waits for a job that was asked to stop, in seconds: its trials write checkpoints.
STOP_SECONDS = 120

ENVIRONMENT = {
    "RAY_JOB_STOP_SIGNAL": "SIGINT",
    "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS),
    "PYTHONUNBUFFERED": "1",
}

# Exit codes of runs after which nothing is left to do.
DONE = [*(EXIT_CODES[outcome] for outcome in FINAL), NOT_BETTER]


class Request(TypedDict):
    """Everything that the Jobs API needs to submit a job."""

    entrypoint: str
    submission_id: str
    runtime_env: Mapping[str, object]
    metadata: NotRequired[dict[str, str]]


@dataclass(frozen=True)
class Submission:
    """One attempt at a search on a cluster.

    Attributes:
        experiment: the experiment's name.
        arguments: those of ``tune-jobs run``.
        folder: what is uploaded; the command runs in it.
        attempt: counted from 1; each continues from the end of the one before.
    """

    experiment: str
    arguments: Sequence[str]
    folder: Path
    attempt: int = 1

    def __post_init__(self) -> None:
        check_submitted_name(self.experiment)

    @property
    def submission_id(self) -> str:
        """The cluster's name for it."""
        return f"{self.experiment}-{self.attempt}"

    @property
    def entrypoint(self) -> str:
        """The command that the cluster runs."""
        return shlex.join(["python", "-m", "tune_jobs", "run", *self.arguments])

    @property
    def metadata(self) -> dict[str, str]:
        """By which the search is found again."""
        digest = hashlib.blake2b(self.entrypoint.encode(), digest_size=8).hexdigest()
        return {
            "tune_jobs_experiment": self.experiment,
            "tune_jobs_attempt": str(self.attempt),
            "tune_jobs_digest": digest,
        }

    @property
    def runtime_env(self) -> dict[str, object]:
        """The upload, and what lets a stop save the state of the search."""
        return runtime_env_of(self.folder)

    def request(self) -> Request:
        """Return the request for the Jobs API; the driver reserves nothing."""
        return {
            "entrypoint": self.entrypoint,
            "submission_id": self.submission_id,
            "runtime_env": self.runtime_env,
            "metadata": self.metadata,
        }

    def command(self, profile: Profile) -> str:
        """Return the ``ray job submit`` command that does the same."""
        env = {**self.runtime_env, "working_dir": "."}
        words = ["ray", "job", "submit", "--address", str(profile.jobs_api), "--no-wait"]
        words += ["--submission-id", self.submission_id]
        words += ["--runtime-env-json", json.dumps(env)]
        words += ["--metadata-json", json.dumps(self.metadata), "--"]
        token = [f"{MODE}=token", f"{TOKEN_PATH}={profile.token_file}"]
        return " ".join(
            [*(token if profile.token_file else []), shlex.join(words), self.entrypoint]
        )


def runtime_env_of(folder: Path) -> dict[str, object]:
    """Return what to upload, this package too if the folder lacks it, and how a job is stopped."""
    packages = packages_to_send(folder)
    env: dict[str, object] = {
        "working_dir": str(folder),
        "excludes": EXCLUDES,
        "env_vars": ENVIRONMENT,
    }
    return env | ({"py_modules": packages} if packages else {})


def doctors_request(arguments: Sequence[str], folder: Path) -> Request:
    """Return the request with which the Jobs API runs the doctor on the cluster."""
    return {
        "entrypoint": shlex.join(["python", "-m", "tune_jobs", "doctor", *arguments]),
        "submission_id": f"doctor-{uuid.uuid4().hex[:12]}",
        "runtime_env": runtime_env_of(folder),
    }


def check_submitted_name(experiment: str) -> None:
    """Refuse a name that the Jobs API would take, and never run.

    Raises:
        JobError: unless it is letters, digits, '_' and '-', the first a letter or digit.
    """
    if not NAME.fullmatch(experiment):
        raise JobError(
            f"experiment name {experiment!r} cannot be submitted; use a --name of at most 80 "
            "letters, digits, '_' or '-', starting with a letter or digit"
        )


def attempts_of(experiment: str, jobs: Sequence[JobDetails]) -> list[JobDetails]:
    """Return the attempts at an experiment that a cluster knows, in order."""
    return sorted((job for job in jobs if experiment_of(job) == experiment), key=attempt_of)


def experiment_of(job: JobDetails) -> str | None:
    """Return the experiment that a job is an attempt at; None if tune-jobs did not submit it."""
    return (job.metadata or {}).get("tune_jobs_experiment")


def attempt_of(job: JobDetails) -> int:
    """Return the number of the attempt that a job is."""
    return int((job.metadata or {}).get("tune_jobs_attempt", 0))


def is_live(job: JobDetails) -> bool:
    """Return whether a job waits or runs."""
    return job.status.value in LIVE


def exit_code_of(job: JobDetails) -> int | None:
    """Return the exit code of a job in terms of this project; None while it waits or runs."""
    if is_live(job):
        return None
    if job.status.value == "SUCCEEDED":
        return 0
    if job.status.value == "STOPPED":
        return EXIT_CODES["interrupted"]
    code = job.driver_exit_code
    return code if code in CODES_OF_RUNS else EXIT_CODES["unexpected error"]


def next_attempt(wanted: Submission, before: Sequence[JobDetails]) -> Submission | None:
    """Return the attempt to submit; None if the last one is active or done, to attach to it.

    Raises:
        JobError: if another search runs under that name.
    """
    if not before:
        return wanted
    last = before[-1]
    is_same = (last.metadata or {}).get("tune_jobs_digest") == wanted.metadata["tune_jobs_digest"]
    if is_live(last) and not is_same:
        raise JobError(
            f"experiment {wanted.experiment!r} is running on the cluster with other options: "
            f"{last.entrypoint}; stop it first, or choose another --name"
        )
    if is_same and (is_live(last) or exit_code_of(last) in DONE):
        return None
    return replace(wanted, attempt=attempt_of(last) + 1)
