"""Layers of one's own: carried to another process, and checked before a model is saved."""

import subprocess
import sys

import keras
import numpy as np
import pytest
from ray import cloudpickle

from trainables.export import check_savable, export, load
from trainables.fitting.ends import ModelError
from trainables.registered import register, registered_in

cloudpickle.register_pickle_by_value(sys.modules[__name__])


@keras.saving.register_keras_serializable("tests")
class Half(keras.layers.Layer):
    def call(self, x):
        return x / 2


class Unknown(keras.layers.Layer):
    def call(self, x):
        return x


class Stepping(keras.Model):
    def train_step(self, data):
        return super().train_step(data)


def make_model(layer, kind=keras.Model):
    inputs = keras.Input((2,))
    model = kind(inputs, keras.layers.Dense(1)(layer(inputs)))
    model.compile("adam", loss=lambda truth, found: keras.ops.mean(truth - found))
    return model


@pytest.mark.parametrize("kind", [keras.Model, Stepping])
def test_a_model_that_can_be_read_back_is_let_through(kind, tmp_path):
    model = make_model(Half(), kind)
    check_savable(model)

    export(lambda _: model, {}, None, None, tmp_path / "best.keras")
    x = np.ones((3, 2), "float32")
    found = load(tmp_path / "best.keras")
    assert np.array_equal(found(x), model(x))
    assert getattr(found, "optimizer", None) is None


@pytest.mark.parametrize(
    ("make_layer", "message"),
    [
        (lambda: keras.layers.Lambda(lambda x: 2 * x), "the model has a Lambda layer with Python"),
        (Unknown, "could not be read from its file: 'Unknown' of module .* is not registered"),
    ],
)
def test_a_model_that_cannot_be_read_back_is_named(make_layer, message):
    with pytest.raises(ModelError, match=message):
        check_savable(make_model(make_layer()))


READ = """
import sys
from ray import cloudpickle
from trainables.export import check_savable
from trainables.registered import register
objects, make = cloudpickle.loads(sys.stdin.buffer.read())
if sys.argv[1] == "registered":
    register(objects)
try:
    check_savable(make(objects["tests>Half"]()))
    print("savable")
except ValueError as error:
    print(error)
"""


@pytest.mark.parametrize(("how", "said"), [("registered", "savable"), ("not", "is not registered")])
def test_a_class_that_travels_by_value_is_registered_where_it_arrives(how, said):
    objects = registered_in([__name__])
    assert objects == {"tests>Half": Half}

    sent = cloudpickle.dumps((objects, make_model))
    ran = subprocess.run([sys.executable, "-c", READ, how], input=sent, capture_output=True)
    assert said in ran.stdout.decode(), ran.stderr.decode()


def test_an_object_without_a_package_keeps_its_name():
    register({"half_of_it": Half})

    assert keras.saving.get_registered_object("half_of_it") is Half
    del keras.saving.get_custom_objects()["half_of_it"]
