"""Models of a fit: their first values, and variables that are made when they are first read."""

import copy
from contextlib import nullcontext
from functools import partial
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import layers

from trainables import image_cnn, tabular_mlp
from trainables.fitting import fit
from trainables.fitting.compiled.keras_internals import (
    forget_names,
    give_value,
    layers_called_once,
    value_of,
    variables_late,
)
from trainables.fitting.models import build_replicas, build_with_seed

ROWS, VALIDATION = 70, 30

MLP = {"input_shape": (6,), "task": "binary", "outputs": 1, "rows": 70, "batch_normalisation": True}
MLP["layers"] = [{"units": 8, "dropout": 0.2}, {"units": 4}]
CNN = {"input_shape": (8, 8, 1), "task": "multiclass", "outputs": 3, "rows": 70}
CNN |= {"blocks": [{"filters": 4, "kernel_size": 3}], "dense_units": 4}


def make_data():
    random = np.random.default_rng(0)
    x = random.normal(size=(ROWS + VALIDATION, 6)).astype("float32")
    y = random.integers(0, 2, ROWS + VALIDATION).astype("float32")
    arrays = {"x_train": x[:ROWS], "y_train": y[:ROWS]}
    return SimpleNamespace(**arrays, x_validation=x[ROWS:], y_validation=y[ROWS:])


class Counting(keras.initializers.Initializer):
    """An initializer whose values are others in each call."""

    calls = 0

    def __call__(self, shape, dtype=None):
        Counting.calls += 1
        return np.full(shape, Counting.calls, dtype)

    def get_config(self):
        return {}


def build_many():
    """A model of all that draws its first values, or does not."""
    generator = keras.random.SeedGenerator(3)
    inputs = keras.Input((5, 4))
    tensor = layers.LSTM(3, return_sequences=True)(inputs)
    tensor = layers.MultiHeadAttention(2, 3, dropout=0.1)(tensor, tensor)
    tensor = layers.BatchNormalization()(layers.Conv1D(4, 2)(tensor))
    tensor = layers.Dropout(0.3)(layers.Flatten()(tensor))
    for initializer in ("orthogonal", "lecun_normal", keras.initializers.Constant(0.3)):
        tensor = layers.Dense(4, kernel_initializer=initializer)(tensor)
    for seed in (generator, generator):  # which gives other values in each call
        initializer = keras.initializers.RandomNormal(seed=seed)
        tensor = layers.Dense(4, kernel_initializer=initializer)(tensor)
    tensor = layers.Dense(4, kernel_initializer=Counting(), bias_initializer=Counting())(tensor)
    model = keras.Model(inputs, layers.Dense(1)(tensor))
    model.layers[-1].set_weights([np.full((4, 1), 7.0), np.ones(1)])
    model.compile("adam", "mean_squared_error")
    return model


def build_grown():
    """A sequential model whose layers are added one by one, another model among them."""
    inner = keras.Sequential([keras.Input((4, 3)), layers.Dense(3)])
    inner.add(layers.Dropout(0.2))
    model = keras.Sequential([keras.Input((5, 2)), layers.Conv1D(4, 2)])
    model.add(layers.LSTM(3, return_sequences=True))
    assert (model.built, model.output_shape, len(model.layers[-1].get_weights())) == (
        *(True, (None, 4, 3)),
        3,
    )
    model.add(layers.Dense(9))
    model.pop()
    model.add(inner)
    model.add(layers.Flatten())
    dense = layers.Dense(4)
    model.add(dense)
    dense.set_weights([np.full((12, 4), 0.5), np.ones(4)])
    model.add(layers.Dense(1, kernel_regularizer="l2"))
    model.compile("adam", "mean_squared_error")
    return model


def compile_dense():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    model.compile("adam", "mean_squared_error")
    return model


@pytest.mark.parametrize(
    "build",
    [build_many, build_grown, partial(tabular_mlp.build, MLP), partial(image_cnn.build, CNN)],
)
def test_first_values_are_bit_for_bit_those_of_a_model_with_ordinary_variables(build):
    def fresh():
        Counting.calls = 0
        forget_names()
        return build()

    ordinary = build_with_seed(fresh, 5)
    model, (values,) = build_replicas(fresh, [5])

    for variable, same in zip(model.variables, ordinary.variables, strict=True):
        assert np.array_equal(values[id(variable)], np.asarray(same)), variable.path
        assert np.array_equal(np.asarray(variable), np.asarray(same)), variable.path
        assert type(variable) is type(same)  # since it was read
    assert [v.path for v in model.variables] == [v.path for v in ordinary.variables]
    assert model.get_config() == ordinary.get_config()
    assert model.get_build_config() == ordinary.get_build_config()
    assert [float(variable) for variable in model.optimizer.variables] == [0.0, np.float32(0.001)]


def grow(*added):
    model = keras.Sequential([keras.Input((3,))])
    for layer in added:
        model.add(layer)
    return model


def test_a_layer_of_a_growing_model_is_called_once(monkeypatch):
    called = []
    call = layers.Dense.__call__
    monkeypatch.setattr(
        layers.Dense, "__call__", lambda layer, x: [called.append(layer), call(layer, x)][1]
    )
    dense = [layers.Dense(units) for units in range(1, 7)]
    with layers_called_once():
        model = grow(*dense)
        assert len(called) == 6
        assert model.outputs == model.outputs

    assert called == dense
    assert vars(keras.Sequential).get("_functional") is None
    model.add(layers.Dense(7))
    assert len(called) == 13
    assert model(np.ones((2, 3))).shape == (2, 7)


def test_a_layer_that_cannot_follow_is_refused_where_it_is_added():
    with layers_called_once():
        model = grow(layers.Dense(2))
        with pytest.raises(ValueError, match="expected ndim=3, found ndim=2"):
            model.add(layers.LSTM(2))
        model.pop()
        model.add(layers.Dense(4))

    assert model.output_shape == (None, 4)


class Own(layers.Layer):
    def call(self, x):
        Own.calls += 1
        return x


def test_a_layer_of_ones_own_is_called_as_often_as_keras_calls_it():
    calls = []
    for block in (nullcontext, layers_called_once):
        Own.calls = 0
        with block():
            grow(layers.Dense(2), Own(), layers.Dense(2), Own(), layers.Dense(1))
        calls.append(Own.calls)

    assert calls[0] == calls[1] > 1


def test_a_compiled_fit_makes_no_variables_of_tensorflows_but_its_model_has_all(tmp_path):
    import tensorflow as tf

    made = []

    def make(next_creator, **options):
        made.append(options["name"])
        return next_creator(**options)

    config, data = MLP | {"max_epochs": 2, "batch_size": 16}, make_data()
    fit(tabular_mlp.build, config, data)  # a program makes some
    with tf.variable_creator_scope(make):
        model = fit(tabular_mlp.build, config, data)
        assert made == []

    outputs = model.predict(data.x_validation, verbose=0)
    loss = model.evaluate(data.x_validation, data.y_validation, verbose=0)[0]
    assert loss == pytest.approx(min(model.history.history["val_loss"]), rel=1e-5)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", compile=False)
    assert np.array_equal(loaded.predict(data.x_validation, verbose=0), outputs)


def test_a_late_variable_is_made_however_it_is_used():
    uses = {
        "assigned": lambda v: v.assign(np.ones((3, 2), "float32")),
        "added": lambda v: v + 1.0,
        "multiplied": lambda v: keras.ops.matmul(np.ones((1, 3), "float32"), v),
        "copied": copy.deepcopy,
        "shown": repr,
        "indexed": lambda v: v[0],
        "handled": lambda v: v.handle,
    }
    for name, use in uses.items():
        with variables_late():
            kernel = build_with_seed(compile_dense, 1).trainable_variables[0]
        first = value_of(kernel)
        assert isinstance(kernel, keras.Variable)
        assert type(kernel) is not keras.Variable, name
        use(kernel)
        assert type(kernel) is keras.Variable, name
        assert np.array_equal(kernel.numpy(), np.ones((3, 2)) if name == "assigned" else first)


def test_a_value_given_to_a_late_variable_is_its_value():
    with variables_late():
        late = keras.Variable(np.zeros(2, "float32"))
    ordinary = keras.Variable(np.zeros(2, "float32"))
    for variable in (late, ordinary):
        give_value(variable, np.array([1.0, 2.0], "float32"))
        assert value_of(variable).tolist() == np.asarray(variable).tolist() == [1.0, 2.0]


def test_a_late_variable_is_read_as_numpy_without_being_made():
    for first in (0.001, [1.0, 2.0]):
        with variables_late():
            late = keras.Variable(first)
        found, same = late.numpy(), keras.Variable(first).numpy()
        assert type(late) is not keras.Variable
        assert (type(found), found.dtype) == (type(same), same.dtype)
        assert found.tolist() == same.tolist()
        if isinstance(first, list):
            found[0] = 7.0  # nobody else's array
            assert late.numpy().tolist() == first


def test_a_variable_of_another_class_has_its_value_and_its_class_at_once():
    class Own(keras.Variable):
        pass

    with variables_late():
        made = [Own(np.ones(2, "float32")), Own("zeros", shape=(2,))]
    assert [type(each) for each in made] == [Own, Own]
    assert [value_of(each).tolist() for each in made] == [[1.0, 1.0], [0.0, 0.0]]


def test_a_variable_that_is_made_in_a_graph_or_under_a_strategy_is_an_ordinary_one():
    import tensorflow as tf

    with variables_late(), tf.distribute.OneDeviceStrategy("cpu:0").scope():
        assert type(keras.Variable(0.0)) is keras.Variable
    assert keras.Variable(1.0).numpy() == 1.0
