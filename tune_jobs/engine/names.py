"""Names: of experiments, and the nearest one to a misspelled one."""

from __future__ import annotations

import difflib
import functools
import inspect
import re
import time
from collections.abc import Callable, Iterable
from typing import ParamSpec, TypeVar

from tune_jobs.engine.errors import JobError

Arguments = ParamSpec("Arguments")
Returned = TypeVar("Returned")

EXPERIMENT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` if a known name is similar, else ``.``."""
    matches = difflib.get_close_matches(name, list(known), n=3, cutoff=0.6)
    if not matches:
        return "."
    return f"; did you mean {' or '.join(repr(match) for match in matches)}?"


def ignoring(column: str) -> str:
    """Say how a column is left out, in a program and on the command line."""
    return f"ignore=({column!r},) (--ignore '{column}')"


def refuse_unknown(
    owner: str,
) -> Callable[[Callable[Arguments, Returned]], Callable[Arguments, Returned]]:
    """Make a method refuse an unknown argument with a JobError that names the nearest known one.

    Args:
        owner: the object as programs call it, such as ``hp`` of ``hp.Int``.
    """

    def decorate(method: Callable[Arguments, Returned]) -> Callable[Arguments, Returned]:
        known = [name for name in inspect.signature(method).parameters if name != "self"]

        @functools.wraps(method)
        def checked(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Returned:
            for name in kwargs:
                if name not in known:
                    raise JobError(
                        f"{owner}.{method.__name__} has no argument {name!r}"
                        f"{nearest(name, known)} Known: {', '.join(known)}"
                    )
            return method(*args, **kwargs)

        return checked

    return decorate


def check_experiment_name(name: str) -> None:
    """Refuse a name that would not be one folder.

    Raises:
        JobError: unless it is made of letters, digits, '.', '_' and '-', the first of them a
            letter or digit, 100 at the most.
    """
    if not EXPERIMENT_NAME.fullmatch(name) or len(name) > 100:
        raise JobError(
            f"experiment name {name!r} must be at most 100 letters, digits, '.', '_' or '-', "
            "starting with a letter or digit; it must not be a path"
        )


def default_name(module: str) -> str:
    """Name an experiment after what is run and when."""
    return f"{module.split('.')[-1].strip('_') or 'search'}-{time.strftime('%Y%m%d-%H%M%S')}"


def trial_id(number: int) -> str:
    """Return the id that Tune gives a trial and its folder."""
    return f"{number:05d}"
