"""A search ends once more trials are not worth it, and not before."""

import numpy as np
from ray import tune

from tune_jobs.engine.goal import Goal
from tune_jobs.engine.search.observations import Observation
from tune_jobs.engine.trials.done_rule import EVERY, FIRST, IN_A_ROW, DoneRule

SPACE = {"x": tune.uniform(0, 1), "y": tune.uniform(0, 1)}
EARLIEST = FIRST + (IN_A_ROW - 1) * EVERY


def trials_of(loss, count: int) -> list[Observation]:
    """Random configs, each with its curve of losses."""
    random = np.random.default_rng(0)
    found = []
    for _ in range(count):
        config = {"x": float(random.random()), "y": float(random.random())}
        value = loss(config, random)
        found.append(Observation(config, ((1, value + 1), (3, value)), "ended"))
    return found


def ends_after(observations: list[Observation]) -> int | None:
    """The number of trials after which the rule ends the search; None if it does not."""
    rule = DoneRule()
    rule.begin(Goal("loss"), SPACE, 3)
    for number, observation in enumerate(observations):
        if rule.reason():
            return number
        rule.learn(str(number), Observation(observation.config))
        rule.learn(str(number), observation)
    return None


def test_a_flat_function_ends_a_search_as_soon_as_the_rule_may() -> None:
    assert ends_after(trials_of(lambda *_: 0.5, 60)) == EARLIEST


def test_noise_alone_ends_a_search() -> None:
    ended = ends_after(trials_of(lambda _, random: 0.01 * random.normal(), 100))

    assert ended is not None


def test_a_function_that_still_improves_does_not_end_a_search() -> None:
    def loss(config, _):
        return (config["x"] - 0.3) ** 2 + (config["y"] - 0.7) ** 2

    assert ends_after(trials_of(loss, 45)) is None


def test_one_outlook_alone_does_not_end_a_search() -> None:
    def loss(config, _):  # flat, and then it falls
        return min(0.5, 1 - config["x"])

    found = sorted(trials_of(loss, 2 * EARLIEST), key=lambda each: each.config["x"] > 0.5)
    is_flat = [each.config["x"] <= 0.5 for each in found]

    assert sum(is_flat) >= FIRST
    assert ends_after([*found[sum(is_flat) - FIRST :]][: EARLIEST + 1]) is None


def test_the_rule_says_the_same_of_a_history_that_it_learns_anew() -> None:
    observations = trials_of(lambda *_: 0.5, EARLIEST)
    rule = DoneRule()
    rule.begin(Goal("loss"), SPACE, 3)
    for number, observation in enumerate(observations):
        assert rule.reason() is None
        rule.learn(f"trial {number}", observation)

    assert rule.reason() == "20 more trials: no improvement expected: stop here"


def test_running_trials_are_waited_for() -> None:
    rule = DoneRule()
    rule.begin(Goal("loss"), SPACE, 3)
    for number, observation in enumerate(trials_of(lambda *_: 0.5, 2 * EARLIEST)):
        rule.learn(str(number), Observation(observation.config, observation.curve, "running"))

    assert rule.reason() is None
