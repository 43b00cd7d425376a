"""Follow a submitted search: print its log, return its exit code, handle Ctrl-C."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Literal

import click

from tune_jobs.cli.output import echo

if TYPE_CHECKING:
    from tune_jobs.engine.cluster.submit.jobs_api import JobsApi

# Seconds between requests for a job's state, and how often a lost connection is retried.
POLL = 1.0
RETRIES = 10

Answer = Literal["detach", "stop"]


class Log:
    """Prints a job's log, without what a lost connection has printed already."""

    def __init__(self) -> None:
        self._printed = self._read = 0

    def begin(self) -> None:
        """Expect the log from its beginning, as a new connection sends it."""
        self._read = 0

    def print(self, chunk: str) -> None:
        """Print the new part of a chunk."""
        new = chunk[max(self._printed - self._read, 0) :]
        self._read += len(chunk)
        self._printed = max(self._printed, self._read)
        echo(new, end="")


def follow(api: JobsApi, submission_id: str) -> int | None:
    """Print a job's log until it ends; return its exit code, or None if the user detached.

    Ctrl-C asks whether to detach or to stop the job; without a terminal it detaches.

    Raises:
        ClusterError: if the cluster stops answering; the job may still be running.
    """
    from tune_jobs.engine.cluster.submit.submission import exit_code_of, is_live
    from tune_jobs.engine.errors import ClusterError

    log, lost = Log(), 0
    while True:
        try:
            _wait_for_start(api, submission_id)
            log.begin()
            api.follow_log(submission_id, log.print)
            job = api.find(submission_id)
            if not is_live(job):
                return exit_code_of(job)
            time.sleep(POLL)
        except ClusterError as error:
            lost += 1
            if lost > RETRIES:
                raise ClusterError(
                    f"{error}; the job may still be running, see tune-jobs status"
                ) from None
            time.sleep(POLL)
        except KeyboardInterrupt:
            if ask() == "detach":
                return None
            api.stop(submission_id)
            echo("stopping; trials save their checkpoints first", err=True)


def _wait_for_start(api: JobsApi, submission_id: str) -> None:
    """Wait until a job has started, since the log of a pending one cannot be followed."""
    announced = False
    while api.find(submission_id).status.value == "PENDING":
        if not announced:
            echo("waiting for the cluster to start the job", err=True)
            announced = True
        time.sleep(POLL)


def ask() -> Answer:
    """Ask whether to detach or to stop the job; detach on a second Ctrl-C or without a terminal."""
    if not sys.stdin.isatty():
        return "detach"
    try:
        choice = click.prompt(
            "\n[d]etach and leave the search running, or [s]top it",
            type=click.Choice(["d", "s"]),
            default="d",
            show_choices=False,
            err=True,
        )
    except (click.Abort, KeyboardInterrupt):
        return "detach"
    return "stop" if choice == "s" else "detach"
