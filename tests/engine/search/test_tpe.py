"""What TPE suggests: new configs, near good ones, in all branches, away from failures."""

import math

import numpy as np
import pytest
from ray import tune
from ray.tune.search import Searcher

from tune_jobs.engine import TPE
from tune_jobs.engine.goal import Goal
from tune_jobs.engine.search.knowledge import Memory
from tune_jobs.engine.search.observations import Observation
from tune_jobs.engine.search.tpe import (
    MOST_POINTS,
    NEIGHBOURS,
    WIDE,
    JointTPE,
    log_success,
    suited_bandwidth,
)

SMOOTH = {"x": tune.uniform(0, 1), "y": tune.loguniform(1e-5, 1.0)}


def start(space, seed=0, **settings):
    searcher = TPE(**settings)(seed)
    assert searcher.set_search_properties("loss", "min", space)
    return searcher


def play(searcher, loss_of, trials):
    """Run trials of one worker; one whose loss is None fails."""
    found = []
    for number in range(trials):
        config = searcher.suggest(str(number))
        loss = loss_of(config)
        curve, state = ((), "failed") if loss is None else (((1, loss),), "ended")
        searcher.learn(str(number), Observation(config, curve, state))
        found.append((config, loss, searcher.chosen_by))
    return found


def knowledge_of(space, observations):
    memory = Memory(space, Goal("loss"))
    for number, observation in enumerate(observations):
        memory.learn(str(number), observation)
    return memory.knowledge(9)


def ended(config, epochs=1):
    return Observation(config, [(epoch, 1 / epoch) for epoch in range(1, epochs + 1)], "ended")


# A finite space


def table(seed, interaction):
    """A loss over 4 x 4 x 4 x 3 options, 0 at the best of 192 only."""
    random = np.random.default_rng(seed)
    losses = [random.random(count) for count in (4, 4, 4, 3)]
    best = [int(np.argmin(column)) for column in losses]
    pairs = interaction * random.random((4, 4))
    pairs[best[0], best[1]] = 0

    def loss_of(config):
        a, b, c, d = (int(config[name]) for name in "abcd")
        chosen = zip(losses, (a, b, c, d), strict=True)
        return float(sum(column[n] - column.min() for column, n in chosen) + pairs[a, b])

    return loss_of


@pytest.mark.parametrize("interaction", [0.0, 0.7])
@pytest.mark.parametrize("seed", range(3))
def test_a_space_of_192_configs_is_solved_within_60_trials(seed, interaction):
    options = [str(number) for number in range(4)]
    space = {name: tune.choice(options[: 3 if name == "d" else 4]) for name in "abcd"}

    found = play(start(space, seed), table(seed, interaction), 60)

    assert min(loss for _, loss, _ in found) == 0


def test_a_finite_space_is_never_drawn_at_random_while_something_is_left():
    layer = {"units": tune.choice([16, 32])}
    space = {
        "layers": tune.choice([[layer] * count for count in (1, 2)]),
        "activation": tune.choice(["relu", "tanh", "elu"]),
    }
    searcher = start(space, n_initial_points=4)

    found = play(searcher, lambda config: float(len(config["layers"])), 18)

    assert len({repr(config) for config, _, _ in found}) == 18
    assert [by for _, _, by in found] == ["random"] * 4 + ["tpe"] * 14
    assert searcher.suggest("one more") == Searcher.FINISHED


def test_a_larger_finite_space_is_searched_without_repeats():
    space = {name: tune.choice(list(range(7))) for name in "abc"}
    assert math.prod([7] * 3) > MOST_POINTS

    found = play(start(space), lambda config: float(sum(config.values())), 120)

    assert len({tuple(config.values()) for config, _, _ in found}) == 120
    assert {by for _, _, by in found[10:]} == {"tpe"}
    assert min(loss for _, loss, _ in found) == 0


# Failures


def failing_third(loss_of):
    return lambda config: None if config["units"] > 688 else loss_of(config)


def share_of_failures(loss_of, seeds=3):
    space = {"units": tune.randint(16, 1025), "rate": tune.loguniform(1e-4, 1.0)}
    runs = [play(start(space, seed), failing_third(loss_of), 80) for seed in range(seeds)]
    best = [min(loss for _, loss, _ in run if loss is not None) for run in runs]
    failed = [loss is None for run in runs for _, loss, _ in run[40:]]
    return np.mean(failed), np.median(best)


def test_configs_far_from_the_optimum_that_fail_are_left_alone():
    def loss_of(config):
        return abs(math.log2(config["units"] / 64)) / 4 + abs(math.log10(config["rate"]) + 2)

    share, best = share_of_failures(loss_of)

    assert share <= 0.05
    assert best < 0.2


def test_an_optimum_next_to_configs_that_fail_is_found_with_few_failures():
    def loss_of(config):
        return 2 * abs(config["units"] - 688) / 1008 + abs(math.log10(config["rate"]) + 2)

    share, best = share_of_failures(loss_of)

    assert share <= 0.15
    assert best < 0.15


def test_a_chance_to_succeed_comes_from_the_configs_around():
    known = [ended({"x": x / 10, "y": 0.1}) for x in range(6)]
    failed = [Observation({"x": x / 10, "y": 0.1}, (), "failed") for x in range(7, 10)]
    knowledge = knowledge_of(SMOOTH, known + failed)
    rows = np.array([knowledge.coordinates.row_of({"x": x, "y": 0.1}) for x in (0.2, 0.65, 0.9)])

    chances = np.exp(log_success(knowledge, rows))

    assert chances[0] > 0.75 > chances[1] > 0.25 > chances[2]
    assert list(log_success(knowledge_of(SMOOTH, known), rows)) == [0, 0, 0]


# Widths of kernels


@pytest.mark.parametrize(
    ("space", "epochs", "expected"),
    [
        (SMOOTH, [9, 9], NEIGHBOURS),
        ({"units": tune.randint(16, 1025)}, [1, 1], NEIGHBOURS),
        (SMOOTH, [3, 9], WIDE),
        (SMOOTH | {"batch": tune.choice([16, 32])}, [9, 9], WIDE),
        (SMOOTH | {"activation": tune.choice(["relu", "tanh"])}, [9, 9], WIDE),
        (SMOOTH | {"layers": tune.randint(1, 5)}, [9, 9], WIDE),
    ],
    ids=["smooth", "many integers", "stopped early", "ordered", "choice", "few integers"],
)
def test_kernels_suit_the_space(space, epochs, expected):
    coordinates = knowledge_of(space, []).coordinates
    drawn = coordinates.draw(len(epochs), np.random.default_rng(0))
    known = [ended(coordinates.config_of(row), n) for row, n in zip(drawn, epochs, strict=True)]

    assert suited_bandwidth(knowledge_of(space, known)) == expected


def test_a_running_trial_does_not_widen_kernels():
    running = Observation({"x": 0.5, "y": 0.1}, [(1, 0.5)])

    assert suited_bandwidth(knowledge_of(SMOOTH, [ended({"x": 0, "y": 1}, 9), running])) == (
        NEIGHBOURS
    )


# Where it looks


def test_suggestions_gather_at_the_optimum():
    found = play(start(SMOOTH), lambda c: (c["x"] - 0.3) ** 2 + (math.log10(c["y"]) + 2) ** 2, 60)

    assert np.median([abs(config["x"] - 0.3) for config, _, _ in found[40:]]) < 0.12
    assert min(loss for _, loss, _ in found) < 0.01


def test_a_branch_that_looked_poor_at_first_is_still_looked_at():
    """The last optimizer is the best, with a rate that few draws hit."""
    space = {
        "optimizer": tune.choice(
            [{"name": name, "rate": tune.loguniform(1e-5, 1.0)} for name in "abcd"]
        )
    }

    def loss_of(config):
        rate = math.log10(config["optimizer"]["rate"])
        return abs(rate + 3) if config["optimizer"]["name"] == "d" else 0.8 + 0.1 * abs(rate + 2)

    runs = [play(start(space, seed), loss_of, 60) for seed in range(4)]

    best = [min(loss for _, loss, _ in run) for run in runs]
    names = [config["optimizer"]["name"] for run in runs for config, _, _ in run[10:]]
    assert all(names.count(name) >= 0.04 * len(names) for name in "abcd")
    assert max(best) < 0.3


def test_configs_that_run_already_are_left_to_their_workers():
    space = {"x": tune.uniform(0, 1)}
    known = [ended({"x": x / 20}) for x in range(21)]
    known = [Observation(o.config, [(1, abs(o.config["x"] - 0.5))], "ended") for o in known]
    running = [Observation({"x": x}) for x in np.linspace(0.45, 0.55, 12)]

    def distance(observations):
        knowledge, random = knowledge_of(space, observations), np.random.default_rng(0)
        chosen = [JointTPE().choose(knowledge, random).row[0] for _ in range(20)]
        return np.mean(np.abs(np.array(chosen) - 0.5))

    assert distance(known + running) > 1.5 * distance(known)
