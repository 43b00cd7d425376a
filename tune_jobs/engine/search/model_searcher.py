"""A searcher that asks a model of the space where to look next."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from ray.tune.search import Searcher

from tune_jobs.engine.search.knowledge import Knowledge, Memory, Proposal
from tune_jobs.engine.search.observations import Observation
from tune_jobs.engine.search.space_searcher import SpaceSearcher
from tune_jobs.engine.seeds import derive
from tune_jobs.engine.space.configs import Config

# Draws in a row that are known, after which a space counts as exhausted.
MOST_DRAWS = 1000


class Model(Protocol):
    """Chooses the next row."""

    def choose(self, knowledge: Knowledge, random: np.random.Generator) -> Proposal | None:
        """Return the row to try next; None to draw one at random."""


class ModelSearcher(SpaceSearcher):
    """Draws the first configs at random, and asks a model for all others.

    Args:
        model: chooses a row from what is known.
        seed: of all draws.
        n_initial_points: how many configs have a loss or failed before the model is asked.
    """

    def __init__(self, model: Model, seed: int, n_initial_points: int) -> None:
        super().__init__()
        self._model, self._seed, self._n_initial_points = model, seed, n_initial_points

    def _prepare(self) -> None:
        self._memory = Memory(self._space, self._goal)

    def suggest(self, trial_id: str) -> Config | str:  # noqa: ARG002
        """Return the config of the row that the model chooses."""
        random = np.random.default_rng(derive(self._seed, f"suggestion {self.asked}"))
        self.asked += 1
        knowledge = self.knowledge
        found = self._model.choose(knowledge, random) if self._is_ready(knowledge) else None
        found = found or _draw(knowledge, random)
        if found is None:
            finished: str = Searcher.FINISHED
            return finished
        self.chosen_by = found.by
        return knowledge.coordinates.config_of(found.row)

    def learn(self, key: str, observation: Observation) -> None:
        """Remember what is known of a config by now, in place of what was known before."""
        self._memory.learn(key, observation)

    @property
    def knowledge(self) -> Knowledge:
        """All that it has learned."""
        return self._memory.knowledge(self.max_epochs, allow_repeats=self.allow_repeats)

    def _is_ready(self, knowledge: Knowledge) -> bool:
        """Return whether enough configs have a loss or failed, and two a loss.

        Where many trials start at once, what a model chose after the first few losses would be at
        the corners of the space, where it is least certain; random draws teach it more.
        """
        count, enough = self._n_initial_points, min(2, self._n_initial_points)
        known = len(knowledge.scored) + len(knowledge.failed)
        return known >= count and len(knowledge.scored) >= enough


def _draw(knowledge: Knowledge, random: np.random.Generator) -> Proposal | None:
    """Draw a row that is not known; None if no more is found."""
    if knowledge.points is not None:
        left = knowledge.untried(knowledge.points)
        return Proposal(left[random.integers(len(left))], "random") if len(left) else None
    for _ in range(MOST_DRAWS):
        found = knowledge.untried(knowledge.coordinates.draw(1, random))
        if len(found):
            return Proposal(found[0], "random")
    return None
