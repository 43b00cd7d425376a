"""A submitted search, followed from here: its log, its outcome, and Ctrl-C on the way."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Literal

import click

from tune_jobs.engine.cluster.submit.submission import exit_code_of, is_live
from tune_jobs.engine.errors import ClusterError

if TYPE_CHECKING:
    from tune_jobs.engine.cluster.submit.jobs_api import JobsApi

# How often a job is asked for, in seconds, and how often a lost connection is tried again.
POLL = 1.0
RETRIES = 10

Answer = Literal["detach", "stop"]


class Log:
    """What was printed of a job's log, so that a new connection does not print it again."""

    def __init__(self) -> None:
        self._printed = self._read = 0

    def begin(self) -> None:
        """Start to read from the beginning again."""
        self._read = 0

    def tell(self, chunk: str) -> None:
        """Print what is new of a piece of the log."""
        new = chunk[max(self._printed - self._read, 0) :]
        self._read += len(chunk)
        self._printed = max(self._printed, self._read)
        sys.stdout.write(new)
        sys.stdout.flush()


def follow(api: JobsApi, submission_id: str) -> int | None:
    """Print a job's log until it ends; returns its exit code, None where the user detached.

    Ctrl-C asks whether to detach or to stop; where nobody can be asked it detaches.

    Raises:
        ClusterError: where the cluster does not answer any more; the job may go on.
    """
    log, lost = Log(), 0
    while True:
        try:
            _wait_for_start(api, submission_id)
            log.begin()
            api.follow_log(submission_id, log.tell)
            job = api.find(submission_id)
            if not is_live(job):
                return exit_code_of(job)
            time.sleep(POLL)
        except ClusterError as error:
            lost += 1
            if lost > RETRIES:
                raise ClusterError(
                    f"{error}; the job may still run there: tune-jobs status shows it later"
                ) from None
            time.sleep(POLL)
        except KeyboardInterrupt:
            if ask() == "detach":
                return None
            api.stop(submission_id)
            click.echo("asked it to stop; it writes its checkpoints first", err=True)


def _wait_for_start(api: JobsApi, submission_id: str) -> None:
    """Wait until a job runs or has ended: the log of one that waits cannot be followed."""
    told = False
    while api.find(submission_id).status.value == "PENDING":
        if not told:
            click.echo("waiting for the cluster to start the job", err=True)
            told = True
        time.sleep(POLL)


def ask() -> Answer:
    """Ask what Ctrl-C is to mean; again Ctrl-C, or nobody to ask, is to detach."""
    if not sys.stdin.isatty():
        return "detach"
    try:
        said = click.prompt(
            "\nThe search goes on without you. [d]etach, or [s]top it",
            type=click.Choice(["d", "s"]),
            default="d",
            show_choices=False,
            err=True,
        )
    except (click.Abort, KeyboardInterrupt):
        return "detach"
    return "stop" if said == "s" else "detach"
