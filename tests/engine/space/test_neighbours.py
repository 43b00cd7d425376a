"""Neighbours belong to the space, and differ from their config in one hyperparameter, a little."""

from functools import partial
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from ray import tune
from ray.tune.search.variant_generator import generate_variants

from tune_jobs.engine import as_grid, near_one
from tune_jobs.engine.space.domains import Range, distinct, domain_of, has_domain
from tune_jobs.engine.space.encoding import dimensions, encode, flat_domains
from tune_jobs.engine.space.membership import from_json, identity
from tune_jobs.engine.space.neighbours import FARTHEST, NEAREST, as_choices, neighbours
from tune_jobs.engine.space.ray_choices import make_choice


def draw(space: dict[str, Any], seed: int) -> dict[str, Any]:
    """A config of a space, at random."""
    state = np.random.RandomState(seed)
    return next(generate_variants(distinct(space), random_state=state))[1]


# Left out are domains whose values do not come back exactly; those have a test of their own.
make_ranked = partial(make_choice, is_ranked=True)
numbers = st.integers(1, 50)
leaves = st.one_of(
    st.builds(lambda a, b: tune.uniform(a, a + b), st.floats(-10, 10), st.floats(0.1, 10)),
    st.builds(lambda a, b: tune.loguniform(a, a * b), st.floats(1e-6, 1), st.floats(1.5, 1e4)),
    st.builds(
        lambda a, b, q: tune.quniform(a * q, (a + b) * q, 1.0 * q), numbers, numbers, numbers
    ),
    st.builds(lambda a, b: tune.quniform(a / 10, (a + b) / 10, 0.1), numbers, st.integers(2, 50)),
    st.builds(
        lambda a, b, q: tune.qloguniform(a * q, (a + b) * q, 1.0 * q), numbers, numbers, numbers
    ),
    st.builds(lambda a, b: tune.randint(a, a + b), numbers, numbers),
    st.builds(lambda a, b: tune.lograndint(a, a + b), numbers, numbers),
    st.builds(lambda a, b, q: tune.qrandint(a * q, (a + b) * q, q), numbers, numbers, numbers),
    st.builds(lambda a, b, q: tune.qlograndint(a * q, (a + b) * q, q), numbers, numbers, numbers),
    st.builds(lambda a: near_one(1 - a, 1 - a / 100), st.floats(0.01, 0.5)),
    st.builds(tune.choice, st.lists(st.text() | numbers | st.booleans() | st.none(), min_size=1)),
    st.builds(make_ranked, st.lists(st.text(), min_size=1, unique=True)),
    st.text(),
    numbers,
)
names = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=5)


def branching(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Dicts, choices between branches that say which they are, and layers."""
    branches = st.lists(st.dictionaries(names, inner, max_size=2), min_size=1, max_size=3)
    return st.one_of(
        st.dictionaries(names, inner, min_size=1, max_size=3),
        branches.map(lambda each: tune.choice([{"_": n, **b} for n, b in enumerate(each)])),
        st.builds(
            lambda layer, n: tune.choice([[layer] * k for k in range(1, n)]),
            st.dictionaries(names, inner, min_size=1, max_size=2),
            st.integers(2, 4),
        ),
    )


spaces = st.dictionaries(
    names, st.recursive(leaves, branching, max_leaves=6), min_size=1, max_size=4
).filter(has_domain)
seeds, counts = st.integers(0, 2**31 - 1), st.integers(0, 8)


@settings(max_examples=150, deadline=None)
@given(spaces, seeds, counts)
def test_neighbours_are_others_of_the_space_each_once(space, seed, count) -> None:
    config = draw(space, seed)

    found = neighbours(space, config, count, seed)

    assert len(found) <= count
    for neighbour in found:
        assert identity(from_json(space, neighbour)) == identity(neighbour)
    assert len({identity(each) for each in [config, *found]}) == 1 + len(found)


@settings(max_examples=60, deadline=None)
@given(spaces, seeds, counts)
def test_the_same_seed_gives_the_same_neighbours(space, seed, count) -> None:
    config = draw(space, seed)
    before = identity(config)

    found = [neighbours(space, config, count, seed) for _ in range(2)]

    assert found[0] == found[1]
    assert identity(config) == before


def changed(one: dict[str, Any], other: dict[str, Any]) -> set[str]:
    """The dimensions that are active in one of two only, or have another value there."""
    labels = one.keys() | other.keys()
    return {label for label in labels if one.get(label) != other.get(label)}


def hangs_on(label: str, above: str) -> bool:
    """Whether a dimension is another one, or of a branch of it."""
    return label == above or label.startswith((f"{above}.", f"{above}#"))


@settings(max_examples=150, deadline=None)
@given(spaces, seeds, counts)
def test_a_neighbour_differs_in_one_hyperparameter_and_what_hangs_on_it(space, seed, count) -> None:
    config = draw(space, seed)
    own = encode(space, config)

    for neighbour in neighbours(space, config, count, seed):
        labels = changed(own, encode(space, neighbour))
        assert labels
        assert any(all(hangs_on(label, above) for label in labels) for above in own)


@settings(max_examples=100, deadline=None)
@given(spaces, seeds, counts)
def test_numbers_stay_inside_their_bounds(space, seed, count) -> None:
    domains = flat_domains(dimensions(space))

    for neighbour in neighbours(space, draw(space, seed), count, seed):
        for label, value in encode(space, neighbour).items():
            if isinstance(found := domains[label], Range):
                slack = 1e-9 * max(abs(found.first), abs(found.last))
                assert found.first - slack <= value <= found.last + slack


continuous = st.one_of(
    st.builds(lambda a, b: tune.uniform(a, a + b), st.floats(-10, 10), st.floats(0.1, 10)),
    st.builds(lambda a, b: tune.loguniform(a, a * b), st.floats(1e-6, 1), st.floats(1.5, 1e4)),
    st.builds(lambda a: near_one(1 - a, 1 - a / 100), st.floats(0.01, 0.5)),
)


@settings(max_examples=100, deadline=None)
@given(continuous, seeds)
def test_a_continuous_number_moves_by_3_to_15_percent_of_its_own_scale(domain, seed) -> None:
    config, scale = draw({"x": domain}, seed), domain_of(domain)
    assert isinstance(scale, Range)

    for neighbour in neighbours({"x": domain}, config, 4, seed):
        moved = abs(scale.position(neighbour["x"]) - scale.position(config["x"])) / scale.span
        assert NEAREST - 1e-6 <= moved <= FARTHEST + 1e-6


@pytest.mark.parametrize(
    ("domain", "value"),
    [
        (tune.randint(0, 100), 50),
        (tune.qrandint(32, 512, 32), 256),
        (tune.quniform(0, 1, 0.1), 0.5),
    ],
    ids=["randint", "qrandint", "quniform"],
)
def test_a_number_with_a_step_moves_by_about_as_much(domain, value) -> None:
    scale = domain_of(domain)
    assert isinstance(scale, Range)
    half = (scale.increment or 1) / scale.span / 2

    for seed in range(10):
        for neighbour in neighbours({"x": domain}, {"x": value}, 1, seed):
            moved = abs(neighbour["x"] - value) / scale.span
            assert NEAREST - half - 1e-9 <= moved <= FARTHEST + half + 1e-9


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_at_a_bound_a_number_moves_inwards(value) -> None:
    for neighbour in neighbours({"x": tune.uniform(0, 1)}, {"x": value}, 8, 0):
        assert 0.03 <= abs(neighbour["x"] - value) <= 0.15


def test_every_hyperparameter_has_its_turn() -> None:
    space = {name: tune.uniform(0, 1) for name in "abcdef"}
    config = dict.fromkeys(space, 0.5)

    found = neighbours(space, config, 6, 0)

    assert [sum(n[name] != 0.5 for n in found) for name in space] == [1] * 6


def test_a_choice_is_made_otherwise() -> None:
    space = {"activation": tune.choice(["relu", "gelu", "tanh"])}
    found = neighbours(space, {"activation": "relu"}, 8, 0)
    assert sorted(each["activation"] for each in found) == ["gelu", "tanh"]


OPTIMIZER = {
    "optimizer": tune.choice(
        [{"name": "adam", "rate": tune.loguniform(1e-4, 1e-1)}, {"name": "sgd", "nesterov": True}]
    ),
    "units": tune.randint(1, 1000),
}


def test_a_branch_brings_what_hangs_on_it() -> None:
    config = {"optimizer": {"name": "sgd", "nesterov": True}, "units": 500}

    found = neighbours(OPTIMIZER, config, 6, 0)

    others = [each for each in found if each["optimizer"] != config["optimizer"]]
    assert others
    for each in others:
        assert each["optimizer"].keys() == {"name", "rate"}
        assert each["units"] == 500


def test_layers_that_stay_are_as_they_were() -> None:
    layer = {"units": tune.randint(1, 1000)}
    space = {"layers": tune.choice([[layer] * n for n in range(1, 11)])}
    config = {"layers": [{"units": 10 * n} for n in range(1, 6)]}

    found = neighbours(space, config, 8, 0)

    depths = [each["layers"] for each in found if len(each["layers"]) != 5]
    assert depths
    for layers in depths:
        assert all(a == b for a, b in zip(layers, config["layers"], strict=False))


@pytest.mark.parametrize(
    ("domain", "value"),
    [
        (tune.choice([16, 32]), 16),
        (tune.choice([0.1, 0.2, 0.3]), 0.2),
        (tune.randint(1, 4), 2),
        (tune.lograndint(1, 3), 1),
        (tune.qrandint(32, 96, 32), 64),
        (tune.quniform(0, 0.2, 0.1), 0.1),
    ],
    ids=["two numbers", "three numbers", "randint", "lograndint", "qrandint", "quniform"],
)
def test_a_number_of_few_values_moves_to_the_next(domain, value) -> None:
    assert neighbours({"x": domain}, {"x": value}, 1, 0)


@pytest.mark.parametrize(
    "domain",
    [tune.randn(0, 1), tune.quniform(1, 9, 1)],
    ids=["randn", "whole step"],
)
def test_a_config_is_no_neighbour_of_itself_by_rounding(domain) -> None:
    space = {"x": domain, "y": tune.choice(["only"])}
    for seed in range(40):
        config = draw(space, seed)
        for each in neighbours(space, config, 8, seed):
            assert each["x"] != pytest.approx(config["x"], rel=1e-9, abs=1e-9)


def test_what_nobody_moved_stays_to_the_last_bit() -> None:
    space = {"a": tune.randn(0, 1), "b": near_one(0.9, 0.99), "c": tune.choice(["x", "y"])}
    for seed in range(20):
        config = draw(space, seed)
        for each in neighbours(space, config, 8, seed):
            assert sum(each[name] != config[name] for name in space) == 1


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(names, st.text() | numbers | st.lists(numbers), max_size=4), seeds)
def test_a_space_of_constants_has_no_neighbours(space, seed) -> None:
    assert neighbours(space, space, 4, seed) == []


def test_a_choice_of_one_has_no_neighbours() -> None:
    assert neighbours({"x": tune.choice(["a"])}, {"x": "a"}, 4, 0) == []


def test_a_space_with_sample_from_has_no_neighbours() -> None:
    space = {"x": tune.uniform(0, 1), "y": tune.sample_from(lambda: 3)}
    assert neighbours(space, {"x": 0.5, "y": 3}, 4, 0) == []


@pytest.mark.parametrize(("values", "count"), [([3], 0), ([1, 2, 3], 2)])
def test_there_are_no_more_than_the_space_has(values, count) -> None:
    space = {"x": tune.choice([str(value) for value in values])}
    assert len(neighbours(space, {"x": "3"}, 9, 0)) == count


options = st.lists(st.text() | numbers | st.booleans() | st.none(), min_size=1, max_size=4)
finite = st.recursive(
    options.map(tune.choice) | options.map(tune.grid_search) | st.text() | numbers,
    lambda inner: st.dictionaries(names, inner, min_size=1, max_size=3),
    max_leaves=5,
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(names, finite, min_size=1, max_size=4), seeds)
def test_grids_become_choices_whose_points_are_points_of_the_grids(space, seed) -> None:
    choices = as_choices(space)

    config = draw(choices, seed)

    assert identity(from_json(space, config)) == identity(config)
    encode(choices, config)
    for neighbour in neighbours(choices, config, 4, seed):
        from_json(space, neighbour)


def test_a_grid_of_branches_becomes_a_choice_of_its_points() -> None:
    grid = as_grid({"optimizer": OPTIMIZER["optimizer"].categories[1], "n": tune.randint(0, 3)})
    choices = as_choices({**grid, "rate": tune.uniform(0, 1), "layers": (1, 2)})

    config = draw(choices, 0)

    assert choices["n"].categories == [0, 1, 2]
    assert choices["layers"] == (1, 2)
    assert config["optimizer"] == {"name": "sgd", "nesterov": True}
    assert identity(from_json(choices, config)) == identity(config)
