"""A multilayer perceptron for tables, and for images as flat vectors.

The search chooses the number of hidden layers, and the units and dropout of each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ray import tune

from trainables.compilation import compile_model
from trainables.export import export, load, predict
from trainables.fitting import Config, Data, fit
from trainables.layers import features, make_inputs
from trainables.preload import preload

if TYPE_CHECKING:
    import keras

__all__ = ["ARCHITECTURE", "build", "export", "load", "predict", "preload", "train"]

LAYER = {
    "units": tune.choice([32, 160, 288, 416]),
    "dropout": tune.choice([0.0, 0.1, 0.2, 0.3]),
}

ARCHITECTURE = {
    "layers": tune.choice([[LAYER] * count for count in range(2, 7)]),
    "batch_normalisation": tune.choice([False, True]),
    "kernel_initializer": tune.choice(["glorot_uniform", "he_normal", "he_uniform"]),
    "batch_size": tune.choice([16, 32, 64, 128]),
}


def build(config: Config) -> keras.Model:
    """Build the compiled model of a config."""
    import keras

    inputs = make_inputs(config)
    tensor = features(inputs, config)
    if len(config["input_shape"]) > 1:
        tensor = keras.layers.Flatten()(tensor)
    for layer in config["layers"]:
        tensor = add_layer(tensor, layer, config)
    return compile_model(inputs, tensor, config)


def train(config: Config, data: Data) -> keras.Model:
    """Fit the model of a config to data, and return it at its best epoch."""
    return fit(build, config, data)


def add_layer(tensor: keras.KerasTensor, layer: Config, config: Config) -> keras.KerasTensor:
    """Add a hidden layer, and return its output."""
    import keras

    initializer = config.get("kernel_initializer", "glorot_uniform")
    tensor = keras.layers.Dense(layer["units"], kernel_initializer=initializer)(tensor)
    if config.get("batch_normalisation", False):
        tensor = keras.layers.BatchNormalization()(tensor)
    tensor = keras.layers.Activation(config.get("activation", "relu"))(tensor)
    return keras.layers.Dropout(layer.get("dropout", 0.0))(tensor)
