"""The knowledge that a model of the space learns from: rows, curves of losses, and their states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.goal import Goal
from tune_jobs.engine.search.observations import Curve, Observation, comparable_losses, losses
from tune_jobs.engine.space.coordinates import Coordinates, Rows, identities
from tune_jobs.engine.space.domains import Space
from tune_jobs.engine.space.embedding import Embedding
from tune_jobs.engine.space.grid import count_points, iterate

# A finite space with no more configs is looked at as a whole.
MOST_POINTS = 2000

# Losses beyond this are pulled in, so that their squares are numbers.
LARGEST = 1e100


@dataclass(frozen=True)
class KnownRow:
    """Everything known of one config, as a row.

    Attributes:
        row: its coordinates.
        curve: (epoch, best loss so far), rising epochs; empty before the first.
        state: ``running``, ``ended`` or ``failed``.
    """

    row: Rows
    curve: Curve
    state: str

    @property
    def is_scored(self) -> bool:
        """True if it has a loss; it may be running."""
        return bool(self.curve) and self.state != "failed"


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
    """Everything known when a model chooses.

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
        return [each for each in self.known if each.is_scored]

    @cached_property
    def rows(self) -> Rows:
        """The rows of ``scored``."""
        return self.stack(self.scored)

    @cached_property
    def embedding(self) -> Embedding:
        """What places rows as points whose distances say how alike configs are."""
        return Embedding(self.coordinates)

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


class Memory:
    """Learns observations of a space's configs.

    Args:
        space: that models can learn.
        goal: makes losses of values.

    Raises:
        JobError: for a space that no model can learn.
    """

    def __init__(self, space: Space, goal: Goal) -> None:
        self._coordinates, self._goal = Coordinates(space), goal
        self._points = _list_points(self._coordinates, space)
        self._known: dict[str, KnownRow] = {}

    def learn(self, key: str, observation: Observation) -> None:
        """Remember what is known of a config by now, in place of what was known before."""
        if observation.state == "withdrawn":
            self._known.pop(key, None)
            return
        before = self._known.get(key)
        row = before.row if before else self._coordinates.row_of(observation.config)
        curve = losses(observation.curve, self._goal)
        curve = [(epoch, min(max(loss, -LARGEST), LARGEST)) for epoch, loss in curve]
        self._known[key] = KnownRow(row, curve, observation.state)

    def knowledge(self, max_epochs: int, *, allow_repeats: bool = False) -> Knowledge:
        """Return all that was learned."""
        known = list(self._known.values())
        return Knowledge(self._coordinates, known, max_epochs, self._points, allow_repeats)


def _list_points(coordinates: Coordinates, space: Space) -> Rows | None:
    try:
        if count_points(space) > MOST_POINTS:
            return None
    except JobError:  # a continuous hyperparameter
        return None
    return np.array([coordinates.row_of(config) for config in iterate(space)])
