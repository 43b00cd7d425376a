"""Axes: where values lie, and what the axes of a space's domains are."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tune_jobs.engine.formatting import duration, listed, number, setting, shortened, visible
from tune_jobs.engine.goal import Goal
from tune_jobs.engine.report.axes import (
    Categories,
    Linear,
    Log,
    NearOne,
    fit_linear,
    fit_values,
    other_scale,
    say_outliers,
)
from tune_jobs.engine.report.hyperparameters import find_hyperparameters

numbers = st.floats(-1e300, 1e300)


@given(st.lists(st.floats(), max_size=30), st.sampled_from(["min", "max"]))
def test_any_values_have_an_axis_on_which_each_has_a_place(values, mode) -> None:
    scale = fit_values(values, Goal("loss", mode))

    finite = sorted(value for value in values if math.isfinite(value))
    places = [scale.position(value) for value in finite]
    assert all(0 <= place <= 1 for place in places)
    assert places == sorted(places)
    assert all(-1e-6 <= place <= 1 + 1e-6 for place, _ in scale.ticks(6))


@given(numbers, numbers, st.integers(1, 10))
def test_a_linear_axis_has_a_few_labels_that_differ(one, other, most) -> None:
    low, high = sorted([one, other])
    ticks = fit_linear(low, high).ticks(most)

    assert len(ticks) <= 2 * most + 2
    assert [place for place, _ in ticks] == sorted({place for place, _ in ticks})


def test_bad_values_far_off_do_not_flatten_the_good_ones() -> None:
    scale = fit_values([0.1, 0.11, 0.12, 0.13, 0.14, 0.15, 0.16, 1e30], Goal("loss"))

    assert scale.position(0.16) - scale.position(0.1) > 0.3
    assert scale.position(1e30) == 1.0


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ([0.1, 0.2], [1e6]),
        ([0.1, 0.2, 0.3], [1e6]),
        ([0.5, 0.5, 0.5, 0.5], [1e9]),
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7], [50.0, 1e30]),
    ],
)
def test_a_failed_trial_flattens_no_axis_and_is_counted(mode, good, bad) -> None:
    sign = 1 if mode == "min" else -1
    values = [sign * value for value in (*good, *bad)]

    scale = fit_values(values, Goal("score", mode))

    places = [scale.position(sign * value) for value in good]
    assert max(places) - min(places) > 0.05 or len(set(good)) == 1
    assert all(0 < place < 1 for place in places)
    assert {scale.position(sign * value) for value in bad} == {1.0 if mode == "min" else 0.0}
    clipped = "1 outlier is clipped." if len(bad) == 1 else "2 outliers are clipped."
    assert say_outliers(values, scale) == clipped


@pytest.mark.parametrize("values", [[0.1, 0.2, 0.9], [1.0, 3.0], [5.0], [0.1, 0.1, 0.2, 0.3]])
def test_few_ordinary_values_are_all_inside(values) -> None:
    assert say_outliers(values, fit_values(values, Goal("loss"))) == ""


@pytest.mark.parametrize(
    ("values", "kind"),
    [([0.1, 0.2, 0.5], Log), ([0.001, 0.1, 0.5], Linear), ([-1.0, 2.0], None), ([1.0, 1.1], None)],
)
def test_an_axis_has_another_scale_where_that_shows_more(values, kind) -> None:
    scale = fit_values(values, Goal("loss"))
    other = other_scale(scale, values)

    assert type(other) is (type(None) if kind is None else kind)
    assert other is None or all(0 <= other.position(value) <= 1 for value in values)


@pytest.mark.parametrize(
    ("domain", "values", "expected"),
    [
        ("loguniform(0.0001, 0.1)", [0.001, 0.01], Log(0.0001, 0.1)),
        ("near_one(0.9, 0.999)", [0.95, 0.99], NearOne(0.9, 0.999)),
        ("uniform(-1, 1)", [0.0, 0.5], Linear(-1.0, 1.0)),
        ("randint(1, 101)", [3, 40], Linear(1.0, 100.0, is_whole=True)),
        ("qloguniform(1, 64, 1)", [4.0, 16.0], Log(1.0, 64.0)),
        ({"choice": [64, 8, 16]}, [16, 64], Categories(("8", "16", "64"))),
        ({"choice": [False, True, None]}, [True, None], Categories(("no", "none", "yes"))),
        ({"grid_search": ["a", "b"]}, ["b", "b"], Categories(("a", "b"))),
    ],
)
def test_a_domain_decides_its_axis(domain, values, expected) -> None:
    configs = {trial: {"x": value} for trial, value in enumerate(values)}

    (found,) = find_hyperparameters({"x": domain}, configs)

    assert found.scale == expected


def test_conditional_hyperparameters_are_found_in_every_branch_and_constants_are_not() -> None:
    space = {
        "optimizer": {
            "choice": [
                {"name": "adam", "rate": "loguniform(0.001, 0.1)"},
                {"name": "sgd", "rate": "loguniform(0.01, 1)", "momentum": {"choice": [0.0, 0.9]}},
            ]
        },
        "patience": 8,
    }
    configs = {
        1: {"optimizer.name": "adam", "optimizer.rate": 0.01, "patience": 8},
        2: {"optimizer.name": "adam", "optimizer.rate": 0.02, "patience": 8},
    }

    found = {h.name: h for h in find_hyperparameters(space, configs)}

    assert found.keys() == {"optimizer.name", "optimizer.rate"}
    assert found["optimizer.rate"].scale == Log(0.001, 1.0)
    assert found["optimizer.name"].scale == Categories(("adam", "sgd"))


@pytest.mark.parametrize(
    "values",
    [[1, "one", None], [10**400, 1], [math.inf, 1.0], [math.nan, 2.0], [[], {}], [True, 1]],
    ids=str,
)
def test_values_that_are_no_finite_numbers_are_categories(values) -> None:
    configs = {trial: {"x": value} for trial, value in enumerate(values)}

    (found,) = find_hyperparameters(None, configs)

    assert isinstance(found.scale, Categories)
    assert len({found.scale.position(value) for value in values}) == len(found.scale.labels)


def test_of_very_many_texts_the_most_frequent_have_a_place_of_their_own() -> None:
    values = ["often"] * 5 + [f"once {index}" for index in range(100)]

    (found,) = find_hyperparameters(None, {trial: {"x": v} for trial, v in enumerate(values)})

    assert isinstance(found.scale, Categories)
    assert len(found.scale.labels) == 12
    assert found.scale.labels[0] == "often"
    assert found.scale.position("once 99") == found.scale.position("unseen")


def test_numbers_and_times_are_short() -> None:
    assert [number(v) for v in (0.01234567, 1.5e-7, 12345, 1e22, math.nan, -(10**400))] == [
        "0.01235",
        "1.5e-7",
        "12,345",
        "1e22",
        "\N{EN DASH}",
        "-∞",
    ]
    assert [duration(s) for s in (8.123, 720, 12_000, 400_000)] == [
        "8.12 s",
        "12 min",
        "3 h 20 min",
        "4.6 days",
    ]
    assert [setting(v) for v in (True, None, 1e-8, "", [{"a": 1}])] == [
        "yes",
        "none",
        "1e-8",
        "''",
        "[1]",
    ]
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert shortened("a" * 100, 11) == "aaaaa…aaaaa"


def test_what_would_act_rather_than_show_is_shown() -> None:
    assert visible("a\x00b\u202ec\ud800d") == "a�b�c�d"
