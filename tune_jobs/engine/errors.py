"""Errors that the user can fix."""

from __future__ import annotations

import math
import sys
import traceback
from pathlib import Path
from typing import TypeGuard

from tune_jobs.engine.credentials import hide_credentials
from tune_jobs.engine.plain import bounded


class JobError(ValueError):
    """A mistake in a job, a profile, the data or the command line.

    Its message is one line that names the thing, shows the value and says the rule. The command
    line prints it without a traceback and exits with its code; a notebook shows the line alone.
    """

    exit_code = 2
    word = "error"  # what its line begins with

    def __init__(self, message: object = "") -> None:
        super().__init__(hide_credentials(bounded(str(message))))

    def _render_traceback_(self) -> list[str]:
        """Return what a notebook shows instead of the way through the engine."""
        return [f"{type(self).__name__}: {self}"]


class StorageError(JobError):
    """Storage that cannot be written any more; what was written before stays readable."""

    exit_code = 8


class ClusterError(JobError):
    """A cluster that does not answer, or no longer does."""

    exit_code = 9


def mistake_of_exit(error: SystemExit) -> JobError:
    """Return the mistake of a job whose code ends the process instead of returning."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" in {Path(frames[-1].filename).name}, line {frames[-1].lineno}," if frames else ""
    code = "" if error.code is None else repr(error.code)
    return JobError(f"sys.exit({code}){place} ends the process; the code of a job has to return")


def check_whole_number(name: str, value: object, least: int, most: float = math.inf) -> None:
    """Refuse a value that is not an integer, or is too small or too large.

    Raises:
        JobError: naming it.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        rule = f">= {least}" if most == math.inf else f"from {least} to {most:,}"
        raise JobError(f"{name} is {value!r}, but must be an integer {rule}")


def is_finite(value: object) -> TypeGuard[float]:
    """Return whether a value is a number, neither NaN nor infinite; True and False are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= sys.float_info.max  # false for NaN, and for integers beyond floats


def is_mistake(error: BaseException) -> bool:
    """Return whether an exception says that the job is wrong, whatever the configuration.

    A trainable, which does not know a :class:`JobError`, sets ``is_mistake`` on its exception.
    """
    return isinstance(error, JobError) or bool(getattr(error, "is_mistake", False))


def ends_run(error: BaseException) -> bool:
    """Return whether an exception ends the run, whichever trial raises it and whenever.

    It sets ``ends_run``; code that calls the engine reads its class from the message.
    """
    return bool(getattr(error, "ends_run", False))


# How many characters of a file system's error are shown.
LONGEST = 500


def reason_of(error: BaseException) -> str:
    """Return what an exception says as one readable line."""
    said = " ".join(str(error).split())
    return said if len(said) <= LONGEST else f"{said[:LONGEST]} ..."


def first_line(error: BaseException) -> str:
    """Return the first line of what an exception says, or its class if it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__
