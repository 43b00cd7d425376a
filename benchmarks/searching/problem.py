"""What a searcher is asked to solve."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Config = dict[str, Any]

# Kinds of problems whose trials have several epochs and are stopped early.
CURVES = ("curves", "lcbench")


@dataclass(frozen=True)
class Played:
    """One trial of a config.

    Attributes:
        config: the config that is trained, which in a table is the nearest to the suggested one.
        losses: what the trial reports, one per epoch.
        regrets: how far the config is from the best one after each epoch, without noise.
        fails: whether the trial fails, in the epoch after its last loss.
    """

    config: Config
    losses: Sequence[float]
    regrets: Sequence[float]
    fails: bool = False


@dataclass(frozen=True)
class Scale:
    """What the regrets of curves are measured by.

    Attributes:
        best: the regret's 0, the least loss of any epoch of many configs.
        median: the regret's 1, the median config's.
    """

    best: float
    median: float

    @classmethod
    def of(
        cls, space: dict[str, Any], curves_of: Callable[[list[Config]], NDArray[np.float64]]
    ) -> Scale:
        """Return the scale of 4,000 configs of a space, from their curves, configs x epochs."""
        from tune_jobs.engine.space.coordinates import Coordinates

        coordinates = Coordinates(space)
        rows = coordinates.draw(4000, np.random.default_rng(0))
        least = curves_of([coordinates.config_of(row) for row in rows]).min(axis=1)
        return cls(float(least.min()), float(np.median(least)))

    def regrets(self, curve: NDArray[np.float64]) -> list[float]:
        """Return the regret after each epoch of a curve, which is that of the best one so far."""
        found = (np.minimum.accumulate(curve) - self.best) / (self.median - self.best)
        return [float(each) for each in found]


class Task(Protocol):
    """A space with a loss.

    Attributes:
        space: of Ray.
        max_epochs: the epochs of a trial that is not stopped.
    """

    space: dict[str, Any]
    max_epochs: int

    def play(self, config: Config, random: np.random.Generator, used: set[int]) -> Played | None:
        """Train a config; None if a table has no more. ``used`` is the table's rows of this run."""


@dataclass(frozen=True)
class Problem:
    """A task by name.

    Attributes:
        name: in tables.
        kind: of problems that are averaged together.
        held_back: whether no searcher of this project was tuned on it.
        make: builds the task, which may read a table.
    """

    name: str
    kind: str
    held_back: bool
    make: Callable[[], Task]

    @property
    def has_curves(self) -> bool:
        """True if trials have several epochs and are stopped early."""
        return self.kind in CURVES
