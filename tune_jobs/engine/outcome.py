"""The outcomes of a run, and their exit codes."""

from __future__ import annotations

from typing import Literal

Reason = Literal["same error", "budget used", "interrupted", "storage failed", "lease held"]

Outcome = Literal[
    "complete",
    "unexpected error",
    "configuration error",
    "some trials failed",
    "nothing usable",
    "same error",
    "budget used",
    "interrupted",
    "storage failed",
    "cluster unreachable",
    "lease held",
]

# Whether to keep an incumbent or to replace it by its challenger.
Judgement = Literal["keep", "replace", "inconclusive"]

# What a retest answers, and the exit codes of that; OVERDUE is that of a run that did not come.
RetestAnswer = Literal["keep", "replace", "inconclusive", "alarm"]
VERDICT_CODES: dict[RetestAnswer, int] = {"keep": 0, "replace": 11, "inconclusive": 12, "alarm": 13}
OVERDUE = 14

# That of `run --require-better-than-baseline` if the model is not better than simple ones.
NOT_BETTER = 15

EXIT_CODES: dict[Outcome, int] = {
    "complete": 0,
    "unexpected error": 1,
    "configuration error": 2,
    "some trials failed": 3,
    "nothing usable": 4,
    "same error": 5,
    "budget used": 6,
    "interrupted": 7,
    "storage failed": 8,
    "cluster unreachable": 9,
    "lease held": 10,
}

# Those of a run that did all that was to be done.
FINAL: tuple[Outcome, ...] = ("complete", "some trials failed", "nothing usable")

# What each exit code of a run says.
CODES_OF_RUNS: dict[int, str] = {
    **{code: outcome for outcome, code in EXIT_CODES.items()},
    NOT_BETTER: "not better than the baseline",
}


def outcome_of_code(code: int) -> Outcome:
    """Return the outcome that an exit code stands for."""
    return next(outcome for outcome, number in EXIT_CODES.items() if number == code)
