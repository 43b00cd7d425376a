"""What searchers learn that know one number per config."""

from typing import Any

import pytest
from ray import tune
from ray.tune.search import Searcher

from tune_jobs.engine import HyperOptTPE
from tune_jobs.engine.goal import Goal
from tune_jobs.engine.search.observations import Observation
from tune_jobs.engine.search.ray_searcher import FlatSpaceAdapter
from tune_jobs.engine.search.scores import Scores

SPACE = {"x": tune.uniform(0, 1)}


def ended(*values: float) -> Observation:
    curve = tuple(enumerate(values, 1))
    return Observation({"x": values[-1]}, curve, "ended")


def test_trials_that_ran_to_the_end_have_their_best_values() -> None:
    scores = Scores(Goal("loss"))

    assert scores.add("1", ended(0.5, 0.3, 0.4)) == 0.3
    assert scores.add("2", ended(0.9, 0.8, 0.7)) == 0.7
    assert not scores.is_mixed


def test_a_stopped_trial_has_the_value_of_its_place() -> None:
    scores = Scores(Goal("loss"))
    scores.add("long", ended(0.6, 0.2, 0.1))

    assert scores.add("stopped", ended(0.9)) == 0.9
    assert scores.add("promising", ended(0.5)) == 0.1  # ahead of the long one in its rung
    assert scores.is_mixed
    assert scores.all() == {"promising": 0.1, "long": 0.5, "stopped": 0.9}


def test_values_that_are_maximised_come_back_as_values() -> None:
    scores = Scores(Goal("accuracy", "max"))
    scores.add("long", ended(0.6, 0.8, 0.9))

    assert scores.add("stopped", ended(0.5)) == 0.5


def test_a_failed_config_is_as_bad_as_the_worst_and_a_lost_one_is_nothing() -> None:
    scores = Scores(Goal("loss"))
    scores.add("1", ended(0.5))
    scores.add("2", ended(0.7))

    assert scores.add("failed", Observation({"x": 0.1}, (), "failed")) == 0.7
    assert scores.add("lost", Observation({"x": 0.1}, (), "withdrawn")) is None
    assert set(scores.all()) == {"1", "2"}


class Heard(Searcher):
    """One of Ray's searchers, which notes what it is given."""

    def __init__(self) -> None:
        super().__init__(metric="loss", mode="min")
        self.said: list[tuple[Any, ...]] = []

    def set_search_properties(self, metric, mode, config, **spec) -> bool:
        return True

    def suggest(self, trial_id: str) -> dict:
        return {"x": 0.5}

    def on_trial_result(self, trial_id: str, result: dict) -> None:
        self.said.append((trial_id, result["training_iteration"], result["loss"]))

    def on_trial_complete(self, trial_id: str, result=None, error=False) -> None:
        self.said.append((trial_id, "error" if error else result["loss"]))

    def add_evaluated_point(self, parameters: dict, value: float, **_: Any) -> None:
        self.said.append((parameters["x"], value))


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def adapter(heard) -> FlatSpaceAdapter:
    adapter = FlatSpaceAdapter(heard)
    assert adapter.set_search_properties("loss", "min", SPACE)
    return adapter


def test_a_searcher_of_rays_gets_a_stopped_trial_by_its_place(adapter, heard) -> None:
    for key, values in (("1", [0.6, 0.2, 0.1]), ("2", [0.5])):
        config = adapter.suggest(key)
        for epoch in range(1, len(values) + 1):
            curve = tuple(enumerate(values[:epoch], 1))
            adapter.learn(key, Observation(config, curve))
        adapter.learn(key, ended(*values))

    assert heard.said == [
        *(("1", 1, 0.6), ("1", 2, 0.2), ("1", 3, 0.1), ("1", 0.1)),
        *(("2", 1, 0.5), ("2", 0.1)),
    ]


def test_a_searcher_of_rays_gets_results_of_others_and_lost_trials(adapter, heard) -> None:
    adapter.learn("result 0", ended(0.4))
    config = adapter.suggest("1")
    adapter.learn("1", Observation(config, (), "withdrawn"))
    adapter.learn("result 1", Observation({"x": 0.9}, (), "failed"))

    assert heard.said == [(0.4, 0.4), ("1", "error"), (0.9, 0.4)]


def test_hyperopt_learns_again_what_a_new_trial_changes() -> None:
    searcher = HyperOptTPE()(0)
    searcher.set_search_properties("loss", "min", SPACE)
    searcher.learn("long", ended(0.6, 0.2, 0.1))
    searcher.learn("promising", ended(0.5))

    losses = [trial["result"]["loss"] for trial in searcher._trials.trials]
    assert losses == [0.5, 0.1]
