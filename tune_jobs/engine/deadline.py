"""The moment at which a run has to end, and its times so far."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from tune_jobs.engine.errors import JobError


@dataclass(frozen=True)
class Deadline:
    """The moment at which a run has to end.

    Both times are seconds of ``time.monotonic()``, which no change of the machine's clock moves;
    they mean something in this process only.

    Attributes:
        at: when the run has to end, None for no limit.
        began: when it began.
    """

    at: float | None = None
    began: float = 0.0

    @property
    def left(self) -> float | None:
        """The seconds until then, 0 if it is past; None for no limit."""
        return None if self.at is None else max(self.at - time.monotonic(), 0.0)

    @property
    def is_past(self) -> bool:
        """True if it is over."""
        return self.at is not None and time.monotonic() >= self.at

    def share(self, share: float) -> Deadline:
        """Return the moment at which a share of the run's time is used."""
        if self.at is None:
            return self
        return replace(self, at=self.began + share * (self.at - self.began))

    def at_least(self, seconds: float) -> Deadline:
        """Return this deadline, or a later one if fewer seconds than these are left."""
        return (
            self if self.at is None else replace(self, at=max(self.at, time.monotonic() + seconds))
        )


@dataclass(frozen=True)
class Timing:
    """The beginning of a run, and its deadline.

    Attributes:
        began: in seconds since 1970.
        deadline: the run's, which is also that of its finals.
        spent: the workers' seconds in earlier runs of the experiment.
    """

    began: float
    deadline: Deadline
    spent: float = 0.0


# That of a run without a limit.
NO_DEADLINE = Deadline()


def deadline_after(max_hours: float | None) -> Deadline:
    """Return the deadline of a run that begins now and may take a number of hours.

    Args:
        max_hours: what ``--max-hours`` says, None for no limit.

    Raises:
        JobError: if the hours are not above 0.
    """
    if max_hours is None:
        return NO_DEADLINE
    if not max_hours > 0:
        raise JobError(f"max_hours must be above 0, got {max_hours:g}")
    began = time.monotonic()
    return Deadline(began + 3600 * max_hours, began)
