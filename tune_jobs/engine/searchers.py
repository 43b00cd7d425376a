"""Recipes that build Ray's searchers afresh for each run: they serve one experiment each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from ray.tune.search import BasicVariantGenerator, Searcher
from ray.tune.search.sample import Categorical, Domain

from tune_jobs.engine.encoding import Dimension, decode, dimensions, flat_domains
from tune_jobs.engine.errors import JobError
from tune_jobs.engine.space import Config, Space, is_log

MakeSearcher = Callable[[dict[str, Dimension], str, str], Searcher]


@dataclass(frozen=True)
class RandomSearch:
    """Independent draws from the space; with ``as_grid`` the points of the grid, in order."""

    def __call__(self, seed: int) -> BasicVariantGenerator:
        """Build Ray's generator of variants."""
        return BasicVariantGenerator(random_state=seed)


@dataclass(frozen=True)
class TPE:
    """The tree-structured Parzen estimator of HyperOpt (Bergstra et al. 2011).

    ``n_initial_points`` random configurations come first; then configurations are drawn where the
    best ``gamma`` of those seen are denser than the rest. A hyperparameter learns only from trials
    in which it was active, and the n-th layer is one hyperparameter in networks of any depth.
    """

    n_initial_points: int = 10
    gamma: float = 0.25

    def __post_init__(self) -> None:
        if self.n_initial_points < 1:
            raise JobError(f"TPE: n_initial_points is {self.n_initial_points}, but must be >= 1")
        if not 0 < self.gamma < 1:
            raise JobError(f"TPE: gamma is {self.gamma}, but must lie between 0 and 1")

    def __call__(self, seed: int) -> Searcher:
        """Build a searcher that learns the space when Ray tells it."""

        def make(found: dict[str, Dimension], metric: str, mode: str) -> Searcher:
            from ray.tune.search.hyperopt import HyperOptSearch

            return HyperOptSearch(
                _hyperopt_space(found, {}),
                metric,
                mode,
                n_initial_points=self.n_initial_points,
                random_state_seed=seed,
                gamma=self.gamma,
            )

        return SpaceSearcher(make)


def translated(searcher: Searcher) -> Searcher:
    """Let any of Ray's searchers search any space, conditional ones too.

    It sees every hyperparameter side by side; only the active ones reach the config.
    """

    def make(found: dict[str, Dimension], metric: str, mode: str) -> Searcher:
        if not searcher.set_search_properties(metric, mode, flat_domains(found)):
            raise JobError(
                f"{type(searcher).__name__} was given a space of its own; "
                "leave that out, the job's `space` is passed to it"
            )
        return searcher

    return SpaceSearcher(make)


class SpaceSearcher(Searcher):  # type: ignore[misc]  # Ray calls it
    """Stands between Tune and one of Ray's searchers, translating the space and its suggestions."""

    def __init__(self, make: MakeSearcher) -> None:
        super().__init__()
        self._make = make
        self._space: Space = {}
        self._searcher: Searcher | None = None

    def set_search_properties(
        self, metric: str | None, mode: str | None, config: Space, **_: Any
    ) -> bool:
        """Build the inner searcher once metric, mode and space are known."""
        if self._searcher is not None or metric is None or mode is None:
            return False
        self._metric, self._mode, self._space = metric, mode, config
        self._searcher = self._make(dimensions(config), metric, mode)
        return True

    def suggest(self, trial_id: str) -> Config | str | None:
        """The next config, or what the inner searcher says in its place (finished, not yet)."""
        suggested: Config | str | None = self._inner.suggest(trial_id)
        if not isinstance(suggested, dict):
            return suggested
        return decode(self._space, dict(_leaves(suggested)))

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Pass an intermediate result on."""
        self._inner.on_trial_result(trial_id, result)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Pass a final result on."""
        self._inner.on_trial_complete(trial_id, result, error)

    def save(self, checkpoint_path: str) -> None:
        """Let the inner searcher save itself, as Ray's experiment state wants."""
        self._inner.save(checkpoint_path)

    def restore(self, checkpoint_path: str) -> None:
        """Let the inner searcher restore itself."""
        self._inner.restore(checkpoint_path)

    @property
    def _inner(self) -> Searcher:
        if self._searcher is None:
            raise RuntimeError("Tune has not told the space yet")
        return self._searcher


def _leaves(suggested: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for label, value in suggested.items():
        if isinstance(value, dict):
            yield from _leaves(value)
        else:
            yield label, value


def _hyperopt_space(found: dict[str, Dimension], nodes: dict[str, Any]) -> dict[str, Any]:
    """HyperOpt's own conditional space; a label that branches share becomes one shared node."""
    for label, dimension in found.items():
        if label not in nodes:
            nodes[label] = _hyperopt_node(label, dimension, nodes)
    return {label: nodes[label] for label in found}


def _hyperopt_node(label: str, dimension: Dimension, nodes: dict[str, Any]) -> Any:
    from hyperopt import hp

    if dimension.branches:
        return hp.choice(
            label,
            [
                {label: index, **_hyperopt_space(branch, nodes)}
                for index, branch in enumerate(dimension.branches)
            ],
        )
    return _hyperopt_leaf(hp, label, dimension.simple)


def _hyperopt_leaf(hp: Any, label: str, simple: Domain) -> Any:
    if isinstance(simple, Categorical):
        return hp.choice(label, simple.categories)
    if is_log(simple):
        return hp.loguniform(label, np.log(simple.lower), np.log(simple.upper))
    return hp.uniform(label, simple.lower, simple.upper)
