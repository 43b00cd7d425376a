"""Compile models: loss, metrics and optimizer from the hyperparameters of a config."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from trainables.layers import output

if TYPE_CHECKING:
    import keras

    from trainables.fitting import Config

# Steps that TensorFlow runs per call; the results are the same, large tables train twice as fast.
STEPS_PER_CALL = 8

LOSSES = {
    "binary": "binary_crossentropy",
    "multiclass": "sparse_categorical_crossentropy",
    "regression": "mean_squared_error",
}
METRICS = {
    "binary": ["accuracy"],
    "multiclass": ["accuracy"],
    "regression": ["mean_absolute_error", "root_mean_squared_error"],
}

# The required and the optional hyperparameters of each decay.
DECAYS: dict[str, tuple[set[str], set[str]]] = {
    "none": (set(), set()),
    "exponential": ({"rate", "steps"}, {"staircase"}),
    "cosine": (set(), set()),
}


def compile_model(
    inputs: keras.KerasTensor, tensor: keras.KerasTensor, config: Config
) -> keras.Model:
    """Return the model that ends in the output, loss, metrics and optimizer of its config.

    ``loss`` is any of Keras by its name, such as ``huber`` for a number with outliers or
    ``poisson`` for a count. With ``quantiles``, such as (0.1, 0.5, 0.9), there is an output for
    each, and the loss is that of quantiles.
    """
    import keras

    model = keras.Model(inputs, output(tensor, config))
    model.compile(
        optimizer=make_optimizer(config),
        loss=make_loss(config),
        metrics=list(config.get("metrics", _metrics_of(config))),
        # XLA triples the compilation time of a small model, which is most of a fit's time.
        jit_compile=False,
        steps_per_execution=STEPS_PER_CALL,
    )
    return model


def make_loss(config: Config) -> str | Callable[[Any, Any], Any]:
    """Return the loss of a config, by default that of its task.

    Raises:
        ValueError: for quantiles of anything but one number, or that are not between 0 and 1.
    """
    quantiles = config.get("quantiles")
    if not quantiles:
        return config.get("loss", LOSSES[config["task"]])  # type: ignore[no-any-return]
    if config["task"] != "regression" or config.get("outputs", 1) != 1:
        raise ValueError("quantiles need one number to predict")
    if not all(0 < each < 1 for each in quantiles):
        raise ValueError(f"quantiles is {quantiles!r}, but each must be between 0 and 1")
    return partial(pinball, tuple(map(float, quantiles)))


def pinball(quantiles: Sequence[float], truth: Any, outputs: Any) -> Any:
    """Return the loss of quantiles (Koenker and Bassett, 1978), the mean over them, per row."""
    from keras import ops

    levels = ops.convert_to_tensor(quantiles, outputs.dtype)
    errors = ops.subtract(ops.reshape(ops.cast(truth, outputs.dtype), (-1, 1)), outputs)
    return ops.mean(ops.maximum(levels * errors, (levels - 1) * errors), axis=-1)


def _metrics_of(config: Config) -> list[str]:
    return [] if config.get("quantiles") else METRICS[config["task"]]


def make_optimizer(config: Config) -> keras.optimizers.Optimizer:
    """Return the optimizer of a config, Adam by default, with its decayed learning rate.

    Every key of ``config["optimizer"]`` except its name goes to Keras as it is; without a key,
    Keras' default applies.

    Raises:
        ValueError: if the optimizer, or the decay, has no hyperparameter of a key's name.
    """
    chosen = dict(config.get("optimizer", {"name": "adam"}))
    name = chosen.pop("name", "adam")
    optimizer = _find_optimizer(name)
    own = _list_hyperparameters(optimizer)
    _check_keys(f"optimizer '{name}'", chosen, own)
    learning_rate = chosen.pop("learning_rate", own["learning_rate"])
    return optimizer(learning_rate=make_schedule(learning_rate, config), **chosen)


def make_schedule(
    learning_rate: float, config: Config
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """Return the learning rate as it is, or as the Keras schedule that ``config["decay"]`` names.

    Cosine decay reaches zero after ``max_epochs``; ``rows`` and ``batch_size`` give the steps.

    Raises:
        ValueError: if there is no such decay, or its hyperparameters are wrong.
    """
    from keras.optimizers import schedules

    decay = dict(config.get("decay", {"name": "none"}))
    name = _check_decay(decay)
    if name == "exponential":
        return schedules.ExponentialDecay(
            learning_rate, decay["steps"], decay["rate"], staircase=decay.get("staircase", False)
        )
    if name == "cosine":
        return schedules.CosineDecay(learning_rate, decay_steps=count_steps(config))
    return learning_rate


def count_steps(config: Config) -> int:
    """Return the number of training steps of a whole fit."""
    return int(
        config.get("max_epochs", 10) * math.ceil(config["rows"] / config.get("batch_size", 32))
    )


def _find_optimizer(name: str) -> type[keras.optimizers.Optimizer]:
    import keras

    base = keras.optimizers.Optimizer
    known = {
        key.lower(): value
        for key, value in vars(keras.optimizers).items()
        if inspect.isclass(value) and issubclass(value, base) and value is not base
    }
    if name not in known:
        raise ValueError(f"no optimizer named '{name}'; Keras has: {', '.join(sorted(known))}")
    return known[name]


def _list_hyperparameters(optimizer: type[keras.optimizers.Optimizer]) -> dict[str, Any]:
    """Return the default of each argument of an optimizer."""
    parameters = inspect.signature(optimizer).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is not p.VAR_KEYWORD}


def _check_decay(decay: dict[str, Any]) -> str:
    name = str(decay.get("name", "none"))
    if name not in DECAYS:
        raise ValueError(f"no decay named '{name}'; known: {', '.join(DECAYS)}")
    required, optional = DECAYS[name]
    keys = decay.keys() - {"name"}
    _check_keys(f"decay '{name}'", keys, required | optional)
    if missing := required - keys:
        raise ValueError(f"decay '{name}' lacks {', '.join(sorted(missing))}")
    return name


def _check_keys(owner: str, keys: Collection[str], known: Collection[str]) -> None:
    if unknown := sorted(set(keys) - set(known)):
        known_names = ", ".join(sorted(known)) or "none"
        raise ValueError(f"{owner} has no hyperparameter '{unknown[0]}'; it has: {known_names}")
