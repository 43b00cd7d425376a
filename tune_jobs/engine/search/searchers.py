"""Recipes that build a searcher for each run: a searcher serves one experiment.

What a searcher suggests follows from its seed, from how often it was asked (``asked``) and from the
results that it received: so a search continues from its history as if it had never stopped.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ray.tune.search import Searcher
from ray.tune.search.variant_generator import generate_variants

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.goal import Goal, Mode
from tune_jobs.engine.seeds import derive
from tune_jobs.engine.space.configs import Config, children
from tune_jobs.engine.space.domains import Choice, Grid, Range, Space, distinct, domain_of
from tune_jobs.engine.space.encoding import (
    Dimension,
    decode,
    dimensions,
    encode,
    flat_domains,
    read_suggestion,
)
from tune_jobs.engine.space.ray_domains import make_flat


@dataclass(frozen=True)
class RandomSearch:
    """Independent draws from the space; with ``as_grid``, the points of the grid in order."""

    def __call__(self, seed: int) -> Searcher:
        """Build a searcher, which Tune then gives the space."""
        return RandomDraws(seed)


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
            raise JobError(f"TPE: gamma is {self.gamma}, but must be between 0 and 1")

    def __call__(self, seed: int) -> Searcher:
        """Build a searcher, which Tune then gives the space."""
        return ParzenEstimator(self, seed)


class SpaceSearcher(Searcher):  # type: ignore[misc]  # Ray calls it
    """A searcher for any space: conditional, with repeated layers, with ``near_one``.

    Attributes:
        asked: how many suggestions it has made.
    """

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
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

    def _prepare(self) -> None:
        """Prepare what needs the space."""

    def check_learns(self) -> None:
        """Refuse a searcher that takes results of its own suggestions only.

        Raises:
            JobError: naming it.
        """

    def save(self, checkpoint_path: str) -> None:
        """Write nothing: a search continues from its history."""
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        """Refuse: a search continues from its history."""
        raise JobError(
            f"{checkpoint_path} is empty; continue the search with tune-jobs run --resume"
        )


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
        drawn: Config = next(generate_variants(space, random_state=random))[1]
        return drawn

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Learn nothing."""

    def add_evaluated_point(self, *_: Any, **__: Any) -> None:
        """Learn nothing."""

    def _place_in_grid(self, index: int) -> Space:
        sizes = [len(grid.values) for grid in _grids(self._space)]
        point = map(int, np.unravel_index(index % math.prod(sizes), tuple(sizes)))
        filled: Space = _fill_grids(self._space, point)
        return filled


class ParzenEstimator(SpaceSearcher):
    """HyperOpt's TPE on the flat form of a space."""

    def __init__(self, recipe: TPE, seed: int) -> None:
        super().__init__()
        self._recipe, self._seed = recipe, seed
        self._running: dict[str, dict[str, Any]] = {}
        self._count = 0

    def _prepare(self) -> None:
        from hyperopt import Trials
        from hyperopt.base import Domain as Objective

        space = _hyperopt_space(dimensions(self._space), {})
        self._domain = Objective(lambda _: 0.0, space)
        self._trials = Trials()

    def suggest(self, trial_id: str) -> Config:
        """Return the config in which HyperOpt expects the largest improvement."""
        from hyperopt import tpe

        seed = derive(self._seed, f"suggestion {self.asked}")
        self.asked += 1
        (drawn,) = tpe.suggest(
            [self._count],
            self._domain,
            self._trials,
            seed,
            n_startup_jobs=self._recipe.n_initial_points,
            gamma=self._recipe.gamma,
            verbose=False,
        )
        values = {label: value[0] for label, value in drawn["misc"]["vals"].items() if value}
        found = read_suggestion(self._space, values)
        self._running[trial_id] = self._insert(found.flat)
        return found.config

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Learn the score of a suggestion; forget a suggestion without a score."""
        from hyperopt import base

        trial = self._running.pop(trial_id, None)
        if trial is not None and result and not error:
            _settle(trial, self._goal.loss(result[self._goal.metric]))
        elif trial is not None:
            trial["state"] = base.JOB_STATE_ERROR

    def add_evaluated_point(self, parameters: Config, value: float, *_: Any, **__: Any) -> None:
        """Learn the score of a config that was not suggested here."""
        _settle(self._insert(encode(self._space, parameters)), self._goal.loss(value))

    def _insert(self, flat: Mapping[str, float]) -> dict[str, Any]:
        """Insert the flat form of a config."""
        number = self._count
        here = {label: label in flat for label in self._domain.params}
        misc = {
            "tid": number,
            "cmd": self._domain.cmd,
            "workdir": self._domain.workdir,
            "idxs": {label: [number] if active else [] for label, active in here.items()},
            "vals": {label: [flat[label]] if active else [] for label, active in here.items()},
        }
        made = self._trials.new_trial_docs([number], [None], [self._domain.new_result()], [misc])
        self._trials.insert_trial_docs(made)
        self._trials.refresh()
        self._count += 1
        inserted: dict[str, Any] = self._trials.trials[-1]
        return inserted


class FlatSpaceAdapter(SpaceSearcher):
    """Adapts one of Ray's searchers, which sees all hyperparameters side by side.

    Only the active ones reach the config.
    """

    def __init__(self, searcher: Searcher) -> None:
        super().__init__()
        self._searcher = searcher

    def _prepare(self) -> None:
        self._domains = flat_domains(dimensions(self._space))
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
        return decode(self._space, suggested)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Pass an intermediate result on."""
        self._searcher.on_trial_result(trial_id, result)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Pass a final result on."""
        self._searcher.on_trial_complete(trial_id, result, error)

    def add_evaluated_point(self, parameters: Config, value: float, *_: Any, **__: Any) -> None:
        """Pass on the score of a config that was not suggested here."""
        inactive = {label: _any_value(domain) for label, domain in self._domains.items()}
        self._searcher.add_evaluated_point(inactive | encode(self._space, parameters), value)

    def check_learns(self) -> None:
        """Refuse a searcher that takes results of its own suggestions only."""
        if type(self._searcher).add_evaluated_point is Searcher.add_evaluated_point:
            name = type(self._searcher).__name__
            raise JobError(
                f"{name} cannot learn from earlier trials (it has no add_evaluated_point), so its "
                "search cannot be continued or start from points or results; use TPE(), "
                "RandomSearch() or OptunaSearch"
            )


def _any_value(domain: Range | Choice) -> Any:
    return domain.options[0] if isinstance(domain, Choice) else domain.lower


def _settle(trial: dict[str, Any], loss: float) -> None:
    from hyperopt import base

    trial["state"] = base.JOB_STATE_DONE
    trial["result"] = {"loss": float(loss), "status": "ok"}


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


def _hyperopt_space(found: dict[str, Dimension], nodes: dict[str, Any]) -> dict[str, Any]:
    """Build HyperOpt's conditional space; a label that branches share becomes one shared node."""
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


def _hyperopt_leaf(hp: Any, label: str, simple: Range | Choice) -> Any:
    if isinstance(simple, Choice):
        return hp.choice(label, simple.options)
    if simple.spacing == "log":
        return hp.loguniform(label, np.log(simple.lower), np.log(simple.upper))
    return hp.uniform(label, simple.lower, simple.upper)
