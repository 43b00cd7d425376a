"""What a ``build`` declares, found by calling it."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.keras_tuner.programs import run, with_ifs
from tune_jobs.engine import JobError
from tune_jobs.engine.space.coordinates import Coordinates
from tune_jobs.keras_tuner.conversion import to_space, values_of
from tune_jobs.keras_tuner.declarations import Condition
from tune_jobs.keras_tuner.hyperparameters import HyperParameters
from tune_jobs.keras_tuner.probing import find_space


def counted(build):
    calls = []

    def call(hp):
        calls.append(dict(hp.values))
        return build(hp)

    call.calls = calls
    return call


def check_draws(build, hp, count=60):
    """Build asks for exactly what each config has."""
    coordinates = Coordinates(to_space(hp))
    for row in coordinates.draw(count, np.random.default_rng(1)):
        values = values_of(coordinates.config_of(row))
        seen = hp.with_values(values)
        build(seen)
        assert set(seen.asked) == set(values)
        assert seen.added == []


def test_two_calls_are_enough_for_a_space_without_conditions():
    @counted
    def build(hp):
        hp.Int("units", 32, 64, step=32)
        hp.Float("rate", 1e-4, 1e-2, sampling="log")
        hp.Boolean("dropout")

    hp = find_space(build)

    assert [declared.name for declared in hp.space] == ["units", "rate", "dropout"]
    assert hp.values == {"units": 32, "rate": 1e-4, "dropout": False}
    assert hp.found == {}
    assert len(build.calls) == 2 + 3 + 2  # each alone; two checks with random values


def test_a_loop_makes_each_layer_active_from_its_number_of_layers_on():
    @counted
    def build(hp):
        for layer in range(hp.Int("layers", 1, 5)):
            hp.Int(f"units_{layer}", 32, 512, step=32)
        hp.Choice("rate", [1e-2, 1e-3, 1e-4])

    hp = find_space(build)

    assert hp.found == {
        f"units_{n}": (Condition("layers", tuple(range(n + 1, 6))),) for n in range(1, 5)
    }
    assert [column.label for column in Coordinates(to_space(hp)).columns] == [
        "layers",
        *(f"layers.{n}.units_{n}" for n in range(1, 5)),
        "units_0",
        "rate",
    ]
    check_draws(build, hp)
    assert len(build.calls) < 60 + 25  # 60 are the draws


def test_a_condition_inside_a_loop():
    def build(hp):
        for layer in range(hp.Int("layers", 1, 3)):
            hp.Int(f"units_{layer}", 32, 512, step=32)
            if hp.Boolean(f"dropout_{layer}"):
                hp.Float(f"rate_{layer}", 0.1, 0.5)
        if hp.Choice("optimizer", ["adam", "sgd"]) == "sgd":
            hp.Float("momentum", 0, 0.9)

    hp = find_space(build)

    assert hp.found["momentum"] == (Condition("optimizer", ("sgd",)),)
    assert hp.found["rate_2"] == (Condition("dropout_2", (True,)),)
    assert hp.found["dropout_2"] == (Condition("layers", (3,)),)
    check_draws(build, hp)


def test_two_conditions_at_once():
    def build(hp):
        one = hp.Choice("one", ["a", "b", "c"])
        other = hp.Int("other", 0, 2)
        if one != "b" and other == 2:
            hp.Int("both", 1, 3)
        hp.Choice("more", ["x", "y", "z"])

    hp = find_space(build, calls=200)

    assert set(hp.found["both"]) == {Condition("one", ("a", "c")), Condition("other", (2,))}
    check_draws(build, hp)


def test_a_threshold_among_many_values_is_found_exactly():
    @counted
    def build(hp):
        if hp.Int("depth", 1, 200) > 123:
            hp.Boolean("residual")

    hp = find_space(build)

    assert hp.found["residual"] == (Condition("depth", tuple(range(124, 201))),)
    assert len(build.calls) < 25


def test_an_alternative_is_always_active():
    def build(hp):
        one, other = hp.Boolean("one"), hp.Boolean("other")
        if one or other:
            hp.Int("either", 1, 3)

    hp = find_space(build)

    assert hp.found == {}
    assert [declared.name for declared in hp.space] == ["one", "other", "either"]


def test_what_depends_on_a_number_without_steps_is_always_active():
    def build(hp):
        if hp.Float("dropout", 0, 0.5) > 0:
            hp.Boolean("spatial")

    hp = find_space(build)

    assert hp.found == {}
    assert len(hp.space) == 2


def test_scopes_inside_scopes_are_all_reached():
    def build(hp):
        kind = hp.Choice("kind", ["linear", "mlp", "cnn"])
        with hp.conditional_scope("kind", ["cnn"]):
            if kind == "cnn":
                pooling = hp.Choice("pooling", ["max", "mean", "none"])
                with hp.conditional_scope("pooling", ["max", "mean"]):
                    if pooling in ("max", "mean"):
                        with hp.name_scope("pool"):
                            hp.Int("size", 2, 4)
        with hp.conditional_scope("kind", ["mlp"]):
            if kind == "mlp":
                hp.Int("units", 8, 16)

    hp = find_space(build)

    assert [each.name for each in hp.space] == ["kind", "units", "pooling", "pool/size"]
    assert hp.found == {}
    check_draws(build, hp)


def test_a_scope_of_one_among_many_values_is_reached():
    def build(hp):
        depth = hp.Int("depth", 1, 100)
        with hp.conditional_scope("depth", [37]):
            if depth == 37:
                hp.Boolean("lucky")
            hp.Int("seen", 1, 2)

    hp = find_space(build)

    assert [each.name for each in hp.space] == ["depth", "seen", "lucky"]


@settings(max_examples=15, deadline=None)
@given(with_ifs, st.integers(0, 10))
def test_nothing_that_build_asks_for_is_left_out(program, seed):
    def build(hp):
        run(program, hp)

    hp = find_space(build, calls=300, seed=seed)
    known = {each.name for each in hp.space}

    coordinates = Coordinates(to_space(hp))
    for row in coordinates.draw(30, np.random.default_rng(seed)):
        values = values_of(coordinates.config_of(row))
        seen = hp.with_values(values)
        build(seen)
        assert set(seen.asked) & known <= set(values)


def test_what_the_user_declared_overrides_build():
    def build(hp):
        hp.Float("rate", 1e-5, 1e-1)
        hp.Int("units", 1, 9)

    given_by_user = HyperParameters()
    given_by_user.Fixed("rate", 0.01)
    hp = find_space(build, given_by_user)

    assert to_space(hp).keys() == {"rate", "units"}
    assert to_space(hp)["rate"] == 0.01


def test_what_is_not_declared_by_the_user_is_not_tuned():
    def build(hp):
        hp.Float("rate", 1e-5, 1e-1)
        hp.Int("units", 1, 9)

    given_by_user = HyperParameters()
    given_by_user.Choice("rate", [0.1, 0.2])
    hp = find_space(build, given_by_user, tune_new=False)

    assert to_space(hp).keys() == {"rate"}
    with pytest.raises(JobError, match="build declares 'units', which hyperparameters does not"):
        find_space(build, given_by_user, allow_new=False)


def test_a_value_with_which_build_fails_hides_nothing():
    def build(hp):
        pools = hp.Int("pools", 1, 4)
        if pools == 4:
            raise ValueError("the image is too small")
        if hp.Boolean("dense"):
            hp.Int("units", 8, 16)

    hp = find_space(build)

    assert hp.found == {"units": (Condition("dense", (True,)),)}


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda _: None, "build declares no hyperparameter to tune"),
        (lambda hp: hp.Fixed("rate", 0.1), "build declares no hyperparameter to tune"),
        (
            lambda hp: hp.Int("units", 4, 8) / 0,
            r"build fails with the defaults \(units=4\): ZeroDivisionError: division by zero",
        ),
    ],
)
def test_a_mistake_is_one_line(build, message):
    with pytest.raises(JobError, match=message) as raised:
        find_space(build)

    assert "\n" not in str(raised.value)


def test_calls_and_seconds_are_bounded():
    @counted
    def build(hp):
        for layer in range(hp.Int("layers", 1, 50)):
            hp.Int(f"units_{layer}", 1, 9)

    started = time.monotonic()
    find_space(build, calls=10)
    find_space(build, seconds=0.0)

    assert len(build.calls) <= 11
    assert time.monotonic() - started < 10


def test_what_build_prints_is_shown_once(capsys):
    def build(hp):
        hp.Int("units", 1, 3)
        print("built")

    find_space(build)

    assert capsys.readouterr().out == "built\n"


def test_what_appears_in_mid_search_joins_the_space():
    def build(hp):
        one, other = hp.Int("one", 1, 500), hp.Int("other", 1, 500)
        if one == 123 and other == 321:
            hp.Int("rare", 1, 3)

    hp = find_space(build)
    seen = hp.with_values({"one": 123, "other": 321})
    build(seen)
    grown = hp.joined(seen.added)

    assert "rare" not in to_space(hp)
    assert "rare" in to_space(grown)


def test_what_changes_nothing_of_the_model_is_found():
    import keras

    def build(hp):
        hp.Int("batch_size", 16, 64, step=16)
        rate = hp.Float("rate", 1e-4, 1e-2, sampling="log")
        model = keras.Sequential([keras.Input((4,))])
        if hp.Boolean("dropout"):
            model.add(keras.layers.Dropout(hp.Float("share", 0.1, 0.5)))
        model.add(keras.layers.Dense(hp.Int("units", 2, 8), activation="relu"))
        model.compile(keras.optimizers.Adam(rate), loss="mse")
        return model

    hp = find_space(build)

    assert hp.unread == ["batch_size"]
    assert hp.found == {"share": (Condition("dropout", (True,)),)}


def test_nothing_is_said_of_a_model_with_functions_of_the_program():
    import keras

    def build(hp):
        gamma = hp.Float("gamma", 1, 2)
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        model.compile("sgd", loss=lambda y, p: keras.ops.mean(abs(y - p) ** gamma))
        return model

    assert find_space(build).unread == []
