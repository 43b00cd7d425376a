"""Define the models that every contender trains, in plain Keras, and their search spaces."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trainables.preload import preload

DEPTHS, UNITS, DROPOUTS = [2, 3, 4, 5, 6], [16, 32, 64, 128], [0.0, 0.1, 0.2, 0.3]
BLOCKS, FILTERS, DENSE_UNITS = [1, 2], [16, 32], [32, 64]
LEARNING_RATES = (1e-4, 1e-1)
BATCH_SIZE = 32

__all__ = ["build", "preload", "train"]

Config = Mapping[str, Any]
Choose = Callable[[str, Sequence[Any]], Any]
DrawLog = Callable[[str, float, float], float]


def ask(family: str, choose: Choose, draw_log: DrawLog) -> dict[str, Any]:
    """Ask for one config, each hyperparameter by a flat name, inactive ones not at all."""
    if family == "cnn":
        return {
            "blocks": [
                {"filters": choose(f"filters_{i}", FILTERS)} for i in range(choose("depth", BLOCKS))
            ],
            "dense_units": choose("dense_units", DENSE_UNITS),
            "learning_rate": draw_log("learning_rate", *LEARNING_RATES),
        }
    return {
        "layers": [
            {"units": choose(f"units_{i}", UNITS), "dropout": choose(f"dropout_{i}", DROPOUTS)}
            for i in range(choose("depth", DEPTHS))
        ],
        "learning_rate": draw_log("learning_rate", *LEARNING_RATES),
    }


def nested_space(family: str) -> dict[str, Any]:
    """Return the space as a job states it: layers in lists, conditional on their number."""
    from ray import tune

    common = {"learning_rate": tune.loguniform(*LEARNING_RATES), "batch_size": BATCH_SIZE}
    if family == "cnn":
        block = {"filters": tune.choice(FILTERS)}
        blocks = tune.choice([[block] * depth for depth in BLOCKS])
        return {"blocks": blocks, "dense_units": tune.choice(DENSE_UNITS), **common}
    layer = {"units": tune.choice(UNITS), "dropout": tune.choice(DROPOUTS)}
    return {"layers": tune.choice([[layer] * depth for depth in DEPTHS]), **common}


def flat_space(family: str) -> dict[str, Any]:
    """Return the space for Ray's searchers: every hyperparameter of the deepest model, always."""
    from ray import tune

    found: dict[str, Any] = {}

    def choose(name: str, options: Sequence[Any]) -> Any:
        found[name] = tune.choice(list(options))
        return max(options)

    def draw_log(name: str, lower: float, upper: float) -> float:
        found[name] = tune.loguniform(lower, upper)
        return lower

    ask(family, choose, draw_log)
    return found


def from_flat(family: str, flat: Config) -> dict[str, Any]:
    """Return the config for flat values."""
    return ask(family, lambda name, _: flat[name], lambda name, *_: flat[name])


def build(config: Config) -> Any:
    """Build the compiled model of a config; a config from a list of them is under ``model``."""
    import keras

    chosen = config.get("model", config)
    model = keras.Sequential([keras.Input(tuple(config["input_shape"]))])
    for layer in _hidden(chosen):
        model.add(layer)
    model.add(keras.layers.Dense(config["outputs"], activation="softmax"))
    model.compile(
        optimizer=keras.optimizers.Adam(chosen["learning_rate"]),
        loss=config.get("loss", "sparse_categorical_crossentropy"),
    )
    return model


def build_anew(config: Config) -> Any:
    """Build the model with its config's seed after clearing Keras, as users of the peers do."""
    import keras

    keras.utils.clear_session()
    keras.utils.set_random_seed(config["seed"])
    return build(config)


def train(config: Config, data: Any) -> Any:
    """Train one config, as the trainable of tune-jobs."""
    from trainables.fitting import fit

    return fit(build, config, data)


def _hidden(config: Config) -> list[Any]:
    from keras import layers

    found: list[Any] = []
    for layer in config.get("layers", ()):
        found += [layers.Dense(layer["units"], "relu"), layers.Dropout(layer["dropout"])]
    for block in config.get("blocks", ()):
        found += [layers.Conv2D(block["filters"], 3, padding="same", activation="relu")]
        found += [layers.MaxPooling2D()]
    if "blocks" in config:
        found += [layers.Flatten(), layers.Dense(config["dense_units"], "relu")]
    return found
