"""How a run ended, and the exit code that says so."""

from __future__ import annotations

from typing import Literal

Outcome = Literal[
    "complete",
    "unexpected error",
    "configuration error",
    "some trials failed",
    "nothing usable",
    "budget used",
    "interrupted",
]

EXIT_CODES: dict[Outcome, int] = {
    "complete": 0,
    "unexpected error": 1,
    "configuration error": 2,
    "some trials failed": 3,
    "nothing usable": 4,
    "budget used": 6,
    "interrupted": 7,
}


def outcome_of(states: dict[str, int], usable: int, reached: str | None) -> Outcome:
    """The outcome that follows from the trials: how many ended how, and how many have a score."""
    if reached == "interrupted":
        return "interrupted"
    if reached == "budget used":
        return "budget used"
    if not usable:
        return "nothing usable"
    return "some trials failed" if states.get("failed") else "complete"
