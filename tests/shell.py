"""A shell in which every ``tune-jobs`` command runs in one process, with one Ray.

Most of the time of a small run is start-up, so a session of 20 commands takes a fifth of the time.
"""

import logging
import multiprocessing
import os
import traceback
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple


class Ran(NamedTuple):
    """The result of a command, as a shell sees it."""

    code: int
    stdout: str
    stderr: str


class Shell:
    """Commands in a folder, one after the other."""

    def __init__(self, process: ProcessPoolExecutor) -> None:
        self._process = process

    def run(self, *words: str) -> Ran:
        """Run ``tune-jobs`` with some words."""
        return self._process.submit(_invoke, words).result()


@contextmanager
def open_shell(folder: Path) -> Iterator[Shell]:
    """Start a process with a Ray of its own in a folder, and end both."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn, initializer=_start, initargs=(folder,)) as process:
        yield Shell(process)
        process.submit(_end).result()


def _start(folder: Path) -> None:
    from tune_jobs.engine.cluster.connection import connect
    from tune_jobs.engine.job.profile import Profile

    os.chdir(folder)
    connect(Profile(), [str(folder)], preload="trainables.preload.preload")


def _end() -> None:
    from tune_jobs.engine.cluster.local_ray import stop_local

    stop_local()


def _invoke(words: tuple[str, ...]) -> Ran:
    from click.testing import CliRunner

    from tune_jobs.cli.main import main

    ran = CliRunner().invoke(main, words)
    logging.getLogger("tune_jobs").handlers.clear()  # the next command has another standard error
    unforeseen = ran.exc_info and not isinstance(ran.exception, SystemExit)
    trace = "".join(traceback.format_exception(*ran.exc_info)) if unforeseen else ""
    return Ran(ran.exit_code, ran.stdout, ran.stderr + trace)
