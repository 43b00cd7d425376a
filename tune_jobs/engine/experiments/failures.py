"""Failures of trials: cause and kind, and whether it is a bug that every trial would meet."""

from __future__ import annotations

import errno
import re
import traceback
from collections import Counter
from dataclasses import dataclass
from typing import Literal

from tune_jobs.engine.plain import bounded

# A configuration that cannot work, a metric that is not finite (a finding rather than a fault), a
# lost machine, storage that cannot be written, a trial that was silent too long twice.
Kind = Literal["configuration", "divergence", "infrastructure", "storage", "hang"]

STORAGE_ERRORS = {errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EIO, errno.EACCES}
# What pyarrow says if an object store cannot be reached or refuses; such errors have no number.
STORE = re.compile(r"AWS Error|google::cloud::Status|Azure")
OUT_OF_MEMORY = re.compile(
    r"MemoryError|OutOfMemory|ResourceExhausted|OOM|out of memory|low on memory"
)
# What Ray says if an actor, a worker or a node is gone.
LOST = re.compile(
    r"The actor (died|is dead|is unavailable|is temporarily)|worker .*died|node .*died"
)
# What Ray says if a worker's process ended by itself, on a node that lives on.
CRASHED = re.compile(r"its worker process has died")
ATTEMPT = re.compile(r"^Failure # .*$", re.MULTILINE)  # what Tune writes above each failure
EXCEPTION = re.compile(
    r"^(?:[\w.]+\.)?(\w*(?:Error|Exception|Interrupt|Exit|Warning)\w*)(?:: (.*))?$"
)
PLACE = re.compile(r'^ *File "(.+)", line (\d+)', re.MULTILINE)

# The last line of the failure of a configuration that crashes its worker.
CRASH = (
    "WorkerExit: the worker process died in every attempt; the configuration crashes it (a "
    "segmentation fault, os._exit), or needs more memory than there is"
)

FIRST, MANY = 3, 10


@dataclass(frozen=True)
class Failure:
    """The kind of a failure, and its message: a traceback, or a line; of a long one both ends."""

    kind: Kind
    error: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "error", bounded(str(self.error)))


def of_exception(error: BaseException) -> Failure:
    """Classify the failure of a trial that raised an exception."""
    is_storage = isinstance(error, OSError) and (
        error.errno in STORAGE_ERRORS or bool(STORE.search(str(error)))
    )
    text = "".join(traceback.format_exception(error))
    return Failure("storage" if is_storage else "configuration", text.strip())


def of_lost_worker(error: str) -> Failure:
    """Classify the failure of a trial that Tune gave up: an exception, or a lost machine.

    A configuration whose worker crashed in every attempt has failed, as one that raises.
    """
    attempts = _attempts_in(error)
    if attempts and all(map(CRASHED.search, attempts)):
        return Failure("configuration", f"{error}\n{CRASH}")
    is_lost = LOST.search(error) and "running low on memory" not in error
    return Failure("infrastructure" if is_lost else "configuration", error)


def is_crash(error: str) -> bool:
    """Return whether the last of the attempts that Tune noted ended with a crash of its worker."""
    return any(map(CRASHED.search, _attempts_in(error)[-1:]))


def _attempts_in(error: str) -> list[str]:
    return [text for text in ATTEMPT.split(error) if text.strip()]


def cause(error: str) -> str:
    """Return the last exception named in a traceback: ``ValueError: units is -3``."""
    for line in reversed(error.splitlines()):
        if match := EXCEPTION.match(line.strip()):
            name, message = match.groups()
            return f"{name}: {message}" if message else name
    lines = [line.strip() for line in error.splitlines() if line.strip()]
    return lines[-1] if lines else "unknown"


class Bugs:
    """Notices an exception that is the program's fault and not a configuration's.

    That is the case if the same exception, from the same line, or the same message without one
    ended the first 3 trials, or more than half of 10 or more. Running out of memory never counts.
    """

    def __init__(self) -> None:
        self._ended = 0
        self._seen: Counter[str] = Counter()

    def add(self, failure: Failure | None) -> bool:
        """Count a trial that ended; return whether there is a bug."""
        self._ended += 1
        signature = _signature(failure) if failure else None
        if signature is None:
            return False
        self._seen[signature] += 1
        count = self._seen[signature]
        return count == self._ended == FIRST or (self._ended >= MANY and 2 * count > self._ended)


def _signature(failure: Failure) -> str | None:
    """Return type and line of an exception, or a message as it is; None if it is no bug."""
    if failure.kind != "configuration" or OUT_OF_MEMORY.search(failure.error):
        return None
    places = PLACE.findall(failure.error)
    return f"{cause(failure.error).partition(':')[0]} {places[-1]}" if places else failure.error
