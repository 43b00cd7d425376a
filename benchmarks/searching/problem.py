"""What a searcher is asked to solve."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

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
