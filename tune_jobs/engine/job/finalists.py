"""The number of trials that are retrained to choose the winner."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tune_jobs.engine.errors import JobError, check_whole_number
from tune_jobs.engine.space.configs import Config

# The finals of a large search, and the fewest finalists and scores of a small one; a finalist is
# never out with fewer scores.
MOST_FINALISTS, MOST_SCORES = 5, 8
FEWEST_FINALISTS, FEWEST_SCORES = 2, 4


@dataclass(frozen=True)
class FinalsSize:
    """The number of finalists, and of fresh scores that the choice of each rests on, at least."""

    count: int
    scores: int


@dataclass(frozen=True)
class Finalists:
    """The best trials of a search are trained again to the full budget, to choose the winner.

    Attributes:
        count: how many; None for a number that follows the size of the search.
        scores: how many fresh scores of each the choice rests on, at least; as many again are
            made of the winner and the runner-up for the intervals. None as for ``count``.
        level: of the confidence intervals.
        ensemble: whether the finalists that are not out are exported together too.
        incumbent: a config in use: it is an additional finalist, never out, and wins unless the
            best of the others is clearly better.
        least_gain: by how much that one has to be better, in units of the metric.

    Raises:
        JobError: for a number that is too small or too large.
    """

    count: int | None = None
    scores: int | None = None
    level: float = 0.95
    ensemble: bool = False
    incumbent: Config | None = None
    least_gain: float = 0.0

    def __post_init__(self) -> None:
        if self.count is not None:
            check_whole_number("Finalists: count", self.count, 1)
        if self.scores is not None:
            check_whole_number("Finalists: scores", self.scores, 2, most=1000)
        if not 0.5 <= self.level < 1:
            raise JobError(
                f"Finalists: level is {self.level!r}, but must be at least 0.5 and below 1"
            )
        if not 0 <= self.least_gain < math.inf:
            raise JobError(f"Finalists: least_gain is {self.least_gain!r}, but must be >= 0")

    def size(self, trials: int) -> FinalsSize:
        """Return the size of the finals after a search with a number of trials.

        Finalists are a quarter of the trials, scores a third: 8 trials are followed by at most 16
        fits, and 24 or more by at most 56.
        """
        count = min(max(trials // 4, FEWEST_FINALISTS), MOST_FINALISTS)
        scores = min(max(trials // 3, FEWEST_SCORES), MOST_SCORES)
        return FinalsSize(
            count if self.count is None else self.count,
            scores if self.scores is None else self.scores,
        )
