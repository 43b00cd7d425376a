"""KerasTuner's spaces as the engine's."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.keras_tuner.programs import run, scoped
from tune_jobs.engine.plain import plain
from tune_jobs.engine.space.checks import check_space
from tune_jobs.engine.space.coordinates import Coordinates
from tune_jobs.engine.space.grid import count_points
from tune_jobs.engine.space.membership import NotInSpaceError, from_json
from tune_jobs.engine.space.notation import describe
from tune_jobs.keras_tuner.conversion import (
    config_of,
    migration_of,
    to_space,
    values_in,
    values_of,
)
from tune_jobs.keras_tuner.declarations import Condition
from tune_jobs.keras_tuner.hyperparameters import HyperParameters


def declared(build):
    hp = HyperParameters()
    build(hp)
    return hp


def draw(space, count=30, seed=0):
    coordinates = Coordinates(space)
    rows = coordinates.draw(count, np.random.default_rng(seed))
    return [coordinates.config_of(row) for row in rows]


def can_be_drawn(hp, name, value):
    active = [each for each in hp.space if each.name == name and hp.is_active(each)]
    return any(
        isinstance(value, float) and each.min_value <= value <= each.max_value
        if each.values is None
        else value in each.values
        for each in active
    )


@settings(max_examples=150, deadline=None)
@given(scoped, st.integers(0, 2**20))
def test_what_is_drawn_is_what_build_sees(program, seed):
    hp = declared(lambda hp: run(program, hp))
    space = to_space(hp)
    check_space(space)

    for config in draw(space, 3, seed):
        values = values_of(config)
        seen = hp.with_values(values)
        run(program, seen)

        assert seen.added == []
        assert set(seen.asked) == set(values)
        assert all(can_be_drawn(seen, name, value) for name, value in values.items())
        assert from_json(space, plain(config)) == config
        assert config_of(hp, values) == config


@settings(max_examples=100, deadline=None)
@given(scoped)
def test_the_defaults_are_a_config(program):
    hp = declared(lambda hp: run(program, hp))

    values = values_of(config_of(hp))

    seen = hp.with_values(values)
    run(program, seen)
    assert set(seen.asked) == set(values)
    assert seen.added == []


def test_domains_are_those_of_ray():
    def build(hp):
        hp.Int("units", 32, 256, step=32)
        hp.Int("depth", 1, 5)
        hp.Int("width", 1, 500, sampling="log")
        hp.Float("rate", 0.005, 0.01, sampling="log")
        hp.Float("noise", 0, 1)
        hp.Float("dropout", 0, 0.5, step=0.1)
        hp.Choice("kind", ["a", "b"])
        hp.Choice("size", [16, 8])
        hp.Choice("code", [1, 2], ordered=False)
        hp.Choice("extent", ["small", "large"], ordered=True)
        hp.Boolean("bias")
        hp.Fixed("fixed", 3)
        hp.Int("only", 4, 4)

    assert describe(to_space(declared(build))) == {
        "units": {"choice": [32, 64, 96, 128, 160, 192, 224, 256]},
        "depth": "randint(1, 6)",
        "width": "lograndint(1, 501)",
        "rate": "loguniform(0.005, 0.01)",
        "noise": "uniform(0, 1)",
        "dropout": {"choice": [0, 0.1, 0.2, 0.3, 0.4, 0.5]},
        "kind": {"choice": ["a", "b"]},
        "size": {"choice": [8, 16]},
        "code": {"choice": [2, 1]},
        "extent": {"choice": ["small", "large"], "is_ranked": True},
        "bias": {"choice": [False, True]},
        "fixed": 3,
        "only": 4,
    }


def test_an_ordered_choice_of_texts_has_neighbours_that_are_alike():
    def build(hp):
        hp.Choice("plain", ["s", "m", "l"])
        hp.Choice("ranked", ["s", "m", "l"], ordered=True)
        hp.Choice("parent", ["s", "m", "l"], ordered=True)
        with hp.conditional_scope("parent", ["m"]):
            hp.Int("inner", 1, 3)

    space = to_space(declared(build))
    columns = {column.label: column for column in Coordinates(space).columns}
    assert {name: columns[name].is_ordered for name in ("plain", "ranked", "parent")} == {
        "plain": False,
        "ranked": True,
        "parent": True,
    }
    configs = draw(space, 60)
    assert {config["ranked"] for config in configs} == {"s", "m", "l"}
    assert {values_of(config)["parent"] for config in configs} == {"s", "m", "l"}
    assert config_of(declared(build), {"ranked": "l", "parent": "m"})["ranked"] == "l"


def test_a_reversed_logarithm_is_dense_near_the_upper_end():
    hp = declared(lambda hp: hp.Float("beta", 0.001, 1, sampling="reverse_log"))
    found = [config["beta"] for config in draw(to_space(hp), 300)]

    assert 0.001 <= min(found) < 0.3
    assert max(found) <= 1
    assert np.mean(np.array(found) > 0.9) == pytest.approx(2 / 3, abs=0.1)


def test_a_scope_is_a_choice_between_sub_spaces():
    def build(hp):
        hp.Choice("model", ["mlp", "cnn"])
        with hp.conditional_scope("model", ["cnn"]):
            hp.Int("filters", 8, 16, step=8)
        with hp.conditional_scope("model", ["mlp"]):
            hp.Int("units", 1, 2)

    space = to_space(declared(build))

    assert describe(space) == {
        "model": {
            "choice": [
                {"model": "mlp", "units": "randint(1, 3)"},
                {"model": "cnn", "filters": {"choice": [8, 16]}},
            ]
        }
    }
    assert count_points(space) == 4


def test_one_name_in_two_scopes_has_two_domains():
    def build(hp):
        hp.Choice("optimizer", ["adam", "sgd"])
        with hp.conditional_scope("optimizer", "adam"):
            hp.Float("rate", 1e-5, 1e-3)
        with hp.conditional_scope("optimizer", "sgd"):
            hp.Float("rate", 0.1, 1.0)

    found = [values_of(config) for config in draw(to_space(declared(build)))]

    assert {(each["optimizer"], each["rate"] < 0.01) for each in found} == {
        ("adam", True),
        ("sgd", False),
    }


def with_layers(hp):
    for layer in range(hp.Int("layers", 1, 3)):
        hp.Int(f"units_{layer}", 16, 32, step=16)
        if hp.Boolean(f"dropout_{layer}"):
            hp.Float(f"rate_{layer}", 0.1, 0.2, step=0.1)


def layers_that_were_probed():
    hp = HyperParameters().with_values({"layers": 3} | {f"dropout_{n}": True for n in range(3)})
    with_layers(hp)
    found = {f"rate_{n}": (Condition(f"dropout_{n}", (True,)),) for n in range(3)}
    for layer in (1, 2):
        own = (Condition("layers", tuple(range(layer + 1, 4))),)
        found |= {f"{kind}_{layer}": own for kind in ("units", "dropout")}
    return hp.with_found(found)


def test_layers_are_lists_of_several_lengths():
    hp = layers_that_were_probed()
    space = to_space(hp)
    columns = {column.label: column for column in Coordinates(space).columns}

    assert columns["layers"].is_ordered
    assert {"units_0", "layers.1.units_1", "layers.2.units_2"} <= columns.keys()
    assert count_points(space) == 6 + 6**2 + 6**3
    for config in draw(space, 50):
        seen = hp.with_values(values_of(config))
        with_layers(seen)
        assert set(seen.asked) == set(values_of(config))


def test_values_become_a_config_and_what_is_missing_its_default():
    hp = layers_that_were_probed()
    config = config_of(hp, {"layers": 2, "units_1": 32, "units_2": 16})

    assert values_of(config) == {
        "layers": 2,
        "units_0": 16,
        "dropout_0": False,
        "units_1": 32,
        "dropout_1": False,
    }
    assert from_json(to_space(hp), config) == config


def test_a_parent_of_many_values_has_a_sub_space_for_those_that_are_alike():
    hp = declared(lambda hp: hp.Int("depth", 1, 100))
    with hp.conditional_scope("depth", list(range(51, 101))):
        hp.Boolean("residual")
    space = to_space(hp)

    for config in draw(space, 20):
        assert from_json(space, plain(config)) == config
        assert ("residual" in values_of(config)) == (values_of(config)["depth"] > 50)
    assert values_of(config_of(hp, {"depth": 70, "residual": True})) == {
        "depth": 70,
        "residual": True,
    }
    assert values_of(config_of(hp, {"depth": 50})) == {"depth": 50}


def test_two_conditions_side_by_side_are_nested():
    def build(hp):
        hp.Boolean("one")
        hp.Boolean("other")
        with hp.conditional_scope("one", True), hp.conditional_scope("other", True):
            hp.Int("both", 1, 3)
        hp.Int("always", 1, 2)

    space = to_space(declared(build))

    assert count_points(space) == 2 * (3 + 3)


def test_conditions_that_multiply_are_left_out_if_only_probing_found_them():
    hp = HyperParameters()
    names = [f"p{number}" for number in range(14)]
    for name in names:
        hp.Boolean(name)
    pairs = list(itertools.combinations(names, 2))
    for one, other in pairs:
        hp.Int(f"{one}{other}", 1, 2)
    found = {a + b: (Condition(a, (True,)), Condition(b, (True,))) for a, b in pairs}

    assert len(to_space(hp.with_found(found))) == 14 + 91


def test_what_an_old_project_wrote_is_the_value_of_the_space():
    hp = declared(lambda hp: hp.Float("dropout", 0, 0.5, step=0.1))

    assert config_of(hp, {"dropout": 0.1 + 0.2}) == {"dropout": 0.3}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"units": 33}, r"units is 33, but must be one of 32, 64"),
        ({"units": "32"}, r"units is '32', but must be one of 32, 64"),
        ({"rate": 2.0}, r"rate is 2.0, but must come from uniform\(0, 1\)"),
        ({"rate": "high"}, r"rate is 'high', but must come from uniform\(0, 1\)"),
        ({"more": 1}, "more is not a hyperparameter of the space"),
    ],
)
def test_a_value_outside_the_space_is_refused(values, message):
    def build(hp):
        hp.Int("units", 32, 64, step=32)
        hp.Float("rate", 0, 1)

    with pytest.raises(NotInSpaceError, match=message):
        config_of(declared(build), values)


def test_a_default_between_the_steps_is_the_nearest_value():
    hp = declared(lambda hp: hp.Int("units", 32, 256, step=32, default=100))

    assert config_of(hp) == {"units": 96}


def test_a_grid_has_ten_values_of_a_range_without_a_step():
    def build(hp):
        hp.Float("noise", 0, 1)
        hp.Float("rate", 1e-4, 1, sampling="log")
        hp.Int("width", 1, 500, sampling="log")
        hp.Int("layers", 1, 12)

    found = describe(to_space(declared(build), values=10))

    assert found["noise"] == {
        "choice": [0.05, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.95]
    }
    assert found["rate"]["choice"][:2] == pytest.approx([10**-3.8, 10**-3.4])
    assert found["width"] == {"choice": [1, 2, 4, 8, 16, 30, 56, 105, 197, 367]}
    assert found["layers"] == "randint(1, 13)"


def test_names_of_the_engine_lie_one_level_down():
    def build(hp):
        hp.Int("epochs", 1, 3)
        hp.Choice("hp", ["a", "b"])
        hp.Choice("seed", [1, 2])
        with hp.conditional_scope("seed", [2]):
            hp.Int("rows", 1, 2)

    hp = declared(build)
    config = config_of(hp, {"epochs": 2, "seed": 2})

    assert config == {
        "hp": "a",
        "hp_": {"epochs": 2, "seed": [{"seed": 1}, {"seed": 2, "rows": 1}]},
    }
    assert values_in(config | {"epochs": 9, "seed": 0, "metric": "loss"}, hp) == {
        "hp": "a",
        "epochs": 2,
        "seed": 2,
        "rows": 1,
    }


def test_a_config_of_an_earlier_form_migrates():
    before = declared(lambda hp: hp.Choice("model", ["mlp", "cnn"]))

    def build(hp):
        hp.Choice("model", ["mlp", "cnn"])
        with hp.conditional_scope("model", ["cnn"]):
            hp.Int("filters", 8, 64, default=32)

    migrate = migration_of(declared(build))

    assert migrate(config_of(before, {"model": "cnn"})) == {
        "model": {"model": "cnn", "filters": 32}
    }
    assert migrate(migrate({"model": "mlp"})) == {"model": {"model": "mlp"}}
    with pytest.raises(NotInSpaceError, match="units is not a hyperparameter of the space"):
        migrate({"model": "mlp", "units": 3})


def test_a_default_of_another_type_in_another_scope_does_no_harm():
    def build(hp):
        hp.Boolean("one", default=True)
        with hp.conditional_scope("one", [True]):
            hp.Choice("kind", ["a", "b"])
            hp.Choice("size", ["small", "large"])
        hp.Int("kind", 1, 3)
        hp.Choice("size", [8, 16])

    hp = declared(build)

    assert values_of(config_of(hp)) == {"one": True, "kind": 1, "size": 8}
