"""How a model ends: its last activation, its loss, and the error for one that cannot be right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from trainables.fitting.compiled.keras_internals import is_keras_module, origin_of

if TYPE_CHECKING:
    import keras

# Layers and operations after which probabilities are still probabilities.
PASSING = frozenset(
    ["Flatten", "Reshape", "Squeeze", "ExpandDims", "Identity", "Cast", "Permute"]
    + ["Average", "Concatenate", "Maximum", "Minimum", "Multiply"]
)

# Names of activations that are layers or operations of their own.
OF_CLASSES = {"Sigmoid": "sigmoid", "HardSigmoid": "hard_sigmoid", "Softmax": "softmax"}
OF_CLASSES |= {"ReLU": "relu", "Relu": "relu", "Tanh": "tanh", "Exp": "exponential"}
OF_CLASSES |= {"Softplus": "softplus", "LeakyReLU": "leaky_relu", "LeakyRelu": "leaky_relu"}


class ModelError(ValueError):
    """Raised for a model that no hyperparameter can mend: ``build`` has to be changed."""

    is_mistake = True  # the engine ends the run with this line


def loss_of(model: keras.Model) -> Any:
    """Return a model's loss, a function or an object of Keras; None if it has several or none."""
    import keras

    loss = getattr(model, "loss", None)
    if isinstance(loss, list | tuple | dict):
        parts = list(loss.values()) if isinstance(loss, dict) else list(loss)
        loss = parts[0] if len(parts) == 1 else None
    if isinstance(loss, str) and loss.lower() not in ("crossentropy", "ce"):
        return keras.losses.get(loss)
    return loss


def name_of(loss: Any) -> str:
    """Return the name of a loss for messages."""
    if isinstance(loss, str):
        return loss
    if isinstance(loss, partial):
        return name_of(loss.func)
    found = getattr(loss, "__name__", None) or getattr(loss, "name", None)
    return str(found or type(loss).__name__)


def width_of(model: keras.Model, config: Mapping[str, Any]) -> int | None:
    """Return the number of a model's outputs; None if they are not one row of numbers, or unknown.

    A subclassed model, which has no outputs of its own, is asked for the shape that it computes.
    """
    import keras

    shape = getattr(model, "output_shape", None)
    if shape is None and getattr(model, "built", False) and "input_shape" in config:
        with suppress(Exception):  # its call may not be for symbols
            rows = keras.KerasTensor((None, *config["input_shape"]))
            shape = model.compute_output_spec(rows).shape
    if isinstance(shape, tuple) and len(shape) == 2 and isinstance(shape[-1], int):
        return shape[-1]
    return None


def last_activation(model: keras.Model) -> str | None:
    """Return the name of the activation that a model ends in; None if that cannot be said."""
    names = set(_activations_of(model.outputs[0])) if getattr(model, "outputs", None) else {None}
    return names.pop() if len(names) == 1 else None


def takes_logits(loss: Any) -> bool:
    """Return whether a loss takes logits in place of probabilities."""
    if isinstance(loss, partial):
        return bool(loss.keywords.get("from_logits"))
    return bool(getattr(loss, "from_logits", False))


def is_crossentropy(loss: Any) -> bool:
    """Return whether a loss is a cross-entropy, going by its name."""
    return "crossentropy" in name_of(loss).lower()


def _activations_of(tensor: Any) -> Iterator[str | None]:
    """Yield the activations that a symbolic tensor comes from."""
    operation, index = origin_of(tensor)
    inner = getattr(operation, "outputs", None)
    kind = type(operation).__name__
    activation = getattr(operation, "activation", None)
    name = getattr(activation, "__name__", None)
    if not is_keras_module(getattr(activation, "__module__", None)):
        name = None  # a function of somebody else
    if kind in PASSING or (kind == "Activation" and name == "linear"):
        sources = operation.input
        for source in sources if isinstance(sources, list | tuple) else [sources]:
            yield from _activations_of(source)
    elif kind in ("Functional", "Sequential") and inner:
        yield from _activations_of(inner[index])
    elif kind in OF_CLASSES:
        yield OF_CLASSES[kind]
    else:
        yield name
