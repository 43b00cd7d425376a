"""A check, and what a list of them says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Literal

from tune_jobs.engine.errors import JobError

State = Literal["ok", "warning", "failure"]

MARKS: dict[State, str] = {"ok": "ok", "warning": "warning", "failure": "FAILURE"}
NAME_WIDTH = 11


@dataclass(frozen=True)
class Check:
    """Something looked at.

    Attributes:
        name: what it is about, in a word.
        state: a failure would stop a run; a warning may explain one that is slow.
        text: one line with what was found and, unless it is as it should be, what to do.
    """

    name: str
    state: State
    text: str


def refuse(checks: Iterable[Check]) -> list[Check]:
    """Return all checks, if none of them is a failure.

    Raises:
        JobError: with the first failure, and how many more there are.
    """
    checks = list(checks)
    failures = [check for check in checks if check.state == "failure"]
    if not failures:
        return checks
    more = f" (and {len(failures) - 1} more; see tune-jobs doctor)" if failures[1:] else ""
    raise JobError(f"{failures[0].text}{more}")


def tell(checks: Iterable[Check]) -> Iterator[str]:
    """Yield a line for each check as it comes, in three columns."""
    width = max(map(len, MARKS.values()))
    for check in checks:
        yield f"{MARKS[check.state]:{width}}  {check.name:{NAME_WIDTH}}  {check.text}"


def as_dict(checks: Iterable[Check]) -> dict[str, object]:
    """Return the checks for machines to read; ``state`` is the worst of all."""
    checks = list(checks)
    states = {check.state for check in checks}
    worst = next((state for state in reversed(MARKS) if state in states), "ok")
    return {"state": worst, "checks": [asdict(check) for check in checks]}
