"""Where the Gaussian process looks next."""

import math
import time
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ray import tune
from ray.tune.search import Searcher

from benchmarks.failure_trap import FAILING, loss_of, space
from benchmarks.searching.contenders import Ours
from benchmarks.searching.problems import list_problems
from benchmarks.searching.simulation import Limits, Search
from tests.engine.search.simulated import History
from tune_jobs.engine import GaussianProcess
from tune_jobs.engine.search.gaussian.curve_model import (
    CurveModel,
    log_expected_improvement,
)
from tune_jobs.engine.search.gaussian.points import scale
from tune_jobs.engine.search.knowledge import Knowledge, KnownRow
from tune_jobs.engine.search.observations import Curve, Observation
from tune_jobs.engine.space.configs import Config
from tune_jobs.engine.space.coordinates import Coordinates
from tune_jobs.engine.space.domains import Space

RATE = tune.loguniform(1e-4, 1)
LAYER = {"units": tune.randint(8, 257), "dropout": tune.uniform(0, 0.6)}
MIXED: Space = {
    "optimizer": tune.choice(
        [
            {"name": "sgd", "rate": RATE, "momentum": tune.uniform(0, 1)},
            {"name": "adam", "rate": RATE},
        ]
    ),
    "layers": tune.choice([[LAYER] * count for count in (1, 2, 3)]),
    "batch_size": tune.choice([16, 32, 64]),
    "constant": 3,
}
SQUARE: Space = {"x": tune.uniform(0, 1), "y": tune.uniform(0, 1)}


def search(
    of: Space,
    value_of: Callable[[Config], float | None],
    trials: int,
    initial: int = 8,
    seed: int = 1,
) -> tuple[list[Config], list[float | None]]:
    """Run one worker; None fails."""
    searcher = GaussianProcess(initial)(seed)
    searcher.set_search_properties("loss", "min", of)
    configs, values = [], []
    for number in range(trials):
        config = searcher.suggest(str(number))
        if config == Searcher.FINISHED:
            break
        value = value_of(config)
        state, curve = ("failed", ()) if value is None else ("ended", ((1, value),))
        searcher.learn(str(number), Observation(config, curve, state))
        configs.append(config)
        values.append(value)
    return configs, values


def know(
    of: Space, curves: Sequence[Curve], max_epochs: int, states: Sequence[str] = (), **more: object
) -> Knowledge:
    """Random rows with curves."""
    coordinates = Coordinates(of)
    rows = coordinates.draw(len(curves), np.random.default_rng(0))
    states = states or ["ended"] * len(curves)
    known = [KnownRow(row, *each) for row, *each in zip(rows, curves, states, strict=True)]
    return Knowledge(coordinates, known, max_epochs, **more)


def choose(knowledge: Knowledge) -> np.ndarray:
    """The next row; any warning is an error here."""
    with np.errstate(all="raise", under="ignore"):
        proposal = CurveModel().choose(knowledge, np.random.default_rng(0))
    assert proposal is not None
    assert proposal.by == "gp"
    return proposal.row


def branin(config: Config) -> float:
    x, y = 15 * config["x"] - 5, 15 * config["y"]
    bend = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
    return bend**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10 - 0.397887


def beside(config: Config) -> Config:
    """The config whose loss has its optimum 20 units beside the border."""
    return {**config, "units": config["units"] * 64 / (FAILING - 20)}


def test_a_smooth_function_is_solved_in_50_trials() -> None:
    _, values = search(SQUARE, branin, 50)

    assert min(values) < 0.05  # random search: 0.4


def test_layers_are_learned_together() -> None:
    def value_of(config: Config) -> float:
        layers = sum((layer["dropout"] - 0.2) ** 2 for layer in config["layers"])
        rate = math.log10(config["optimizer"]["rate"])
        sgd = config["optimizer"]["name"] == "sgd"
        return layers / len(config["layers"]) + 0.1 * (rate + 2) ** 2 + 0.1 * sgd

    _, values = search(MIXED, value_of, 40)

    assert min(values) < 0.01


@pytest.mark.parametrize(
    ("value_of", "share"),
    [
        (lambda c: None if c["units"] > FAILING else loss_of(c), 0.05),
        (lambda c: None if c["units"] > FAILING else loss_of(beside(c)), 0.15),
    ],
    ids=["far from the border", "at the border"],
)
def test_configs_that_fail_are_avoided_and_the_best_is_found(value_of, share) -> None:
    runs = [search(space(), value_of, 80, seed=seed)[1] for seed in (1, 2, 3)]

    assert sum(values[40:].count(None) for values in runs) <= share * 120
    assert max(min(filter(None, values)) for values in runs) < 0.06


@pytest.mark.parametrize("in_flight", [1, 8])
def test_few_fail_at_a_border_where_the_optimum_lies(in_flight) -> None:
    task = list_problems()["failures-near"].make()

    traces = [
        Search(task, Ours("gp", task, seed), seed).run(in_flight, Limits(trials=80))
        for seed in (0, 1)
    ]

    assert sum(sum(trace.failing[40:]) for trace in traces) <= 0.25 * 80
    assert max(trace.regrets[-1] for trace in traces) < 0.1


def test_failures_at_random_do_not_stop_the_search() -> None:
    lost = np.random.default_rng(0).random(60) < 0.3
    count = iter(lost)

    _, values = search(SQUARE, lambda config: None if next(count) else branin(config), 60)

    assert min(value for value in values if value is not None) < 0.3


def test_a_process_learns_that_all_but_one_failed() -> None:
    curves = [[(1, 0.5)], [(1, 0.4)], *[[]] * 20]

    row = choose(know(SQUARE, curves, 1, ["ended", "ended", *["failed"] * 20]))

    assert np.isfinite(row).all()


def test_the_end_of_a_curve_counts_and_not_its_start() -> None:
    # Rates above the middle start well and end badly.
    coordinates = Coordinates({"x": tune.uniform(0, 1)})
    known = []
    for place in np.linspace(0, 1, 12):
        start, end = (0.5, 0.5) if place > 0.5 else (1.0, 0.1 + 0.5 * (place - 0.25) ** 2)
        curve = [(epoch, start + (end - start) * (epoch - 1) / 8) for epoch in range(1, 10)]
        stops = 3 if round(place * 11) % 3 else 9
        known.append(KnownRow(np.array([place]), curve[:stops], "ended"))
    knowledge = Knowledge(coordinates, known, 9)

    assert choose(knowledge)[0] < 0.5


def test_pending_configs_are_not_suggested_again() -> None:
    curves = [[(1, (place - 5) ** 2 / 10)] for place in range(10)]
    knowledge = know(SQUARE, curves, 1)
    first = choose(knowledge)
    running = [*knowledge.known, KnownRow(first, (), "running")]

    second = choose(Knowledge(knowledge.coordinates, running, 1))

    assert np.abs(first - second).max() > 0.005


def test_a_small_space_is_looked_at_as_a_whole_and_ends() -> None:
    of = {"a": tune.choice([1, 2, 3]), "b": tune.choice(["x", "y"])}

    configs, _ = search(of, lambda config: float(config["a"]), 10, initial=2)

    assert len(configs) == 6 == len({tuple(config.values()) for config in configs})


def test_a_known_config_may_be_chosen_where_repeats_are_allowed() -> None:
    points = np.array([[0.0], [1.0]])
    coordinates = Coordinates({"x": tune.choice([1, 2])})
    known = [KnownRow(row, [(1, float(row[0]))], "ended") for row in points]

    def choice(repeats: bool):
        knowledge = Knowledge(coordinates, known, 1, points, repeats)
        return CurveModel().choose(knowledge, np.random.default_rng(0))

    assert choice(repeats=False) is None
    proposal = choice(repeats=True)
    assert proposal is not None
    assert proposal.row in points


LOSSES = st.one_of(
    st.floats(-1, 1),
    st.sampled_from([0.0, -0.0, 1e30, -1e30, 1e308, -1e308, 1e-300, 5e-324]),
)


@settings(max_examples=40, deadline=None)
@given(
    of=st.sampled_from(
        [
            MIXED,
            SQUARE,
            {"x": tune.uniform(0, 1)},
            {"x": tune.choice(list("abcdefghijklmnopqrstuvwxyz"))},
        ]
    ),
    curves=st.lists(st.lists(LOSSES, max_size=5), min_size=2, max_size=12),
    max_epochs=st.integers(1, 9),
)
def test_whatever_was_observed_there_is_a_next_row(of, curves, max_epochs) -> None:
    curves = [list(enumerate(curve[:max_epochs], 1)) for curve in curves]
    curves[:2] = [curve or [(1, 0.0)] for curve in curves[:2]]
    states = ["ended" if curve else ("failed", "running")[len(curves) % 2] for curve in curves]

    row = choose(know(of, curves, max_epochs, states))

    assert not np.isinf(row).any()
    Coordinates(of).config_of(row)


@pytest.mark.parametrize("value", [0.5, 1e30, -1e30])
def test_equal_losses_say_nothing_and_break_nothing(value: float) -> None:
    row = choose(know(MIXED, [[(1, value)]] * 10, 1))

    assert not np.isinf(row).any()


def test_equal_configs_with_different_losses_are_noise() -> None:
    row = np.array([0.5, 0.5])
    known = [KnownRow(row, [(1, value)], "ended") for value in (0.1, 0.9, 0.5, 0.3)]

    chosen = choose(Knowledge(Coordinates(SQUARE), known, 1))

    assert (chosen != row).any()


@given(st.lists(LOSSES, min_size=1, max_size=30))
@example([1e308, -1e308, 0.0])
@example([1e308, 1e308, 1e307, -1e308])
def test_scaled_losses_keep_their_order(losses: list[float]) -> None:
    scaled = scale(np.array(losses))

    order = np.argsort(losses, kind="stable")
    assert np.isfinite(scaled).all()
    assert (np.diff(scaled[order]) >= -1e-12).all()


def test_how_bad_the_bad_losses_are_changes_nothing() -> None:
    one, other = np.array([1.0, 2, 3, 4, 5, 6]), np.array([1.0, 2, 3, 40, 1e9, 1e30])

    np.testing.assert_allclose(scale(one), scale(other))


@settings(deadline=None)
@given(st.floats(-3, 3), st.floats(0.05, 2), st.floats(-3, 3))
def test_the_expected_improvement_is_the_mean_of_draws(mean, deviation, best) -> None:
    quantiles = np.linspace(-8, 8, 20001)
    density = np.exp(-(quantiles**2) / 2)
    gain = np.maximum(best - mean - deviation * quantiles, 0)
    expected = (gain * density).sum() / density.sum()

    found = log_expected_improvement(np.array([mean]), np.array([deviation]), best)

    if (best - mean) / deviation > -5:
        assert np.exp(found[0]) == pytest.approx(expected, rel=0.01, abs=1e-9)


def test_far_from_an_improvement_its_logarithm_still_falls() -> None:
    found = log_expected_improvement(np.linspace(0, 100, 1000), np.ones(1000), -1.0)

    assert (np.diff(found) < 0).all()


def slow(config: Config, number: int) -> list[float]:
    return [branin(config) + 3 / epoch for epoch in range(1, 10)]


def test_a_search_that_continues_fits_what_one_that_did_not_stop_has_fitted() -> None:
    def history() -> History:
        return History(lambda: GaussianProcess(4)(1), SQUARE, slow, stops=True)

    steady, interrupted = history(), history()

    assert steady.run(25, steady.searcher()) == interrupted.run(25)


def long_knowledge(trials: int) -> Knowledge:
    """Rows of a mixed space with curves of 27 epochs, of which many were stopped."""
    random = np.random.default_rng(0)
    ends = random.choice([1, 3, 9, 27], trials, p=[0.6, 0.2, 0.1, 0.1])
    noise = random.random(trials)
    curves = [
        [(epoch, value + 1 / epoch) for epoch in range(1, end + 1)]
        for value, end in zip(noise, ends, strict=True)
    ]
    return know(MIXED, curves, 27)


def test_a_thousand_trials_cost_little_more_than_some_hundred() -> None:
    knowledge = long_knowledge(1000)
    model = CurveModel()
    model.choose(knowledge, np.random.default_rng(0))

    start = time.process_time()
    model.choose(knowledge, np.random.default_rng(1))

    assert time.process_time() - start < 0.5
