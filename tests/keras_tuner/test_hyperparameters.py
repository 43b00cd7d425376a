"""The object that ``build(hp)`` asks, alone."""

import pickle

import numpy as np
import pytest

from tune_jobs.engine import JobError
from tune_jobs.keras_tuner.hyperparameters import HyperParameters


def test_a_first_call_declares_and_returns_the_default():
    hp = HyperParameters()

    assert hp.Int("units", 32, 256, step=32) == 32
    assert hp.Int("layers", 1, 3, default=2) == 2
    assert hp.Float("rate", 1e-4, 1e-2, sampling="LOG") == 1e-4
    assert hp.Choice("activation", ["relu", "tanh"]) == "relu"
    assert hp.Choice("width", [8, 16], default=16) == 16
    assert hp.Boolean("dropout") is False
    assert hp.Fixed("epochs", 5) == 5
    assert [declared.name for declared in hp.space] == list(hp.values)


def test_a_later_call_returns_the_value_and_the_first_declaration_stays():
    hp = HyperParameters()
    hp.Int("units", 32, 256)
    hp.values["units"] = 100

    assert hp.Int("units", 1, 2) == 100
    assert hp.get("units") == hp["units"] == 100
    assert hp.space[0].max_value == 256


def test_values_of_each_kind():
    hp = HyperParameters()
    hp.Int("units", 32, 130, step=32)
    hp.Int("power", 2, 20, step=2, sampling="log")
    hp.Float("dropout", 0, 0.5, step=0.1)
    hp.Float("decay", 1e-4, 1e-1, step=10, sampling="log")
    hp.Float("late", 1, 4, step=2, sampling="reverse_log")
    hp.Float("rate", 0, 1)
    found = {declared.name: declared.values for declared in hp.space}

    assert list(found["units"]) == [32, 64, 96, 128]
    assert list(found["power"]) == [2, 4, 8, 16]
    assert list(found["dropout"]) == [0, 0.1, 0.2, 0.3, 0.4, 0.5]
    assert list(found["decay"]) == [1e-4, 1e-3, 1e-2, 1e-1]
    assert list(found["late"]) == [1, 3, 4]
    assert found["rate"] is None


def test_inside_a_scope_that_is_not_taken_the_answer_is_none():
    hp = HyperParameters()
    hp.Choice("model", ["mlp", "cnn"])
    with hp.conditional_scope("model", ["cnn"]):
        assert hp.Int("filters", 8, 64) is None
        assert not hp.is_active("filters")
    with hp.conditional_scope("model", "mlp"):
        assert hp.Int("units", 8, 64) == 8

    assert hp.values == {"model": "mlp", "units": 8}
    assert [declared.name for declared in hp.space] == ["model", "filters", "units"]
    with pytest.raises(JobError, match="'filters' is not active"):
        hp.get("filters")


def test_a_scope_in_a_scope_needs_both():
    hp = HyperParameters()
    hp.Choice("model", ["mlp", "cnn"])
    with hp.conditional_scope("model", ["mlp"]):
        hp.Boolean("dropout")
        with hp.conditional_scope("dropout", [True]):
            hp.Float("rate", 0.1, 0.5)
    on = hp.with_values({"model": "mlp", "dropout": True})
    elsewhere = hp.with_values({"model": "cnn", "dropout": True})

    assert [hp.is_active("rate"), on.is_active("rate"), elsewhere.is_active("rate")] == [
        False,
        True,
        False,
    ]


def test_one_name_in_two_scopes_has_the_domain_of_the_scope_that_is_taken():
    hp = HyperParameters().with_values({"optimizer": "sgd"})
    hp.Choice("optimizer", ["adam", "sgd"])
    with hp.conditional_scope("optimizer", "adam"):
        assert hp.Float("rate", 1e-5, 1e-2) is None
    with hp.conditional_scope("optimizer", "sgd"):
        assert hp.Float("rate", 1e-2, 1) == 1e-2

    assert len(hp.space) == 3


def test_name_scopes_stand_before_names_and_parents():
    hp = HyperParameters()
    with hp.name_scope("encoder"), hp.name_scope("first"):
        hp.Choice("kind", ["a", "b"])
        hp.Int("units", 1, 5, parent_name="kind", parent_values=["a"])
        assert hp.get("units") == 1

    assert list(hp.values) == ["encoder/first/kind", "encoder/first/units"]
    assert hp.space[1].conditions[0].name == "encoder/first/kind"
    assert "encoder/first/units" in hp
    assert "units" not in hp


def test_what_was_there_before_overrides_what_build_declares():
    given = HyperParameters()
    given.Fixed("rate", 0.5)
    given.Int("units", 1, 3, default=2)
    hp = given.copy()

    assert hp.Float("rate", 0, 0.1) == 0.5
    assert hp.Int("units", 32, 256) == 2
    assert hp.added == []


def test_a_name_that_was_not_known_is_added_with_its_default():
    known = HyperParameters()
    known.Int("units", 1, 9)
    hp = known.with_values({"units": 7})

    assert (hp.Int("units", 1, 9), hp.Int("more", 1, 9)) == (7, 1)
    assert [declared.name for declared in hp.added] == ["more"]
    assert hp.asked == ["units", "more"]


def test_merge_replaces_unless_it_is_said_otherwise():
    one, other = HyperParameters(), HyperParameters()
    one.Int("units", 1, 9)
    other.Int("units", 20, 30)
    other.Boolean("dropout", default=True)
    kept = one.copy()
    kept.merge(other, overwrite=False)
    one.merge(other)

    assert kept.values == {"units": 1, "dropout": True}
    assert one.values == {"units": 20, "dropout": True}


def test_a_config_is_read_back():
    hp = HyperParameters()
    hp.Choice("model", ["mlp", "cnn"], ordered=False, default="cnn")
    with hp.conditional_scope("model", ["cnn"]):
        hp.Int("filters", 8, 64, step=8, default=16)
        hp.Float("rate", 1e-4, 1, sampling="log")
    hp.Boolean("dropout", default=True)
    hp.Fixed("epochs", 3)
    again = HyperParameters.from_config(hp.get_config())

    assert (again.space, again.values) == (hp.space, hp.values)
    assert pickle.loads(pickle.dumps(hp)).space == hp.space
    assert hp.copy().get_config() == hp.get_config()


def test_numbers_of_numpy_become_pythons():
    hp = HyperParameters()
    hp.Choice("width", np.array([8, 16]))
    hp.Int("units", np.int64(2), np.int32(4), step=np.int16(2))

    assert [type(value) for value in hp.values.values()] == [int, int]


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda hp: hp.Int("n", 5, 2), "n: min_value must not be above max_value, got 5 and 2"),
        (lambda hp: hp.Int("n", 1.5, 2), "n: min_value must be an integer, got 1.5"),
        (lambda hp: hp.Int("n", 1, "9"), "n: max_value must be a number, got '9'"),
        (lambda hp: hp.Int("n", 1, 9, step=0), "n: step must be above 0, got 0"),
        (
            lambda hp: hp.Float("r", 0, 1, sampling="log"),
            "r: with sampling 'log' min_value must be above 0, got 0.0",
        ),
        (
            lambda hp: hp.Float("r", 0.1, 1, step=0.1, sampling="log"),
            "r: with sampling 'log' values are multiplied by step, which must be above 1, got 0.1",
        ),
        (
            lambda hp: hp.Float("r", 0, 1, sampling="logarithmic"),
            "r: sampling must be one of linear, log, reverse_log, got 'logarithmic'",
        ),
        (
            lambda hp: hp.Choice("c", []),
            r"c: a Choice must have a list of at least one value, got \[\]",
        ),
        (
            lambda hp: hp.Choice("c", [1, "a"]),
            "c: the values of a Choice must be of one type, got int, str",
        ),
        (
            lambda hp: hp.Choice("c", [[1, 2]]),
            r"c: a value must be an int, float, str or bool, got \[1, 2\]",
        ),
        (
            lambda hp: hp.Choice("c", [1, 2], default=3),
            r"c: the default must be one of \[1, 2\], got 3",
        ),
        (lambda hp: hp.Boolean("b", default="yes"), "b: the default must be True or False"),
        (
            lambda hp: hp.Fixed("f", None),
            "f: a value must be an int, float, str or bool, got None",
        ),
        (
            lambda hp: hp.Int("", 1, 2),
            "the name of a hyperparameter must be a non-empty text, got ''",
        ),
        (
            lambda hp: hp.Int("n", 1, 2, parent_name="kind", parent_values=["a"]),
            "conditional_scope: there is no hyperparameter 'kind' yet; declared: none",
        ),
    ],
)
def test_a_mistake_is_one_line(declare, message):
    with pytest.raises(JobError, match=message) as raised:
        declare(HyperParameters())

    assert "\n" not in str(raised.value)


def test_an_unknown_name_is_a_key_error():
    with pytest.raises(KeyError, match="there is no hyperparameter 'units'; declared: none"):
        HyperParameters().get("units")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"space": []}, "hyperparameters must have 'space' and 'values', got"),
        (
            {"space": [{"class_name": "Normal", "config": {}}], "values": {}},
            "a hyperparameter must be Int, Float, Choice, Boolean, Fixed with its facts, got",
        ),
        (
            {"space": [{"class_name": "Int", "config": {"name": "n"}}], "values": {}},
            "a hyperparameter must be Int, Float, Choice, Boolean, Fixed with its facts, got",
        ),
    ],
)
def test_a_config_of_another_form_is_refused(config, message):
    with pytest.raises(JobError, match=message):
        HyperParameters.from_config(config)


def test_a_config_that_keras_tuner_wrote_is_read():
    facts = {"name": "units", "default": None, "conditions": [], "min_value": 8, "max_value": 32}
    parent = {"class_name": "Parent", "config": {"name": "units", "values": [8, 16]}}
    other = {"name": "more", "default": True, "conditions": [parent]}
    config = {
        "space": [
            {"class_name": "Int", "config": facts | {"step": 8, "sampling": "linear"}},
            {"class_name": "Boolean", "config": other},
        ],
        "values": {"units": 16, "more": False},
    }
    hp = HyperParameters.from_config(config)

    assert hp.values == {"units": 16, "more": False}
    assert hp.space[0].default == 8
    assert hp.is_active("more")
    assert not hp.with_values({"units": 32}).is_active("more")
