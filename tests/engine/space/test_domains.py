"""Search spaces: what is sampled is what was declared, under every searcher."""

import json
import math
from typing import Any

import hypothesis.strategies as st
import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from ray import tune
from ray.tune.search.optuna import OptunaSearch
from ray.tune.search.sample import Categorical, Float, Integer
from ray.tune.search.variant_generator import generate_variants
from scipy import stats

from tune_jobs.engine import TPE, JobError, as_grid, compose, near_one
from tune_jobs.engine.plain import plain
from tune_jobs.engine.search.observations import Observation
from tune_jobs.engine.search.ray_searcher import FlatSpaceAdapter
from tune_jobs.engine.space.checks import check_space
from tune_jobs.engine.space.configs import flatten
from tune_jobs.engine.space.domains import distinct, has_domain
from tune_jobs.engine.space.encoding import decode, encode
from tune_jobs.engine.space.grid import count_points, extremes
from tune_jobs.engine.space.membership import from_json, identity
from tune_jobs.engine.space.near_one import NearOne
from tune_jobs.engine.space.notation import describe

optuna.logging.set_verbosity(optuna.logging.ERROR)


def draw_random(space: dict, count: int, seed: int = 0) -> list[dict]:
    state = np.random.RandomState(seed)
    return [next(generate_variants(distinct(space), random_state=state))[1] for _ in range(count)]


def draw_from(searcher: Any, space: dict, count: int) -> list[dict]:
    assert searcher.set_search_properties("loss", "min", distinct(space))
    return [searcher.suggest(str(number)) for number in range(count)]


def draw_tpe(space: dict, count: int, seed: int = 0) -> list[dict]:
    return draw_from(TPE(n_initial_points=count + 1)(seed), space, count)


def draw_optuna(space: dict, count: int, seed: int = 0) -> list[dict]:
    sampler = optuna.samplers.RandomSampler(seed=seed)
    return draw_from(FlatSpaceAdapter(OptunaSearch(sampler=sampler)), space, count)


SEARCHERS = pytest.mark.parametrize("draw", [draw_random, draw_tpe, draw_optuna])
LAYER = {"units": tune.choice([32, 64, 128]), "dropout": tune.quniform(0, 0.3, 0.1)}
CONDITIONAL = {
    "layers": tune.choice([[LAYER] * count for count in (2, 3, 4)]),
    "optimizer": tune.choice(
        [
            {"name": "adam", "beta_1": near_one(0.9, 0.999)},
            {"name": "sgd", "momentum": tune.uniform(0, 1)},
        ]
    ),
    "activation": "relu",
}


def fits(part: Any, value: Any) -> bool:
    """Whether a value could have come from a part of a space, by the domains' public facts."""
    if isinstance(part, Categorical):
        return any(fits(category, value) for category in part.categories)
    if isinstance(part, Float | Integer):
        step = getattr(part.get_sampler(), "q", None)
        whole = not isinstance(part, Integer) or isinstance(value, int)
        stepped = not step or math.isclose(value / step, round(value / step), abs_tol=1e-9)
        return whole and stepped and part.lower - 1e-12 <= value <= part.upper + 1e-12
    if isinstance(part, dict):
        same = isinstance(value, dict) and part.keys() == value.keys()
        return same and all(fits(part[name], value[name]) for name in part)
    if isinstance(part, list | tuple):
        same = isinstance(value, list | tuple) and len(part) == len(value)
        return same and all(map(fits, part, value))
    return type(part) is type(value) and part == value


numbers = st.integers(1, 50)
leaves = st.one_of(
    st.builds(lambda a, b: tune.uniform(a, a + b), st.floats(-10, 10), st.floats(0.1, 10)),
    st.builds(lambda a, b: tune.loguniform(a, a * b), st.floats(1e-6, 1), st.floats(1.5, 1e4)),
    st.builds(lambda a, b, q: tune.quniform(a * q, (a + b) * q, q), numbers, numbers, numbers),
    st.builds(lambda a, b: tune.randint(a, a + b), numbers, numbers),
    st.builds(lambda a, b: tune.lograndint(a, a + b), numbers, numbers),
    st.builds(lambda a, b, q: tune.qrandint(a * q, (a + b) * q, q), numbers, numbers, numbers),
    st.builds(lambda a: near_one(1 - a, 1 - a / 100), st.floats(0.01, 0.5)),
    st.builds(tune.choice, st.lists(st.text() | numbers | st.booleans() | st.none(), min_size=1)),
    st.text(),
    numbers,
)
names = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=5)
spaces = st.dictionaries(
    names,
    st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.dictionaries(names, inner, min_size=1, max_size=3),
            st.lists(st.dictionaries(names, inner, max_size=2), min_size=1, max_size=3).map(
                tune.choice
            ),
            st.builds(
                lambda layer, n: tune.choice([[layer] * k for k in range(1, n)]),
                st.dictionaries(names, inner, min_size=1, max_size=2),
                st.integers(2, 4),
            ),
        ),
        max_leaves=6,
    ),
    min_size=1,
    max_size=4,
).filter(has_domain)


@settings(max_examples=60, deadline=None)
@given(spaces)
def test_what_every_searcher_suggests_fits_the_space(space: dict) -> None:
    check_space(space)
    for draw in (draw_random, draw_tpe, draw_optuna):
        assert all(fits(space, config) for config in draw(space, 3)), draw.__name__


@settings(max_examples=60, deadline=None)
@given(spaces)
def test_a_config_comes_back_from_json_as_it_was(space: dict) -> None:
    for config in draw_random(space, 3):
        stored = json.loads(json.dumps(plain(config)))
        assert identity(from_json(space, stored)) == identity(config)


@settings(max_examples=60, deadline=None)
@given(spaces)
def test_the_flat_form_of_a_config_stands_for_it(space: dict) -> None:
    for config in draw_tpe(space, 3):
        again = decode(space, encode(space, config))
        assert encode(space, again) == pytest.approx(encode(space, config), rel=1e-6)


@SEARCHERS
@pytest.mark.parametrize(
    ("domain", "distribution"),
    [
        (tune.uniform(-2, 3), stats.uniform(-2, 5)),
        (tune.loguniform(1e-4, 1), stats.loguniform(1e-4, 1)),
        (tune.randn(2, 0.5), stats.norm(2, 0.5)),
    ],
)
def test_continuous_domains_have_their_distribution(draw, domain, distribution) -> None:
    values = [config["x"] for config in draw({"x": domain}, 400)]

    assert stats.kstest(values, distribution.cdf).pvalue > 1e-3


@SEARCHERS
def test_near_one_is_log_uniform_in_the_distance_from_one(draw) -> None:
    values = np.array([config["x"] for config in draw({"x": near_one(0.9, 0.999)}, 400)])

    assert stats.kstest(1 - values, stats.loguniform(0.001, 0.1).cdf).pvalue > 1e-3
    assert 0.42 < np.mean(values < 0.99) < 0.58


@SEARCHERS
@pytest.mark.parametrize(
    ("domain", "values"),
    [
        (tune.choice([32, 160, 288, 416]), [32, 160, 288, 416]),
        (tune.choice(["a", None, (1, 2)]), ["a", None, (1, 2)]),
        (tune.randint(3, 7), [3, 4, 5, 6]),
        (tune.qrandint(32, 128, 32), [32, 64, 96, 128]),
    ],
)
def test_discrete_domains_give_each_value_its_share(draw, domain, values) -> None:
    drawn = [config["x"] for config in draw({"x": domain}, 400)]

    counts = [sum(value == one for value in drawn) for one in values]
    assert sum(counts) == 400
    assert stats.chisquare(counts).pvalue > 1e-3


@SEARCHERS
def test_inactive_hyperparameters_are_absent(draw) -> None:
    for config in draw(CONDITIONAL, 60):
        own = {"adam": "beta_1", "sgd": "momentum"}[config["optimizer"]["name"]]
        assert config["optimizer"].keys() == {"name", own}
        assert config["activation"] == "relu"


@SEARCHERS
def test_each_branch_and_each_depth_has_its_share(draw) -> None:
    configs = draw(CONDITIONAL, 300)

    depths = [sum(len(config["layers"]) == depth for config in configs) for depth in (2, 3, 4)]
    assert stats.chisquare(depths).pvalue > 1e-3
    adams = sum(config["optimizer"]["name"] == "adam" for config in configs)
    assert stats.binomtest(adams, 300).pvalue > 1e-3


@SEARCHERS
def test_the_units_of_each_layer_are_drawn_apart(draw) -> None:
    pairs = {
        (config["layers"][0]["units"], config["layers"][1]["units"])
        for config in draw(CONDITIONAL, 150)
    }

    assert len(pairs) == 9


@SEARCHERS
def test_the_same_seed_gives_the_same_configs(draw) -> None:
    assert draw(CONDITIONAL, 8, seed=3) == draw(CONDITIONAL, 8, seed=3)
    assert draw(CONDITIONAL, 8, seed=3) != draw(CONDITIONAL, 8, seed=4)


def test_tpe_goes_where_the_results_are_good() -> None:
    space = {
        "optimizer": tune.choice(
            [{"name": "good", "rate": tune.uniform(0, 1)}, {"name": "bad", "x": tune.uniform(0, 1)}]
        )
    }
    searcher = TPE(n_initial_points=10)(1)
    searcher.set_search_properties("loss", "min", space)
    late = []
    for number in range(60):
        config = searcher.suggest(str(number))
        optimizer = config["optimizer"]
        loss = abs(optimizer["rate"] - 0.7) if optimizer["name"] == "good" else 2.0
        searcher.learn(str(number), Observation(config, ((1, loss),), "ended"))
        late += [loss] if number >= 40 else []

    assert np.mean(np.array(late) < 2) > 0.7  # random search: 0.5
    assert np.median(late) < 0.3  # random search: above 0.7


def test_tpe_shares_what_it_knows_of_a_layer_between_depths() -> None:
    space = {"layers": tune.choice([[{"units": tune.uniform(0, 1)}] * n for n in (1, 2)])}
    searcher = TPE(n_initial_points=5)(1)
    searcher.set_search_properties("loss", "min", space)
    for number in range(40):
        config = searcher.suggest(str(number))
        loss = abs(config["layers"][0]["units"] - 0.8)
        searcher.learn(str(number), Observation(config, ((1, loss),), "ended"))

    firsts = {1: [], 2: []}
    for number in range(40, 80):
        config = searcher.suggest(str(number))
        layers = config["layers"]
        firsts[len(layers)].append(layers[0]["units"])
        loss = abs(layers[0]["units"] - 0.8)
        searcher.learn(str(number), Observation(config, ((1, loss),), "ended"))
    for depth, units in firsts.items():
        assert not units or abs(np.median(units) - 0.8) < 0.15, depth


def test_a_grid_has_every_combination_once() -> None:
    space = {
        "units": tune.randint(1, 3),
        "dropout": tune.quniform(0, 0.2, 0.1),
        "optimizer": tune.choice(
            [{"name": "adam"}, {"name": "sgd", "nesterov": tune.choice([0, 1])}]
        ),
        "activation": "relu",
    }

    configs = [config for _, config in generate_variants(as_grid(space))]

    assert len(configs) == count_points(space) == 2 * 3 * 3
    assert len({str(config) for config in configs}) == len(configs)
    assert all(config["activation"] == "relu" for config in configs)


def test_a_grid_of_a_continuous_domain_is_refused() -> None:
    with pytest.raises(JobError, match=r"list of values for 'rate', got loguniform\(0.0001, 0.1\)"):
        as_grid({"rate": tune.loguniform(1e-4, 0.1)})


def test_a_grid_too_large_to_list_is_refused_before_it_is_made() -> None:
    layer = {"units": tune.randint(0, 100), "dropout": tune.randint(0, 100)}
    with pytest.raises(JobError, match="the grid has 1,000,000,000,000 points"):
        as_grid({"layers": tune.choice([[layer] * 3])})


def test_spaces_that_share_a_hyperparameter_do_not_compose() -> None:
    with pytest.raises(JobError, match="both define units"):
        compose({"units": 1}, {"units": 2})


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ([], r"the space must be a dict of name -> domain, not empty, got \[\]"),
        ({}, r"the space must be a dict of name -> domain, not empty, got \{\}"),
        (
            {"x": {"": tune.uniform(0, 1)}},
            "x: hyperparameter names must be non-empty strings, got ''",
        ),
        ({"x": {1: tune.uniform(0, 1)}}, "x: hyperparameter names must be .* strings, got 1"),
        (
            {"x": tune.randint(0.1, 0.5)},
            "x: a range of integers must have bounds that are int",
        ),
        ({"x": tune.randint(0, 2**63)}, "integers of 64 bits, got 9223372036854775808"),
        ({"x": tune.uniform(0, 10**400)}, "x: a range must have two finite bounds, got 1000"),
        ({"x": tune.randn(math.nan, 1)}, r"x: a normal distribution must .* got \(nan, 1\)"),
        ({"x\udcff": 1}, r"the space: hyperparameter names must be valid Unicode, got 'x\\udcff'"),
        ({"x": tune.uniform(3, 1)}, r"x: uniform\(3, 1\) must have a lower bound below its upper"),
        ({"x": tune.randint(3, 3)}, r"x: randint\(3, 3\) must have a lower bound below its upper"),
        ({"a": [{"x": tune.uniform(3, 1)}]}, r"a.0.x: uniform\(3, 1\)"),
        ({"x": tune.choice([])}, r"x: choice\(\[\]\)"),
        ({"x": tune.choice([{"y": tune.uniform(3, 1)}])}, r"x.y: uniform\(3, 1\)"),
        ({"x": tune.qrandint(1, 4, 10)}, "step 10, but its range is only 3"),
        ({"x": tune.qrandint(32, 512, 128)}, r"multiples of 128, and 32 is not one"),
        ({"x": Float(0, None)}, "two finite bounds"),
        ({"x": tune.grid_search([])}, "at least one value"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused(space, message) -> None:
    with pytest.raises(JobError, match=message):
        check_space(space)


@pytest.mark.parametrize("bounds", [(0.9, 1.0), (0.99, 0.9), (-0.1, 0.5)])
def test_near_one_stays_below_one(bounds) -> None:
    with pytest.raises(JobError, match="0 <= lower < upper < 1"):
        near_one(*bounds)


@pytest.mark.parametrize(
    "part", [tune.grid_search([1, 2]), tune.sample_from(lambda _: 1)], ids=["grid", "function"]
)
def test_a_searcher_that_learns_refuses_what_it_cannot_know(part) -> None:
    with pytest.raises(JobError, match="x: "):
        TPE()(0).set_search_properties("loss", "min", {"x": part})


def test_extremes_of_odd_spaces_are_found_or_refused_in_one_line() -> None:
    def fail(_: object) -> float:
        raise RuntimeError("no value")

    with pytest.raises(JobError, match=r"a.x: no value can be drawn: RuntimeError: no value"):
        extremes({"a": {"x": tune.sample_from(fail)}})
    assert extremes({"x": tune.choice([10**400, 1])})[:2] == [{"x": 1}, {"x": 10**400}]


def test_the_extremes_are_the_ends_and_every_option_once() -> None:
    space = {
        "layers": CONDITIONAL["layers"],
        "optimizer": CONDITIONAL["optimizer"],
        "kernel": tune.choice(["a", "b"]),
    }

    smallest, largest, *others = extremes(space)

    assert smallest["layers"] == [{"units": 32, "dropout": 0.0}] * 2
    assert [layer["units"] for layer in largest["layers"]] == [128] * 4
    assert {config["kernel"] for config in others} == {"a", "b"}
    assert {config["optimizer"]["name"] for config in others} == {"adam", "sgd"}
    assert all(fits(space, config) for config in (smallest, largest, *others))


def test_a_space_is_described_as_it_was_written() -> None:
    space = {
        "rate": tune.loguniform(1e-4, 1),
        "beta": near_one(0.9, 0.99),
        "units": tune.qrandint(32, 256, 32),
        "depth": tune.choice([{"n": tune.randint(1, 3)}, None]),
        "z": tune.randn(0, 1),
    }

    assert describe(space) == {
        "rate": "loguniform(0.0001, 1)",
        "beta": "near_one(0.9, 0.99)",
        "units": "qrandint(32, 256, 32)",
        "depth": {"choice": [{"n": "randint(1, 3)"}, None]},
        "z": "randn(0, 1)",
    }


def test_a_config_is_flattened_with_dots() -> None:
    config = {"layers": [{"units": 1}, {"units": 2}], "name": "x", "none": {}}
    assert flatten(config) == {"layers.0.units": 1, "layers.1.units": 2, "name": "x", "none": {}}


def test_near_one_is_a_ray_domain() -> None:
    assert isinstance(near_one(0.5, 0.9), NearOne)
    assert 0.5 <= near_one(0.5, 0.9).sample() <= 0.9
    assert len(near_one(0.5, 0.9).sample(size=3)) == 3


def test_a_range_of_one_step_is_a_range_whatever_floats_make_of_it() -> None:
    check_space({"x": tune.quniform(0.2, 0.3, 0.1)})
