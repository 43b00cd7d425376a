"""A small convolutional network for images, from 8 x 8 grey to 32 x 32 colour and beyond."""

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

BLOCK = {
    "filters": tune.choice([16, 32, 64]),
    "kernel_size": tune.choice([3, 5]),
}

ARCHITECTURE = {
    "blocks": tune.choice([[BLOCK] * count for count in range(1, 4)]),
    "dense_units": tune.choice([32, 64, 128, 256]),
    "dropout": tune.choice([0.0, 0.1, 0.2, 0.3, 0.4, 0.5]),
    "batch_normalisation": tune.choice([False, True]),
    "batch_size": tune.choice([16, 32, 64, 128]),
}

# Pooling halves an image; one with a shorter side than this keeps its size.
SMALLEST_POOLED_SIDE = 4


def build(config: Config) -> keras.Model:
    """Build the compiled model of a config.

    Raises:
        ValueError: if the inputs are not images.
    """
    import keras

    _check_shape(config["input_shape"])
    inputs = make_inputs(config)
    tensor = features(inputs, config)
    for block in config["blocks"]:
        tensor = add_block(tensor, block, config)
    tensor = keras.layers.Flatten()(tensor)
    tensor = keras.layers.Dense(config.get("dense_units", 64), activation=_activation(config))(
        tensor
    )
    tensor = keras.layers.Dropout(config.get("dropout", 0.0))(tensor)
    return compile_model(inputs, tensor, config)


def train(config: Config, data: Data) -> keras.Model:
    """Fit the model of a config to data, and return it at its best epoch."""
    return fit(build, config, data)


def add_block(tensor: keras.KerasTensor, block: Config, config: Config) -> keras.KerasTensor:
    """Add a convolution, with pooling while the image is large enough, and return its output."""
    import keras

    tensor = keras.layers.Conv2D(block["filters"], block["kernel_size"], padding="same")(tensor)
    if config.get("batch_normalisation", False):
        tensor = keras.layers.BatchNormalization()(tensor)
    tensor = keras.layers.Activation(_activation(config))(tensor)
    if min(tensor.shape[1:3]) >= SMALLEST_POOLED_SIDE:
        tensor = keras.layers.MaxPooling2D()(tensor)
    return tensor


def _activation(config: Config) -> str:
    return str(config.get("activation", "relu"))


def _check_shape(shape: list[int]) -> None:
    if len(shape) != 3:
        raise ValueError(
            f"image_cnn needs images of shape (height, width, channels), got {tuple(shape)}; "
            "use tabular_mlp"
        )
