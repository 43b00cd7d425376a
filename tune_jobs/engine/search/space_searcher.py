"""Searchers as the source of trials sees them, whatever the space and whoever wrote them.

What a searcher suggests follows from its seed, from how often it was asked (``asked``) and from
what it has learned: so a search continues from its history as if it had never stopped.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ray.tune.search import Searcher
from ray.tune.search.variant_generator import generate_variants

from tune_jobs.engine.errors import JobError, reason_of
from tune_jobs.engine.goal import Goal, Mode
from tune_jobs.engine.search.observations import Observation
from tune_jobs.engine.seeds import derive
from tune_jobs.engine.space.configs import Config, children
from tune_jobs.engine.space.domains import Grid, Space, distinct, domain_of
from tune_jobs.engine.space.grid import count_points, point_at
from tune_jobs.engine.space.membership import identity


class SpaceSearcher(Searcher):  # type: ignore[misc]  # Ray calls it
    """A searcher for any space: conditional, with repeated layers, with ``near_one``.

    Attributes:
        asked: how many suggestions it has made.
        max_epochs: the ceiling of a trial's epochs.
        allow_repeats: whether a config may be suggested again.
        chosen_by: what chose the last suggestion: ``random``, ``tpe``, ``gp`` ...
    """

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.max_epochs = 1
        self.allow_repeats = False
        self.chosen_by = "random"
        self._space: Space = {}

    def set_search_properties(
        self, metric: str | None, mode: Mode | None, config: Space, **_: Any
    ) -> bool:
        """Learn metric, mode and space, once."""
        if self._space or metric is None or mode is None:
            return False
        self._goal, self._space = Goal(metric, mode), config
        self._prepare()
        return True

    def learn(self, key: str, observation: Observation) -> None:
        """Learn what is known by now of a config: of a suggestion by its key, or of any other."""

    def check_learns(self) -> None:
        """Refuse a searcher that takes results of its own suggestions only.

        Raises:
            JobError: naming it.
        """

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Do nothing: ``learn`` says the same."""

    def save(self, checkpoint_path: str) -> None:
        """Write nothing: a search continues from its history."""
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        """Refuse: a search continues from its history."""
        raise JobError(
            f"{checkpoint_path} is empty; continue the search with tune-jobs run --resume"
        )

    def _prepare(self) -> None:
        """Prepare what needs the space."""


class RandomDraws(SpaceSearcher):
    """Draws each config with its own seed, which makes the n-th independent of earlier ones.

    In a space with ``grid_search``, the n-th config has the n-th point of the grid.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._seed = seed

    def suggest(self, trial_id: str) -> Config:  # noqa: ARG002
        """Return the next draw."""
        random = np.random.RandomState(derive(self._seed, f"draw {self.asked}"))
        space = distinct(self._place_in_grid(self.asked))
        self.asked += 1
        try:
            drawn: Config = next(generate_variants(space, random_state=random))[1]
        except ValueError as error:  # from the user's own function
            cause = error.__cause__ or error.__context__ or error
            reason = f"{type(cause).__name__}: {reason_of(cause)}"
            raise JobError(f"a config cannot be drawn from the space: {reason}") from error
        return drawn

    def _place_in_grid(self, index: int) -> Space:
        sizes = [len(grid.values) for grid in _grids(self._space)]
        point = map(int, np.unravel_index(index % math.prod(sizes), tuple(sizes)))
        filled: Space = _fill_grids(self._space, point)
        return filled


class OrderedPoints(SpaceSearcher):
    """Suggests the points of a finite space in their order, and then no more.

    Points that are known already are left out, so a search whose space was edited tries the others.
    """

    def suggest(self, trial_id: str) -> Config | str:  # noqa: ARG002
        """Return the next point that is not known."""
        self.chosen_by = "grid"
        while self._place < self._size:
            point: Config = point_at(self._space, self._place)
            self._place += 1
            if identity(point) not in self._known:
                self.asked += 1
                return point
        return str(Searcher.FINISHED)

    def learn(self, key: str, observation: Observation) -> None:  # noqa: ARG002
        """Note a config that is known."""
        self._known.add(identity(observation.config))

    def _prepare(self) -> None:
        self._size, self._place = count_points(self._space), 0
        self._known: set[str] = set()


def _grids(part: object) -> Iterator[Grid]:
    if isinstance(grid := domain_of(part), Grid):
        yield grid
        return
    for _, child in children(part):
        yield from _grids(child)


def _fill_grids(part: object, point: Iterator[int]) -> Any:
    if isinstance(grid := domain_of(part), Grid):
        return grid.values[next(point)]
    if not any(True for _ in _grids(part)):
        return part
    filled = {name: _fill_grids(child, point) for name, child in children(part)}
    return filled if isinstance(part, dict) else list(filled.values())
