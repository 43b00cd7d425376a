"""What a model of the search space learns from: rows, curves of losses, and their states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tune_jobs.engine.search.observations import Curve, comparable_losses
from tune_jobs.engine.space.coordinates import Coordinates, Rows, identities


@dataclass(frozen=True)
class KnownRow:
    """What is known of one config.

    Attributes:
        row: its coordinates.
        curve: (epoch, best loss so far), rising epochs; empty before the first.
        state: ``running``, ``ended`` or ``failed``.
    """

    row: Rows
    curve: Curve
    state: str


@dataclass(frozen=True)
class Proposal:
    """A row to try next.

    Attributes:
        row: its coordinates.
        by: the model that chose it.
    """

    row: Rows
    by: str


@dataclass(frozen=True)
class Knowledge:
    """What is known when a model chooses.

    Attributes:
        coordinates: of the space.
        known: configs in the order in which they were suggested.
        max_epochs: the ceiling of a trial's epochs.
        points: all rows of a small finite space, else None.
        allow_repeats: whether a known config may be chosen.
    """

    coordinates: Coordinates
    known: Sequence[KnownRow]
    max_epochs: int
    points: Rows | None = None
    allow_repeats: bool = False

    @cached_property
    def scored(self) -> list[KnownRow]:
        """The configs that have a loss, those that are running included."""
        return [each for each in self.known if each.curve and each.state != "failed"]

    @cached_property
    def rows(self) -> Rows:
        """The rows of ``scored``."""
        return self.stack(self.scored)

    @cached_property
    def losses(self) -> NDArray[np.float64]:
        """A loss for each of ``scored``, comparable whatever epochs they have reached."""
        return comparable_losses([each.curve for each in self.scored])

    @cached_property
    def pending(self) -> Rows:
        """The rows that are running and have no loss yet."""
        return self.stack([e for e in self.known if e.state == "running" and not e.curve])

    @cached_property
    def failed(self) -> Rows:
        """The rows that failed by their own fault."""
        return self.stack([each for each in self.known if each.state == "failed"])

    def stack(self, known: Sequence[KnownRow]) -> Rows:
        """Return the rows of some configs as one array."""
        width = len(self.coordinates.columns)
        return np.array([each.row for each in known]).reshape(len(known), width)

    def untried(self, rows: Rows) -> Rows:
        """Return the rows that may be chosen: each once, and none that is known."""
        seen = set() if self.allow_repeats else set(self._identities)
        kept = []
        for place, identity in enumerate(identities(rows)):
            if identity not in seen:
                seen.add(identity)
                kept.append(place)
        return rows[kept]

    @cached_property
    def _identities(self) -> list[bytes]:
        return identities(self.stack(self.known))
