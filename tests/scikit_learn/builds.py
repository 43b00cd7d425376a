"""Functions that build small models, as a user's module has them."""

from typing import Any


def build(config: dict[str, Any]) -> Any:
    import keras

    model = keras.Sequential([keras.Input(tuple(config["input_shape"]))])
    model.add(keras.layers.Dense(config["units"], activation="relu"))
    ends = {"binary": "sigmoid", "multiclass": "softmax", "regression": None}
    model.add(keras.layers.Dense(config["outputs"], activation=ends[config["task"]]))
    losses = {
        "binary": "binary_crossentropy",
        "multiclass": "sparse_categorical_crossentropy",
        "regression": "mean_squared_error",
    }
    optimizer = keras.optimizers.Adam(config.get("learning_rate", 0.05))
    model.compile(optimizer, loss=losses[config["task"]])
    return model


def build_nothing(config: dict[str, Any]) -> Any:
    """Forget to return the model."""


def build_or_fail(config: dict[str, Any]) -> Any:
    """Fail for half of the configs."""
    if config["breaks"]:
        raise KeyError("no such layer")
    return build(config)
