"""Any of Ray's searchers, for any space."""

from __future__ import annotations

from typing import Any

from ray.tune.search import Searcher

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.search.observations import Observation
from tune_jobs.engine.search.scores import Scores
from tune_jobs.engine.search.space_searcher import SpaceSearcher
from tune_jobs.engine.space.configs import Config
from tune_jobs.engine.space.domains import Choice, Range
from tune_jobs.engine.space.encoding import decode, dimensions, encode, flat_domains
from tune_jobs.engine.space.ray_domains import make_flat


class FlatSpaceAdapter(SpaceSearcher):
    """Adapts one of Ray's searchers, which sees all hyperparameters side by side.

    Only the active ones reach the config.
    """

    def __init__(self, searcher: Searcher) -> None:
        super().__init__()
        self.chosen_by = type(searcher).__name__
        self._searcher = searcher
        self._pending: set[str] = set()

    def _prepare(self) -> None:
        self._domains = flat_domains(dimensions(self._space))
        self._scores = Scores(self._goal)
        goal = self._goal
        made = {label: make_flat(domain) for label, domain in self._domains.items()}
        if not self._searcher.set_search_properties(goal.metric, goal.mode, made):
            raise JobError(
                f"{type(self._searcher).__name__} must not be given a space: the job's space is "
                "passed to it"
            )

    def suggest(self, trial_id: str) -> Config | str | None:
        """Return the next config, or what the inner searcher says instead (finished, not yet)."""
        self.asked += 1
        suggested: Config | str | None = self._searcher.suggest(trial_id)
        if not isinstance(suggested, dict):
            return suggested
        self._pending.add(trial_id)
        return decode(self._space, suggested)

    def learn(self, key: str, observation: Observation) -> None:
        """Pass on an intermediate value, or the score of a trial that has ended.

        If a trial ends again after a promotion, a searcher that can takes it as one more result.
        """
        metric = self._goal.metric
        if observation.state == "running":
            if observation.curve and key in self._pending:
                epoch, value = observation.curve[-1]
                self._searcher.on_trial_result(key, {metric: value, "training_iteration": epoch})
            return
        score = self._scores.add(key, observation)
        if key in self._pending:
            self._pending.discard(key)
            result = None if score is None else {metric: score}
            self._searcher.on_trial_complete(key, result, error=score is None)
        elif score is not None and self._takes_results:
            inactive = {label: _any_value(domain) for label, domain in self._domains.items()}
            flat = inactive | encode(self._space, observation.config)
            self._searcher.add_evaluated_point(flat, score)

    @property
    def _takes_results(self) -> bool:
        inherited = Searcher.add_evaluated_point
        return type(self._searcher).add_evaluated_point is not inherited

    def check_learns(self) -> None:
        """Refuse a searcher that takes results of its own suggestions only."""
        if not self._takes_results:
            name = type(self._searcher).__name__
            raise JobError(
                f"{name} cannot learn from earlier trials (it has no add_evaluated_point), so its "
                "search cannot be continued or start from points or results; use TPE(), "
                "RandomSearch() or OptunaSearch"
            )


def _any_value(domain: Range | Choice) -> Any:
    return domain.options[0] if isinstance(domain, Choice) else domain.lower
