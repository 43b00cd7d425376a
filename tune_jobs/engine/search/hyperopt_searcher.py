"""HyperOpt's TPE, for any space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tune_jobs.engine.search.observations import Observation
from tune_jobs.engine.search.scores import Scores
from tune_jobs.engine.search.space_searcher import SpaceSearcher
from tune_jobs.engine.seeds import derive
from tune_jobs.engine.space.configs import Config
from tune_jobs.engine.space.domains import Choice, Range
from tune_jobs.engine.space.encoding import Dimension, dimensions, encode, read_suggestion


class HyperOptSearcher(SpaceSearcher):
    """HyperOpt's TPE on the flat form of a space."""

    def __init__(self, seed: int, *, n_initial_points: int, gamma: float) -> None:
        super().__init__()
        self._seed, self._n_initial_points, self._gamma = seed, n_initial_points, gamma
        self._inserted: dict[str, dict[str, Any]] = {}
        self._count = 0

    def _prepare(self) -> None:
        from hyperopt import Trials
        from hyperopt.base import Domain as Objective

        space = _hyperopt_space(dimensions(self._space), {})
        self._domain = Objective(lambda _: 0.0, space)
        self._trials = Trials()
        self._scores = Scores(self._goal)

    def suggest(self, trial_id: str) -> Config:
        """Return the config in which HyperOpt expects the largest improvement."""
        from hyperopt import tpe

        seed = derive(self._seed, f"suggestion {self.asked}")
        self.asked += 1
        is_early = len(self._trials.trials) < self._n_initial_points
        self.chosen_by = "random" if is_early else "hyperopt"
        (drawn,) = tpe.suggest(
            [self._count],
            self._domain,
            self._trials,
            seed,
            n_startup_jobs=self._n_initial_points,
            gamma=self._gamma,
            verbose=False,
        )
        values = {label: value[0] for label, value in drawn["misc"]["vals"].items() if value}
        found = read_suggestion(self._space, values)
        self._inserted[trial_id] = self._insert(found.flat)
        return found.config

    def learn(self, key: str, observation: Observation) -> None:
        """Learn the score of a config that has ended, and anew those of all others."""
        from hyperopt import base

        if observation.state == "running":
            return
        if key not in self._inserted:
            self._inserted[key] = self._insert(encode(self._space, observation.config))
        score = self._scores.add(key, observation)
        if score is None:
            self._inserted[key]["state"] = base.JOB_STATE_ERROR
            return
        _settle(self._inserted[key], self._goal.loss(score))
        if self._scores.is_mixed:
            for other, loss in self._scores.all().items():
                _settle(self._inserted[other], loss)

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


def _settle(trial: dict[str, Any], loss: float) -> None:
    from hyperopt import base

    trial["state"] = base.JOB_STATE_DONE
    trial["result"] = {"loss": float(loss), "status": "ok"}


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
