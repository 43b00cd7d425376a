"""Configs that come back from JSON belong to their space, or are told why they do not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray import tune

from tune_jobs.engine import near_one
from tune_jobs.engine.plain import plain
from tune_jobs.engine.space import membership
from tune_jobs.engine.space.domains import domain_of
from tune_jobs.engine.space.membership import (
    NotInSpaceError,
    from_json,
    members_from_json,
    place_of,
)

BRANCHES = {"layers": tune.choice([[{"units": tune.randint(1, 9)}] * n for n in (1, 2)])}


def test_objects_of_the_space_come_back_as_objects() -> None:
    space = {"pair": tune.choice([(1, 2), (3, 4)]), "kind": tune.choice([dict, list]), "c": (5, 6)}
    stored = plain({"pair": (3, 4), "kind": list, "c": (5, 6)})

    assert from_json(space, stored)["pair"] == (3, 4)
    assert from_json(space, stored)["kind"] is list


@pytest.mark.parametrize(
    ("space", "config", "message"),
    [
        ({"x": tune.uniform(0, 1)}, {"x": 2}, r"x is 2, but must come from uniform\(0, 1\)"),
        ({"x": tune.uniform(0, 1)}, {"x": "a"}, "x is 'a'"),
        ({"x": tune.uniform(0, 1)}, {"x": float("nan")}, "x is nan"),
        ({"x": tune.randint(0, 4)}, {"x": 4}, "x is 4"),
        ({"x": tune.randint(0, 4)}, {"x": 1.5}, "x is 1.5"),
        ({"x": tune.randint(0, 4)}, {"x": True}, "x is True"),
        ({"x": tune.quniform(0, 1, 0.25)}, {"x": 0.3}, "x is 0.3, but must be a multiple of 0.25"),
        ({"x": near_one(0.9, 0.99)}, {"x": 0.5}, "x is 0.5, but must come from near_one"),
        ({"x": tune.choice([1, "a"])}, {"x": "b"}, "x is 'b', but must be one of 1, 'a'"),
        ({"x": 3}, {"x": 4}, "x is 4, but must be 3"),
        ({"x": tune.uniform(0, 1)}, {}, "x has no value"),
        ({"x": 3}, {"x": 3, "y": 4}, "y is not a hyperparameter of the space"),
        (BRANCHES, {"layers": [{"units": 3}] * 3}, "layers is .* which fits no branch"),
        ({"x": {"y": tune.uniform(0, 1)}}, {"x": 3}, "x is 3, but must be a dict"),
    ],
)
def test_a_config_outside_the_space_is_told_why(space, config, message) -> None:
    with pytest.raises(NotInSpaceError, match=message):
        from_json(space, config)


def test_a_hyperparameter_that_is_new_may_have_a_default() -> None:
    space = {"x": tune.uniform(0, 1), "o": {"a": tune.uniform(0, 1), "b": tune.choice([1, 2])}}
    assert from_json(space, {"x": 0.5, "o": {"a": 0.1}}, {"o.b": 2})["o"] == {"a": 0.1, "b": 2}
    with pytest.raises(NotInSpaceError, match=r"o\.b is 7"):
        from_json(space, {"x": 0.5, "o": {"a": 0.1}}, {"o.b": 7})


def test_a_value_comes_from_the_branch_that_gives_just_it() -> None:
    choice = tune.choice([tune.uniform(0, 9), tune.randint(0, 9), {"y": tune.uniform(0, 1)}])
    for value, branch in ((3, 1), (3.0, 0), (0.5, 0)):
        found = from_json({"x": choice}, {"x": value})["x"]
        assert (found, type(found)) == (value, type(value))
        assert place_of(domain_of(choice), value)[0] == branch


OPTIONS = st.lists(
    st.one_of(st.booleans(), st.integers(-3, 3), st.floats(), st.text("ab", max_size=2)),
    min_size=1,
    max_size=40,
)


@given(OPTIONS, st.data())
def test_an_option_of_a_long_list_is_the_first_that_is_equal(options, data) -> None:
    place = data.draw(st.integers(0, len(options) - 1))
    found = from_json({"x": tune.grid_search(options)}, plain({"x": options[place]}))["x"]

    equal = [each for each in options if is_same(each, options[place])]
    assert found is equal[0]


def is_same(one, two) -> bool:
    if isinstance(one, bool) or isinstance(two, bool) or one != one:
        return repr(one) == repr(two)
    return bool(one == two)


def test_a_thousand_configs_of_a_list_are_read_without_comparing_each_with_each(
    monkeypatch,
) -> None:
    options = [{"rate": place / 1000, "units": [place, 1]} for place in range(1000)]
    written, count = membership.plain, []
    monkeypatch.setattr(membership, "plain", lambda value: count.append(0) or written(value))

    found = members_from_json({"x": tune.grid_search(options)}, [{"x": each} for each in options])

    assert [each["x"] for each in found] == options
    assert len(count) < 10 * len(options)
