"""What can run in compiled epochs, as one vector of weights, and as replicas in step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trainables.fitting.compiled.program import UncompilableError
from trainables.fitting.compiled.sharing import is_keras, is_keras_module
from trainables.fitting.task import Task

if TYPE_CHECKING:
    import keras

# Optimizers that treat each weight by itself, so that all weights can be one vector; and others.
ELEMENTWISE = frozenset(
    ["SGD", "RMSprop", "Adam", "AdamW", "Adadelta", "Adagrad", "Adamax", "Nadam", "Ftrl", "Lion"]
)
BY_VARIABLE = frozenset(["Lamb", "Adafactor"])

# Layers that one program for all replicas does not make faster; measured, see docs/performance.md.
NOT_STACKED = ("Conv2D", "Conv3D", "DepthwiseConv", "SeparableConv")


def why_not(task: Task, callbacks: Sequence[Any], strategy: Any = None) -> str | None:
    """Return why a task cannot be compiled, as far as can be said without its model."""
    import keras

    if strategy is not None:
        return f"{type(strategy).__name__} over {strategy.num_replicas_in_sync} devices"
    if callbacks:
        return f"callback {type(callbacks[0]).__name__}"
    if keras.backend.backend() != "tensorflow":
        return f"the backend is {keras.backend.backend()}"
    for name in ("x_train", "y_train", "x_validation", "y_validation"):
        array = getattr(task.data, name, None)
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub":
            return f"{name} is not an array of numbers"
    return None


def check_model(model: keras.Model) -> None:
    """Refuse what a compiled epoch does not do.

    Raises:
        UncompilableError: naming it.
    """
    reasons = {
        "the model is not built": not model.built,
        "the model is not compiled": getattr(model, "optimizer", None) is None,
        "the model has no loss": getattr(model, "_compile_loss", None) is None,
        "run_eagerly": model.run_eagerly,
        "nothing is trainable": not model.trainable_variables,
    }
    for name in ("train_step", "test_step", "fit", "make_train_function"):
        reasons[f"the model has its own {name}"] = _is_overridden(type(model), name)
    for reason, found in reasons.items():
        if found:
            raise UncompilableError(reason)
    _check_ends(model)
    _check_optimizer(model.optimizer)


def can_be_stacked(model: keras.Model) -> bool:
    """Return whether one program for all replicas is faster than one after the other."""
    kinds = [type(layer).__name__ for layer in model._flatten_layers()]
    return not any(part in kind for kind in kinds for part in NOT_STACKED)


def is_elementwise(model: keras.Model) -> bool:
    """Return whether the optimizer may see all trainable weights as one vector."""
    optimizer, variables = model.optimizer, model.trainable_variables
    return (
        type(optimizer).__name__ in ELEMENTWISE
        and not optimizer.clipnorm
        and all(variable.constraint is None for variable in variables)
        and all(variable.dtype == "float32" for variable in variables)
    )


def _is_overridden(kind: type, name: str) -> bool:
    return not is_keras_module(getattr(kind, name).__module__)


def _check_ends(model: keras.Model) -> None:
    for name in ("input_shape", "output_shape"):
        shape = getattr(model, name, None)
        if not isinstance(shape, tuple) or not all(isinstance(n, int | None) for n in shape):
            raise UncompilableError(f"its {name} is {shape}, not that of one array")


def _check_optimizer(optimizer: Any) -> None:
    kind = type(optimizer).__name__
    if not is_keras(optimizer) or kind not in ELEMENTWISE | BY_VARIABLE:
        raise UncompilableError(f"optimizer {kind}")
    rate = optimizer._learning_rate
    features = {
        "an average of the weights": optimizer.use_ema,
        "accumulated gradients": optimizer.gradient_accumulation_steps,
        "a scaled loss": optimizer.loss_scale_factor,
        "weight decay of some weights only": getattr(optimizer, "_exclude_from_weight_decay", None),
        "a learning rate that is a function": callable(rate) and not hasattr(rate, "get_config"),
    }
    for feature, found in features.items():
        if found:
            raise UncompilableError(f"optimizer with {feature}")
