"""Scores of trials for searchers that know one number per config."""

from __future__ import annotations

from tune_jobs.engine.goal import Goal
from tune_jobs.engine.search.observations import Curve, Observation, comparable_losses, losses

# The score of a config that failed before there was another one, as a loss.
NO_SCORE = 1e10


class Scores:
    """One score per ended config, comparable with those of all others so far.

    A trial that was stopped has the value of the trial whose place it has; a config that failed has
    the worst value so far.
    """

    def __init__(self, goal: Goal) -> None:
        self._goal = goal
        self._curves: dict[str, Curve] = {}
        self._ends: set[int] = set()

    def add(self, key: str, observation: Observation) -> float | None:
        """Note a config that has ended, and return its score; None if there is nothing to learn."""
        if observation.state == "failed":
            return self._goal.loss(self._worst())
        if observation.state == "withdrawn" or not observation.curve:
            return None
        curve = losses(observation.curve, self._goal)
        self._curves[key] = curve
        self._ends.add(observation.epoch)
        return self._goal.loss(self.all()[key] if self.is_mixed else curve[-1][1])

    @property
    def is_mixed(self) -> bool:
        """True if trials have ended at different epochs, so that a new one changes older scores."""
        return len(self._ends) > 1

    def all(self) -> dict[str, float]:
        """Return the losses of all configs by key, as they compare now."""
        if not self._curves:
            return {}
        found = comparable_losses(list(self._curves.values()))
        return dict(zip(self._curves, map(float, found), strict=True))

    def _worst(self) -> float:
        return max((curve[-1][1] for curve in self._curves.values()), default=NO_SCORE)
