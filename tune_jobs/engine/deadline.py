"""When a run has to end."""

from __future__ import annotations

import time
from dataclasses import dataclass

from tune_jobs.engine.errors import JobError


@dataclass(frozen=True)
class Deadline:
    """The moment at which a run has to end.

    Attributes:
        at: seconds since 1970, None for no limit.
    """

    at: float | None = None

    @property
    def left(self) -> float | None:
        """The seconds until then, 0 if it is past; None for no limit."""
        return None if self.at is None else max(self.at - time.time(), 0.0)

    @property
    def is_past(self) -> bool:
        """Whether it is over."""
        return self.at is not None and time.time() >= self.at

    def share(self, share: float, began: float) -> Deadline:
        """Return the moment at which a share of the time since ``began`` is used."""
        return self if self.at is None else Deadline(began + share * (self.at - began))

    def at_least(self, seconds: float) -> Deadline:
        """Return this deadline, or a later one if fewer seconds than these are left."""
        return self if self.at is None else Deadline(max(self.at, time.time() + seconds))


# That of a run without a limit.
NO_DEADLINE = Deadline()


def deadline_after(max_hours: float | None, began: float) -> Deadline:
    """Return the deadline of a run that may take a number of hours.

    Args:
        max_hours: what ``--max-hours`` says, None for no limit.
        began: when the run began, in seconds since 1970.

    Raises:
        JobError: if the hours are not above 0.
    """
    if max_hours is None:
        return NO_DEADLINE
    if not max_hours > 0:
        raise JobError(f"max_hours must be above 0, got {max_hours:g}")
    return Deadline(began + 3600 * max_hours)
