"""Decide which fits run in compiled epochs, in one vector of weights, and as replicas in step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from trainables.fitting.compiled.keras_internals import (
    decays_all,
    has_loss,
    is_keras,
    is_keras_module,
    layers_of,
)
from trainables.fitting.stopping import only_stop
from trainables.fitting.task import Task

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

# Optimizers that treat each weight by itself, so that all weights can be one vector; and others.
ELEMENTWISE = frozenset(
    ["SGD", "RMSprop", "Adam", "AdamW", "Adadelta", "Adagrad", "Adamax", "Nadam", "Ftrl", "Lion"]
)
BY_VARIABLE = frozenset(["Lamb", "Adafactor"])

# Layers that one program for all replicas does not make faster; measured, see docs/performance.md.
NOT_STACKED = ("Conv2D", "Conv3D", "DepthwiseConv", "SeparableConv")

# Layers of which a second one after the first cannot be traced for all replicas.
RECURRENT = ("LSTM", "GRU", "RNN")


class UncompilableError(Exception):
    """Raised with the reason why a fit cannot be compiled, so that ``model.fit`` has to run."""


class ModelFitWantedError(UncompilableError):
    """Raised for a model that is made for ``model.fit``: with its own training step, or eager."""


def why_not(
    task: Task,
    callbacks: Sequence[keras.callbacks.Callback],
    strategy: tf.distribute.Strategy | None = None,
) -> str | None:
    """Return why ``model.fit`` was asked for, as far as can be known before a model is built."""
    import keras

    if strategy is not None:
        return f"{type(strategy).__name__} over {strategy.num_replicas_in_sync} devices"
    if not only_stop(callbacks):
        return f"callback {_first_other(callbacks)}"
    if keras.backend.backend() != "tensorflow":
        return f"the backend is {keras.backend.backend()}"
    for name in ("x_train", "y_train", "x_validation", "y_validation"):
        array = getattr(task.data, name, None)
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub":
            return f"{name} is not an array of numbers"
    return None


def _first_other(callbacks: Sequence[keras.callbacks.Callback]) -> str:
    """Name the first callback that does more than to stop a fit."""
    return next(type(each).__name__ for each in callbacks if not only_stop([each]))


def check_model(model: keras.Model) -> None:
    """Refuse a model that a compiled epoch would not train as ``model.fit`` does.

    Raises:
        ModelFitWantedError: if the model has its own training step, or runs eagerly.
        UncompilableError: if it has anything else that a compiled epoch does not do.
    """
    reasons = {
        "the model is not built": not model.built,
        "the model is not compiled": getattr(model, "optimizer", None) is None,
        "the model has no loss": not has_loss(model),
        "nothing is trainable": not model.trainable_variables,
    }
    _check_own_training(model)
    for reason, is_so in reasons.items():
        if is_so:
            raise UncompilableError(reason)
    _check_ends(model)
    _check_optimizer(model)


def can_be_stacked(model: keras.Model) -> bool:
    """Return whether one program for all replicas works, and is faster than one after the other."""
    kinds = [type(layer).__name__ for layer in layers_of(model)]
    if sum(part in kind for kind in kinds for part in RECURRENT) > 1:
        return False
    return not any(part in kind for kind in kinds for part in NOT_STACKED)


def is_elementwise(model: keras.Model) -> bool:
    """Return whether the optimizer may treat all trainable weights as one vector."""
    optimizer, variables = model.optimizer, model.trainable_variables
    return (
        type(optimizer).__name__ in ELEMENTWISE
        and not optimizer.clipnorm
        and all(variable.constraint is None for variable in variables)
        and all(variable.dtype == "float32" for variable in variables)
    )


def _check_own_training(model: keras.Model) -> None:
    for name in ("train_step", "test_step", "fit", "make_train_function"):
        if not is_keras_module(getattr(type(model), name).__module__):
            raise ModelFitWantedError(f"the model has its own {name}")
    if model.run_eagerly:
        raise ModelFitWantedError("run_eagerly")


def _check_ends(model: keras.Model) -> None:
    for name in ("input_shape", "output_shape"):
        shape = getattr(model, name, None)
        if not isinstance(shape, tuple) or not all(isinstance(n, int | None) for n in shape):
            raise UncompilableError(f"its {name} is {shape}, not that of one array")
        if shape and shape[0] is not None:
            raise UncompilableError(f"it fixes the size of a batch: {shape[0]}")


def _check_optimizer(model: keras.Model) -> None:
    optimizer = model.optimizer
    kind = type(optimizer).__name__
    if not is_keras(optimizer) or kind not in ELEMENTWISE | BY_VARIABLE:
        raise UncompilableError(f"optimizer {kind}")
    features = {
        "an average of the weights": optimizer.use_ema,
        "accumulated gradients": optimizer.gradient_accumulation_steps,
        "a scaled loss": optimizer.loss_scale_factor,
        "weight decay of some weights only": not decays_all(optimizer, model.trainable_variables),
    }
    for feature, is_so in features.items():
        if is_so:
            raise UncompilableError(f"optimizer with {feature}")
