"""Numbers: what is written of them is read back, and values have places on their scale."""

import math

import hypothesis.strategies as st
import pytest
from hypothesis import given
from ray import tune

from tune_jobs.engine import near_one
from tune_jobs.engine.space.domains import Choice, Grid, Normal, Range, Unknown, domain_of
from tune_jobs.engine.space.notation import describe, parse_number, read_described
from tune_jobs.engine.space.ray_choices import make_choice
from tune_jobs.engine.space.ray_domains import make_flat

whole = st.integers(1, 50)
ranges = st.one_of(
    st.builds(lambda a, b: Range(a, a + b), st.floats(-10, 10), st.floats(0.1, 10)),
    st.builds(lambda a, b: Range(a, a * b, "log"), st.floats(1e-6, 1), st.floats(1.5, 1e4)),
    st.builds(lambda a, b, q: Range(a * q, (a + b) * q, "linear", q), whole, whole, whole),
    st.builds(lambda a, b: Range(a, a + b, "log", None, is_integer=True), whole, whole),
    st.builds(lambda a, b, q: Range(a * q, (a + b) * q, "log", q, True), whole, whole, whole),
    st.builds(lambda a: Range(1 - a, 1 - a / 100, "near_one"), st.floats(0.01, 0.5)),
)


def facts_of(found: Range | Normal) -> tuple[float, float, float]:
    pair = (found.mean, found.deviation) if isinstance(found, Normal) else found.ends
    return (*pair, found.step or 0)


@given(ranges | st.builds(Normal, st.floats(-5, 5), st.floats(0.1, 5), st.none() | st.just(0.5)))
def test_what_is_written_of_a_number_is_read_back(found) -> None:
    text = found.as_code()

    again = parse_number(text)

    assert again is not None
    assert type(again) is type(found)
    assert again.as_code() == text
    assert facts_of(again) == pytest.approx(facts_of(found), rel=1e-5)
    assert again.is_integer == found.is_integer


@pytest.mark.parametrize(
    "text",
    [
        "uniform",
        "uniform(1, 1)",
        "uniform(2, 1)",
        "uniform(0, inf)",
        "uniform(0, 1, 0.1)",
        "quniform(0, 1)",
        "loguniform(0, 1)",
        "near_uniform(0, 1)",
        "one(0, 1)",
        "near_one(0.5, 1)",
        "lograndn(0, 1)",
        "randn(0, -1)",
        "uniform(1-2, 3)",
        " uniform(0, 1)",
    ],
)
def test_other_texts_are_no_numbers(text) -> None:
    assert parse_number(text) is None


@given(ranges, st.floats(0, 1))
def test_values_have_places_on_the_scale(found, share) -> None:
    place = found.position(found.first) + share * found.span

    value = found.clip(found.value_at(place))

    assert found.position(value) == pytest.approx(place, rel=1e-6, abs=1e-6)
    assert found.contains(found.first)
    assert found.contains(found.last)
    assert not found.contains(found.first - 1)
    assert not found.contains(math.nan)


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        (tune.uniform(0, 1), Range(0, 1)),
        (tune.loguniform(1e-4, 1), Range(1e-4, 1, "log")),
        (tune.quniform(0, 1, 0.1), Range(0, 1, step=0.1)),
        (tune.randint(1, 4), Range(1, 4, is_integer=True)),
        (tune.qlograndint(16, 64, 16), Range(16, 64, "log", 16, is_integer=True)),
        (near_one(0.9, 0.99), Range(0.9, 0.99, "near_one")),
        (tune.randn(1, 2), Normal(1, 2)),
        (tune.qrandn(1, 2, 0.5), Normal(1, 2, 0.5)),
        (tune.choice([1, 2]), Choice([1, 2])),
        (make_choice(["s", "l"], is_ranked=True), Choice(["s", "l"], is_ranked=True)),
        (tune.grid_search([1, 2]), Grid([1, 2])),
        (tune.sample_from(lambda: 1), Unknown("sample_from")),
        ({"a": 1}, None),
        ("uniform(0, 1)", None),
    ],
)
def test_a_domain_of_ray_is_read_once(domain, expected) -> None:
    assert domain_of(domain) == expected


@pytest.mark.parametrize(
    ("domain", "first", "last", "values"),
    [
        (tune.randint(1, 4), 1, 3, [1, 2, 3]),
        (tune.qrandint(32, 128, 32), 32, 128, [32, 64, 96, 128]),
        (tune.quniform(0, 0.4, 0.2), 0, 0.4, [0, 0.2, 0.4]),
        (tune.uniform(0, 1), 0, 1, None),
    ],
)
def test_the_ends_are_values_that_can_be_drawn(domain, first, last, values) -> None:
    found = domain_of(domain)

    assert isinstance(found, Range)
    assert (found.first, found.last) == pytest.approx((first, last))
    assert (found.values() and list(found.values())) == values
    assert found.between(found.first, found.last).last == found.last


def test_a_space_is_read_back_from_its_description() -> None:
    space = {
        "rate": tune.loguniform(1e-4, 1),
        "layers": tune.choice([[{"units": tune.randint(1, 9)}] * n for n in (1, 2)]),
        "kind": tune.choice(["a", None, 3]),
        "size": make_choice(["s", "l"], is_ranked=True),
        "grid": tune.grid_search([1, 2]),
        "own": tune.sample_from(lambda: 1),
        "constant": [1, {"x": 2}],
    }

    again = read_described(describe(space))

    assert describe(again) == describe(space)
    assert again["rate"] == Range(1e-4, 1, "log")
    assert again["layers"] == Choice(
        [[{"units": Range(1, 9, is_integer=True)}] * n for n in (1, 2)]
    )
    assert domain_of(again["grid"]) == Grid([1, 2])
    assert again["size"] == Choice(["s", "l"], is_ranked=True)
    assert again["own"] == Unknown("sample_from")


@given(st.one_of(st.builds(lambda a, b: Range(a, a + b, "log"), whole, whole)))
def test_what_a_searcher_sees_is_made_for_ray(found) -> None:
    assert domain_of(make_flat(found)) == found
