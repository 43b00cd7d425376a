"""Where to search next: one answer of what narrows, what widens, and what stays."""

import pytest
from ray import tune

from tune_jobs.engine.analysis.advice import BEST_AT_BOUNDS, advise, warnings_of
from tune_jobs.engine.analysis.importance import Effect
from tune_jobs.engine.analysis.narrow_space import narrow
from tune_jobs.engine.analysis.observed import name_option
from tune_jobs.engine.space.domains import Choice, Range
from tune_jobs.engine.space.notation import describe, read_described

OPTIMIZER = {
    "optimizer": tune.choice(
        [
            {"name": "adam", "rate": tune.loguniform(1e-4, 1e-1)},
            {"name": "sgd", "rate": tune.loguniform(1e-3, 1)},
        ]
    )
}
CLEAR, NOISE = Effect("x", 0.5, 0.001, is_noise=False), Effect("x", 0.0, 0.9, is_noise=True)


def spread(best: list[float], others: int = 20) -> list[dict]:
    """Configs of x: the best, then others all over the range from 0 to 1."""
    return [{"x": value} for value in [*best, *(place / (others - 1) for place in range(others))]]


MIDDLE = [0.4, 0.45, 0.5, 0.42, 0.48, 0.44, 0.46]
TOP = [0.96, 0.97, 0.98, 0.99, 1.0, 0.965, 0.975]
CROWDED = "7 of the 10 best have x within 5 % of the upper bound 1: widen it"


@pytest.mark.parametrize(
    ("best", "effects", "sentence"),
    [
        (MIDDLE, [CLEAR], "search next: 0.35 to 0.55; the best 7 of 27 lie in 0.4 .. 0.5"),
        (MIDDLE, [NOISE], "no clear effect: keep it"),
        (MIDDLE, [], "no clear effect: keep it"),
        ([0.0, 1.0, 0.5, 0.2, 0.7, 0.9, 0.1], [CLEAR], "good trials all over it: keep it"),
        (
            TOP,
            [CLEAR],
            f"{CROWDED}; search next: 0.91 to 1; the best 7 of 27 lie in 0.96 .. 1",
        ),
        (TOP, [], CROWDED),
        (TOP, [NOISE], "no clear effect: keep it"),
    ],
)
def test_a_reader_is_told_to_narrow_widen_or_keep(best, effects, sentence) -> None:
    (found,) = advise({"x": tune.uniform(0, 1)}, spread(best), effects=effects)

    assert found.sentence == sentence


def test_few_trials_say_nothing_but_that_they_crowd_at_a_bound() -> None:
    space = {"x": tune.uniform(0, 1)}

    (middle,) = advise(space, spread(MIDDLE, others=2), effects=[CLEAR])
    (top,) = advise(space, spread(TOP, others=2), effects=[CLEAR])

    assert middle.sentence == "too few trials to say where to search next"
    assert top.sentence == "7 of the 8 best have x within 5 % of the upper bound 1: widen it"


@pytest.mark.parametrize("effects", [[], [CLEAR], [NOISE]])
def test_a_stage_narrows_by_the_same_answer_whatever_the_effect(effects) -> None:
    space, ranked = {"x": tune.uniform(0, 1)}, spread(MIDDLE)

    (found,) = advise(space, ranked, effects=effects)
    narrower, lines = narrow(space, ranked, keep=0.25)

    assert found.narrower is not None
    assert found.narrower.domain == Range(0.35, 0.55)
    assert (narrower["x"].lower, narrower["x"].upper) == (0.35, 0.55)
    assert (
        lines == found.changes == ["x 0 .. 1 -> 0.35 .. 0.55: the best 7 of 27 lie in 0.4 .. 0.5"]
    )
    assert found.next_range == (Range(0.35, 0.55) if effects == [CLEAR] else None)


def test_a_described_space_has_the_same_answer_as_the_space() -> None:
    ranked = [{"optimizer": {"name": "adam", "rate": 0.01 + n / 1000}} for n in range(10)]
    ranked += [{"optimizer": {"name": "sgd", "rate": 0.5}}] * 30

    found = advise(OPTIMIZER, ranked)

    assert advise(read_described(describe(OPTIMIZER)), ranked) == found


def test_an_option_is_named_by_what_configs_show_of_it() -> None:
    ranked = [{"optimizer": {"name": "adam", "rate": 0.01 + n / 1000}} for n in range(10)]
    ranked += [{"optimizer": {"name": "sgd", "rate": 0.5}}] * 30
    effects = [Effect("optimizer.name", 0.5, 0.001, is_noise=False)]

    choice, adam, sgd = advise(OPTIMIZER, ranked, effects=effects)

    assert choice.names == ("optimizer", "optimizer.name")
    assert choice.sentence == (
        "search next: without 'sgd'; none of the best 10 of 40 has it, 30 were tried"
    )
    assert [(each.names, each.branches) for each in (adam, sgd)] == [
        (("optimizer.rate",), ("'adam'",)),
        (("optimizer.rate",), ("'sgd'",)),
    ]
    assert sgd.sentence == "too few trials to say where to search next"


def test_equal_configs_count_once_at_a_bound() -> None:
    ranked = [{"x": 0.99}] * 12 + spread(MIDDLE)

    assert warnings_of(advise({"x": tune.uniform(0, 1)}, ranked)) == []
    assert BEST_AT_BOUNDS < 12


def test_a_warning_of_a_layer_that_many_branches_share_is_written_once() -> None:
    layer = {"units": tune.uniform(0, 1)}
    space = {"net": tune.choice([{"a": 1, "layer": layer}, {"b": 1, "layer": layer}])}
    ranked = [{"net": {"ab"[n % 2]: 1, "layer": {"units": 0.99 + n / 10_000}}} for n in range(12)]

    (warning,) = warnings_of(advise(space, ranked))

    assert warning.startswith("10 of the 10 best have net.layer.units within 5 % of the upper")


def test_a_branch_that_is_a_range_is_named_as_its_code() -> None:
    choice = Choice([0.0, Range(0.9, 0.999, spacing="near_one")])

    assert [name_option(choice, place) for place in (0, 1)] == ["0.0", "near_one(0.9, 0.999)"]


def test_options_of_constants_are_known_by_the_names_that_a_config_shows() -> None:
    space = {"decay": tune.choice([{"name": "none"}, {"name": "step", "rate": 0.5}])}
    (found,) = advise(space, [{"decay": {"name": "none"}}] * 20)

    assert found.names == ("decay", "decay.name", "decay.rate")
