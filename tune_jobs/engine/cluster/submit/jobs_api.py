"""A cluster's Jobs API, with one line for each thing that may be wrong between here and there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import ray

from tune_jobs.engine.cluster.tokens import find_token
from tune_jobs.engine.errors import ClusterError, JobError, reason_of
from tune_jobs.engine.job.profile import Profile
from tune_jobs.engine.ray_internals import UPLOAD_LOGGER, cluster_version

if TYPE_CHECKING:
    from ray.job_submission import JobDetails, JobSubmissionClient

# Loggers that announce each upload and each connection.
CHATTY = (
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
    UPLOAD_LOGGER,
)

LIVE = ("PENDING", "RUNNING")


class JobsApi:
    """The Jobs API of a profile's cluster.

    Attributes:
        address: its URL.
    """

    def __init__(self, profile: Profile) -> None:
        """Connect.

        Raises:
            JobError: if the profile names no Jobs API, the ``cluster`` extra is not installed,
                the token is missing or not accepted, or the cluster runs another Ray.
            ClusterError: if nothing answers.
        """
        if profile.jobs_api is None:
            raise JobError(
                "the profile has no jobs_api; add the URL of the cluster's Jobs API, such as "
                "jobs_api: http://127.0.0.1:8265"
            )
        self.address = profile.jobs_api
        self._client = self._connect(find_token(profile.token_file))
        self._check_version()

    def _connect(self, token: str | None) -> JobSubmissionClient:
        try:
            import aiohttp  # noqa: F401  # which Ray's client needs, and only the extra brings
            from ray.job_submission import JobSubmissionClient
        except ImportError:
            raise JobError(
                'the Jobs API needs the extra packages of: pip install "tune-jobs[cluster]"'
            ) from None
        headers = {"Authorization": f"Bearer {token}"} if token else None
        for name in CHATTY:
            logging.getLogger(name).setLevel(logging.ERROR)
        with self._explained():
            return JobSubmissionClient(self.address, headers=headers)

    def _check_version(self) -> None:
        there = self.version()
        if there.split(".")[:2] != ray.__version__.split(".")[:2]:
            raise JobError(
                f"the cluster at {self.address} runs Ray {there}, but Ray {ray.__version__} is "
                "installed here, and the minor versions must agree: install "
                f"'ray[default]=={there}' here, or the versions of requirements.lock there"
            )

    def version(self) -> str:
        """Return the version of Ray that the cluster runs."""
        with self._explained():
            return cluster_version(self._client)

    def submit(self, **submission: object) -> bool:
        """Submit a job; return whether it was accepted, False if its id exists already."""
        with self._explained():
            try:
                self._client.submit_job(**submission)
            except RuntimeError as error:
                if "already exists" in str(error):
                    return False
                raise
        return True

    def find(self, submission_id: str) -> JobDetails:
        """Return what the cluster knows of a job."""
        with self._explained():
            return self._client.get_job_info(submission_id)

    def list(self) -> list[JobDetails]:
        """Return all jobs that were submitted through the Jobs API, finished ones included."""
        with self._explained():
            return [job for job in self._client.list_jobs() if job.submission_id]

    def stop(self, submission_id: str) -> None:
        """Ask a job to end; it saves its state first."""
        with self._explained():
            self._client.stop_job(submission_id)

    def log(self, submission_id: str) -> str:
        """Return everything that a job has printed."""
        with self._explained():
            return str(self._client.get_job_logs(submission_id))

    def follow_log(self, submission_id: str, tell: Callable[[str], None]) -> None:
        """Call ``tell`` with what a job has printed and prints, until it ends.

        Raises:
            ClusterError: if the connection is lost.
            KeyboardInterrupt: on Ctrl-C, at once.
        """

        async def follow() -> None:
            async for chunk in self._client.tail_job_logs(submission_id):
                tell(chunk)

        with self._explained():
            asyncio.run(follow())

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what Ray, requests and aiohttp raise into one line.

        Raises:
            JobError: for a token that is missing or not accepted, or a request that is refused.
            ClusterError: if nothing answers.
        """
        from ray.exceptions import AuthenticationError

        try:
            yield
        except JobError:
            raise
        except AuthenticationError as error:
            raise JobError(self._explain_token(str(error))) from None
        except (TimeoutError, OSError) as error:  # those of requests and aiohttp are too
            raise ClusterError(
                f"no cluster answers at {self.address} ({type(error).__name__}); check that it is "
                "running and that the tunnel or port-forward to it is open"
            ) from None
        except Exception as error:
            if "401" in str(error)[:80] or "403" in str(error)[:80]:
                raise JobError(self._explain_token(str(error))) from None
            if type(error).__module__.startswith("aiohttp") or "WebSocket" in str(error):
                raise ClusterError(
                    f"the connection to {self.address} was lost: {reason_of(error)[:120]}"
                ) from None
            raise ClusterError(
                f"{self.address} refused the request: {reason_of(error)[:300]}"
            ) from error

    def _explain_token(self, said: str) -> str:
        if "403" in said[:80] or "invalid" in said:
            return (
                f"the cluster at {self.address} does not accept the token; token_file in the "
                "profile must contain the token that the cluster was started with"
            )
        return (
            f"the cluster at {self.address} requires a token; add token_file to the profile, the "
            "path of a file that contains it"
        )
