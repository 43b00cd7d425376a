"""Updates of weights: those of the common optimizers are in one program, which runs the chosen."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest

from trainables import tabular_mlp
from trainables.fitting import fit
from trainables.fitting.compiled import fit as compiled
from trainables.fitting.compiled import updates
from trainables.fitting.session import Session
from trainables.fitting.task import Replica

OPTIMIZERS = [
    {"name": "sgd", "learning_rate": 0.1},
    {"name": "sgd", "learning_rate": 0.1, "momentum": 0.7},
    {"name": "sgd", "learning_rate": 0.1, "momentum": 0.7, "nesterov": True},
    {"name": "rmsprop", "rho": 0.8},
    {"name": "rmsprop", "rho": 0.8, "momentum": 0.6, "epsilon": 1e-3},
    {"name": "adam", "beta_1": 0.8, "beta_2": 0.95, "learning_rate": 0.01},
    {"name": "adamw", "weight_decay": 0.1},
    {"name": "adagrad", "initial_accumulator_value": 0.3, "learning_rate": 0.1},
    {"name": "adadelta", "rho": 0.9, "learning_rate": 0.5},
]
NAMES = [each["name"] for each in OPTIMIZERS] + ["lion"]
CONFIG = {
    "task": "binary",
    "input_shape": [6],
    "outputs": 1,
    "layers": [{"units": 8, "dropout": 0.2}],
    "batch_size": 16,
    "max_epochs": 3,
    "seed": 5,
}


def make_data(**more):
    random = np.random.default_rng(0)
    x = random.normal(size=(100, 6)).astype("float32")
    y = (x[:, 0] + random.normal(size=100) > 0).astype("float32")
    arrays = {"x_train": x[:70], "y_train": y[:70], "x_validation": x[70:], "y_validation": y[70:]}
    return SimpleNamespace(**arrays, **more)


def fit_each(optimizers, **more):
    """The histories of fits by each optimizer, and how many programs they took."""
    compiled.PROGRAMS.clear()
    data = make_data(**more)
    fits = [fit(tabular_mlp.build, CONFIG | {"optimizer": each}, data) for each in optimizers]
    return [fitted.history.history for fitted in fits], len(compiled.PROGRAMS)


@pytest.fixture
def alone(monkeypatch):
    """A function that lets every optimizer have a program of its own from then on."""
    return lambda: monkeypatch.setattr(compiled, "find_kind", lambda *_: None)


def assert_close(found, expected):
    assert len(found) == len(expected)
    for history, other in zip(found, expected, strict=True):
        for name, values in other.items():
            np.testing.assert_allclose(history[name], values, rtol=1e-5)


def test_all_common_optimizers_are_in_one_program_with_the_losses_of_their_own(alone):
    found, programs = fit_each(OPTIMIZERS)
    alone()
    expected, own = fit_each(OPTIMIZERS)

    assert (programs, own) == (1, len(updates.COMMON))
    assert len({history["loss"][-1] for history in found}) == len(OPTIMIZERS)
    assert_close(found, expected)


def test_replicas_in_step_have_the_chosen_optimizer_too(alone, monkeypatch):
    rows = []
    monkeypatch.setattr(Session, "note", lambda _, row: rows.append(row))
    chosen, replicas = [OPTIMIZERS[0], OPTIMIZERS[4]], [Replica(1), Replica(2)]
    _, programs = fit_each(chosen, replicas=replicas)
    alone()
    fit_each(chosen, replicas=replicas)

    losses = [[each["loss"] for each in row["replicas"]] for row in rows]
    assert programs == 1
    assert np.unique(losses[:6]).size == 12
    np.testing.assert_allclose(losses[:6], losses[6:], rtol=1e-5)


@pytest.mark.parametrize(
    "optimizer",
    [
        keras.optimizers.SGD(clipvalue=0.5),
        keras.optimizers.RMSprop(centered=True),
        keras.optimizers.Adam(amsgrad=True),
        keras.optimizers.Adam(weight_decay=0.1),
        keras.optimizers.Adam(beta_1=0.0),
        keras.optimizers.Lion(),
    ],
)
def test_an_optimizer_that_computes_something_else_has_a_program_of_its_own(optimizer):
    assert updates.find_kind(compiled.make_stateless(optimizer), {"x": NAMES}) is None


def test_every_common_kind_has_the_numbers_and_variables_of_the_program():
    for place in range(len(updates.COMMON)):
        optimizer = updates._make(place)
        optimizer.build([keras.Variable([0.0, 0.0])])

        assert {*updates.list_numbers(optimizer)} <= {*updates.NUMBERS}
        assert len(optimizer.variables) <= updates.MOST_SLOTS
        assert updates.find_kind(optimizer, {"x": NAMES}) == place


def test_the_check_of_the_kind_leaves_no_trace_in_the_names_of_optimizers():
    updates._describe_common.cache_clear()
    updates._trace_common.cache_clear()
    compiled.PROGRAMS.clear()
    keras.utils.clear_session()
    fit(tabular_mlp.build, CONFIG | {"max_epochs": 1, "optimizer": {"name": "adam"}}, make_data())

    assert keras.optimizers.Adam().name == "adam_1"


def test_no_choice_is_made_on_a_gpu(monkeypatch):
    import tensorflow as tf

    optimizer = compiled.make_stateless(keras.optimizers.SGD())
    assert updates.find_kind(optimizer, {"x": NAMES}) == 0
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: [kind])
    assert updates.find_kind(optimizer, {"x": NAMES}) is None


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ({"optimizer": "Adam"}, 5),
        ({"optimizer": {"name": "adam"}, "layers": [8]}, 5),
        ({"steps": [{"by": ("adam",)}]}, 5),
        ({"learning_rate": 0.1, "optimizer": "adamw"}, None),
        ({"rows": np.zeros(2), "target": "Adam's"}, None),
    ],
)
def test_an_optimizer_is_chosen_by_number_if_the_config_names_it(config, kind):
    assert updates.find_kind(compiled.make_stateless(keras.optimizers.Adam()), config) == kind
