"""The narrower space holds the best, lies in the old one, and says why it is as it is."""

import math
from functools import partial
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from ray import tune
from ray.tune.search.sample import Domain
from ray.tune.search.variant_generator import generate_variants

from tune_jobs.engine import JobError, near_one
from tune_jobs.engine.analysis.narrow_space import narrow
from tune_jobs.engine.space.checks import check_space
from tune_jobs.engine.space.configs import flatten
from tune_jobs.engine.space.domains import distinct, has_domain, walk
from tune_jobs.engine.space.encoding import dimensions, flat_domains
from tune_jobs.engine.space.grid import extremes
from tune_jobs.engine.space.membership import NotInSpaceError, from_json, identity
from tune_jobs.engine.space.notation import describe
from tune_jobs.engine.space.ray_choices import make_choice


def draw(space: dict, count: int, seed: int = 0) -> list[dict]:
    state = np.random.RandomState(seed)
    return [next(generate_variants(distinct(space), random_state=state))[1] for _ in range(count)]


def size_of(config: dict) -> float:
    values = flatten(config).values()
    return len(values) + sum(math.tanh(v) for v in values if isinstance(v, int | float))


make_ranked = partial(make_choice, is_ranked=True)
numbers = st.integers(1, 50)
leaves = st.one_of(
    st.builds(lambda a, b: tune.uniform(a, a + b), st.floats(-10, 10), st.floats(0.1, 10)),
    st.builds(lambda a, b: tune.loguniform(a, a * b), st.floats(1e-6, 1), st.floats(1.5, 1e4)),
    st.builds(lambda a, b, q: tune.quniform(a * q, (a + b) * q, q), numbers, numbers, numbers),
    st.builds(lambda a, b: tune.quniform(a / 10, (a + b) / 10, 0.1), numbers, st.integers(2, 50)),
    st.builds(lambda a, b, q: tune.qloguniform(a * q, (a + b) * q, q), numbers, numbers, numbers),
    st.builds(lambda a, b: tune.randint(a, a + b), numbers, numbers),
    st.builds(lambda a, b: tune.lograndint(a, a + b), numbers, numbers),
    st.builds(lambda a, b, q: tune.qrandint(a * q, (a + b) * q, q), numbers, numbers, numbers),
    st.builds(lambda a, b, q: tune.qlograndint(a * q, (a + b) * q, q), numbers, numbers, numbers),
    st.builds(lambda a: near_one(1 - a, 1 - a / 100), st.floats(0.01, 0.5)),
    st.builds(tune.randn, st.floats(-1, 1), st.floats(0.1, 1)),
    st.builds(tune.choice, st.lists(st.text() | numbers | st.booleans() | st.none(), min_size=1)),
    st.builds(make_ranked, st.lists(st.text(), min_size=1, unique=True)),
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


@settings(max_examples=120, deadline=None)
@given(spaces, st.sampled_from([0.1, 0.25, 0.5]), st.integers(10, 60))
def test_the_best_lie_in_the_narrower_space_and_that_in_the_old_one(space, keep, count) -> None:
    ranked = sorted(draw(space, count), key=size_of)

    narrower, _ = narrow(space, ranked, keep=keep)

    check_space(narrower)
    for config in ranked[: max(5, math.ceil(keep * count))]:
        assert identity(from_json(narrower, config)) == identity(config)
    for config in [*draw(narrower, 20), *extremes(narrower)]:
        from_json(space, config)


@settings(max_examples=60, deadline=None)
@given(spaces)
def test_the_old_space_stays_and_shares_no_domain_with_the_narrower(space) -> None:
    before = describe(space)
    ranked = sorted(draw(space, 40), key=size_of)

    narrower, lines = narrow(space, ranked, keep=0.2)

    assert describe(space) == before
    again, lines_again = narrow(space, ranked, keep=0.2)
    assert (describe(again), lines_again) == (describe(narrower), lines)
    domains = [id(part) for _, part in walk(narrower) if isinstance(part, Domain)]
    assert len(domains) == len(set(domains))
    assert not {id(part) for _, part in walk(space)} & set(domains)


def around(values: list[float], others: list[float]) -> list[dict]:
    return [{"x": value} for value in [*values, *others]]


@pytest.mark.parametrize(
    ("domain", "best", "others", "narrower", "line"),
    [
        (
            tune.loguniform(1e-4, 0.1),
            [0.0011, 0.002, 0.003, 0.005, 0.0071],
            [0.05, 0.09, 0.0002, 0.0001, 0.1],
            "loguniform(0.00069, 0.012)",
            "x 0.0001 .. 0.1 -> 0.00069 .. 0.012: the best 5 of 10 lie in 0.0011 .. 0.0071",
        ),
        (
            tune.uniform(0, 1),
            [0.21, 0.25, 0.3, 0.35, 0.41],
            [0.9, 0.0, 0.8, 1.0, 0.7],
            "uniform(0.16, 0.46)",
            "x 0 .. 1 -> 0.16 .. 0.46: the best 5 of 10 lie in 0.21 .. 0.41",
        ),
        (
            near_one(0.9, 0.999),
            [0.985, 0.986, 0.987, 0.988, 0.99],
            [0.9, 0.91, 0.92, 0.93, 0.94],
            "near_one(0.981, 0.9921)",
            "x 0.9 .. 0.999 -> 0.981 .. 0.9921: the best 5 of 10 lie in 0.985 .. 0.99",
        ),
        (
            tune.randint(1, 101),
            [40, 44, 42, 43, 41],
            [1, 2, 3, 99, 100],
            "randint(35, 50)",
            "x 1 .. 100 -> 35 .. 49: the best 5 of 10 lie in 40 .. 44",
        ),
        (
            tune.qrandint(32, 512, 32),
            [64, 96, 64, 96, 64],
            [512, 480, 320, 256, 416],
            "qrandint(32, 128, 32)",
            "x 32 .. 512 -> 32 .. 128: the best 5 of 10 lie in 64 .. 96",
        ),
        (
            tune.qloguniform(0.1, 10, 0.1),
            [0.2, 0.3, 0.2, 0.30000000000000004, 0.2],
            [5.0, 6.0, 7.0, 8.0, 9.0],
            "qloguniform(0.1, 0.4, 0.1)",
            "x 0.1 .. 10 -> 0.1 .. 0.4: the best 5 of 10 lie in 0.2 .. 0.3",
        ),
        (
            tune.uniform(0, 1),
            [0.3] * 5,
            [0.9] * 5,
            "uniform(0.25, 0.35)",
            "x 0 .. 1 -> 0.25 .. 0.35: the best 5 of 10 lie in 0.3 .. 0.3",
        ),
    ],
    ids=lambda part: part if isinstance(part, str) and ":" not in part else "",
)
def test_a_range_shrinks_to_what_holds_the_best(domain, best, others, narrower, line) -> None:
    found, lines = narrow({"x": domain}, around(best, others), keep=0.25)

    assert describe(found) == {"x": narrower}
    assert lines == [line]


@pytest.mark.parametrize(
    ("part", "values"),
    [
        (tune.uniform(0, 1), [0.05, 0.5, 0.3, 0.7, 0.95]),
        (tune.randint(1, 4), [2] * 5),
        (tune.quniform(0, 0.2, 0.1), [0.1] * 5),
        (tune.randn(0, 1), [0.1] * 5),
        (tune.grid_search([1, 2]), [1] * 5),
        (7, [7] * 5),
    ],
)
def test_what_the_best_fill_or_nothing_bounds_stays(part, values) -> None:
    found, lines = narrow(
        {"x": part, "y": tune.uniform(0, 1)},
        [
            {"x": value, "y": y}
            for value, y in zip(
                values * 2,
                np.linspace(0, 1, 10)[[0, 9, 4, 5, 3, 1, 2, 6, 7, 8]].tolist(),
                strict=True,
            )
        ],
        keep=0.5,
    )

    assert describe(found["x"]) == describe(part)
    assert lines == []


def test_an_option_goes_only_where_the_evidence_is_clear() -> None:
    space = {"activation": tune.choice(["relu", "gelu", "tanh", "rare"])}
    best = ["relu", "gelu"] * 5
    others = ["tanh"] * 26 + ["rare"] * 4

    found, lines = narrow(space, [{"activation": a} for a in best + others], keep=0.25)

    assert found["activation"].categories == ["relu", "gelu", "rare"]
    assert lines == ["activation without 'tanh': none of the best 10 of 40 has it, 26 were tried"]


OPTIMIZER = {
    "optimizer": tune.choice(
        [
            {"name": "adam", "rate": tune.loguniform(1e-4, 1e-1)},
            {"name": "sgd", "rate": tune.loguniform(1e-3, 1), "nesterov": tune.choice([0, 1])},
        ]
    )
}


def adam(rate: float) -> dict[str, Any]:
    return {"optimizer": {"name": "adam", "rate": rate}}


def sgd(rate: float) -> dict[str, Any]:
    return {"optimizer": {"name": "sgd", "rate": rate, "nesterov": 1}}


def test_a_branch_is_narrowed_by_the_trials_that_took_it() -> None:
    best = [adam(0.001 + n / 10_000) for n in range(8)] + [sgd(0.5), sgd(0.004)]
    others = [adam(0.09)] * 10 + [sgd(0.002)] * 10

    found, lines = narrow(OPTIMIZER, best + others, keep=1 / 3)

    assert describe(found)["optimizer"]["choice"] == [
        {"name": "adam", "rate": "loguniform(0.0007, 0.0025)"},
        {"name": "sgd", "rate": "loguniform(0.001, 1)", "nesterov": {"choice": [0, 1]}},
    ]
    (line,) = lines
    assert line.startswith("optimizer.rate 0.0001 .. 0.1 -> 0.0007 .. 0.0025: the best 8 of 18 lie")


def test_a_branch_that_none_of_the_best_took_goes() -> None:
    ranked = [adam(0.01)] * 10 + [sgd(0.1)] * 30

    found, lines = narrow(OPTIMIZER, ranked, keep=0.25)

    assert [branch["name"] for branch in found["optimizer"].categories] == ["adam"]
    assert lines == ["optimizer without 'sgd': none of the best 10 of 40 has it, 30 were tried"]


def test_layers_are_narrowed_together_at_every_depth() -> None:
    space = {"layers": tune.choice([[{"units": tune.randint(1, 101)}] * n for n in (1, 2, 3)])}
    ranked = [
        {"layers": [{"units": 20 + n}, {"units": 70 + n}, {"units": 50}][: 1 + n % 3]}
        for n in range(10)
    ] + [{"layers": [{"units": 1 + 9 * n}] * (1 + n % 3)} for n in range(12)]

    found, _ = narrow(space, ranked, keep=10 / 22)

    first, second, third = describe(found)["layers"]["choice"]
    assert third[:2] == second
    assert second[:1] == first
    assert first[0] != second[1]
    assert third[2] == {"units": "randint(1, 101)"}  # 3 of the best have a third layer
    assert set(flat_domains(dimensions(found))) == set(flat_domains(dimensions(space)))


def test_objects_of_the_space_stay_objects() -> None:
    space = {"pair": tune.choice([(1, 2), (3, 4)]), "x": tune.uniform(0, 1)}
    ranked = [{"pair": [3, 4] if n < 20 else [1, 2], "x": n / 40} for n in range(40)]

    found, _ = narrow(space, ranked, keep=0.25)

    assert found["pair"].categories == [(3, 4)]


def test_a_step_is_kept_where_floating_point_would_make_the_range_too_short() -> None:
    space = {"x": tune.quniform(0.2, 0.9, 0.1)}
    found, _ = narrow(space, around([0.2] * 5, [0.9] * 5), keep=0.5)
    check_space(found)


@pytest.mark.parametrize(
    ("count", "keep", "message"),
    [
        (20, 0, "keep must be a share above 0 and at most 1, got 0"),
        (20, 1.5, "keep must be a share above 0 and at most 1, got 1.5"),
        (9, 0.5, "9 finished trials do not show where the best lie; .* after 10 or more"),
    ],
)
def test_what_cannot_be_narrowed_is_refused(count, keep, message) -> None:
    with pytest.raises(JobError, match=message):
        narrow({"x": tune.uniform(0, 1)}, [{"x": 0.5}] * count, keep=keep)


def test_a_config_of_another_space_is_refused() -> None:
    with pytest.raises(NotInSpaceError):
        narrow({"x": tune.choice([1, 2])}, [{"x": 3}] * 10, keep=0.5)
