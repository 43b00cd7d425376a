"""The exceptions by which a KerasTuner program gives up a trial, or the whole search."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import Any

from tune_jobs.engine.errors import JobError


class FailedTrialError(Exception):
    """Raised by a program for a configuration that cannot work: the trial is not tried again."""


class FatalError(Exception):
    """Raised by a program to end the search."""

    ends_run = True


class FatalValueError(FatalError, ValueError):
    """A fatal error because of a value."""


class FatalTypeError(FatalError, TypeError):
    """A fatal error because of a type."""


class FatalRuntimeError(FatalError, RuntimeError):
    """Any other fatal error."""


class ConsecutiveFailuresError(JobError, RuntimeError):
    """The search has ended because one trial after another failed."""


class NewHyperparametersError(Exception):
    """Raised on a worker for hyperparameters that probing has not found, to let them join."""

    ends_run = True

    def __init__(self, declared: Iterable[dict[str, Any]]) -> None:
        text = json.dumps(list(declared)).encode()
        super().__init__(base64.b64encode(text).decode())  # no hiding of what looks like secrets


FATAL = {
    kind.__name__: kind for kind in (FatalError, FatalValueError, FatalTypeError, FatalRuntimeError)
}


def declared_in(error: JobError) -> list[dict[str, Any]] | None:
    """Return the hyperparameters that a worker has met and the run has ended for, else None."""
    name, _, text = str(error).partition(": ")
    if name != NewHyperparametersError.__name__:
        return None
    found: list[dict[str, Any]] = json.loads(base64.b64decode(text))
    return found


def fatal_in(error: JobError) -> FatalError | None:
    """Return the fatal error that a program has raised on a worker, None if it is another one."""
    name, _, text = str(error).partition(": ")
    return FATAL[name](text) if name in FATAL else None
