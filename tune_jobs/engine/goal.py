"""The goal of a search: a metric, and whether small or large values of it are good."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Mode = Literal["min", "max"]


@dataclass(frozen=True)
class Goal:
    """A metric to be minimised or maximised.

    Attributes:
        metric: the name under which trials report it.
        mode: ``min`` or ``max``.
    """

    metric: str
    mode: Mode = "min"

    @property
    def minimises(self) -> bool:
        """True if small values are good."""
        return self.mode == "min"

    @property
    def sign(self) -> int:
        """1 if the metric is minimised, -1 if it is maximised: sign * value is a loss."""
        return 1 if self.minimises else -1

    def better(self, value: float, other: float) -> bool:
        """Return whether a value is better than another; NaN never is."""
        return value < other if self.minimises else value > other

    def best(self, values: Iterable[float]) -> float:
        """Return the best of some values, all of them finite."""
        return min(values) if self.minimises else max(values)

    def loss(self, value: float) -> float:
        """Return a value as a loss, the smaller the better: a key to sort by."""
        return self.sign * value
