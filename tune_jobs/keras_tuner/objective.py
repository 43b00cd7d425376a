"""The objective of a search: a metric, and whether small or large values of it are good."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.goal import Goal, mode_of

# What a number is called that HyperModel.fit or run_trial returns.
DEFAULT = "default_objective"


@dataclass(frozen=True)
class Objective:
    """A metric and its direction, ``"min"`` or ``"max"``.

    Raises:
        JobError: if the direction is neither, or the name is no text.
    """

    name: str
    direction: Any

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise JobError(f"the objective is {self.name!r}, but must be the name of a metric")
        if self.direction not in ("min", "max"):
            raise JobError(
                f"the objective {self.name!r} has direction {self.direction!r}, but it must be "
                "'min' or 'max'"
            )

    @property
    def goal(self) -> Goal:
        """The same for the engine."""
        return Goal(self.name, self.direction)

    @property
    def is_default(self) -> bool:
        """True if the program names no metric, and returns a number to minimise."""
        return self.name == DEFAULT


def make_objective(given: object) -> Objective:
    """Return the objective that a program gives by name, as an object, or not at all.

    Raises:
        JobError: if it is something else, or its direction is not known.
    """
    if given is None:
        return Objective(DEFAULT, "min")
    if isinstance(given, Objective):
        return given
    if isinstance(given, list | tuple):
        raise JobError(
            f"the objective is {given!r}, but a search has one; let HyperModel.fit return their "
            "sum as a number"
        )
    if not isinstance(given, str) or not given:
        raise JobError(f"the objective is {given!r}, but must be a name or kt.Objective")
    return Objective(given, _infer_direction(given))


def _infer_direction(name: str) -> str:
    if mode := mode_of(name):
        return mode
    raise JobError(
        f"the objective is {name!r}, whose direction is not known; give "
        f"kt.Objective({name!r}, 'min') or kt.Objective({name!r}, 'max')"
    )
