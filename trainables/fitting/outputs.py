"""The meaning of a model's outputs, which follows from task, loss and last activation.

Fitting, scoring and export read outputs here and nowhere else. What they pass on are probabilities,
a column for each class or label (or one, of the second of two classes), or numbers, a column each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from trainables.fitting.compiled.keras_internals import origin_of

if TYPE_CHECKING:
    import keras

Activation = Literal["sigmoid", "softmax"]

# Activations whose values are probabilities.
TO_PROBABILITIES = frozenset(["sigmoid", "hard_sigmoid", "softmax"])

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


@dataclass(frozen=True)
class Outputs:
    """What has to be done to a model's outputs before anybody reads them.

    Attributes:
        activation: what turns them into probabilities; None if they are as they must be.
    """

    activation: Activation | None = None

    def read(self, outputs: np.ndarray) -> np.ndarray:
        """Return outputs as probabilities or numbers."""
        if self.activation is None:
            return outputs
        values = outputs.astype("float64")
        if self.activation == "sigmoid":
            return 0.5 * (1 + np.tanh(0.5 * values))
        powers = np.exp(values - values.max(axis=-1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=-1, keepdims=True))

    def add_to(self, model: keras.Model) -> keras.Model:
        """Return the model, with the activation that it lacks."""
        import keras

        if self.activation is None:
            return model
        layer = keras.layers.Activation(self.activation, dtype="float32")
        return keras.Model(model.inputs, layer(model.outputs[0]), name=model.name)


def outputs_of(model: keras.Model, config: Mapping[str, Any]) -> Outputs:
    """Find out what a model's outputs mean.

    Args:
        model: as ``build`` returns it.
        config: with ``task`` and ``outputs``, the number of classes or labels; without a task, and
            for outputs that are not one row of numbers, nothing is read into them.

    Raises:
        ModelError: if that cannot be decided, or does not go with the task.
    """
    task, width = config.get("task"), _width_of(model)
    if task not in ("binary", "multiclass") or width is None:
        return Outputs()
    count = int(config.get("outputs", width))
    _check_width(task, width, count)
    activation, loss = last_activation(model), loss_of(model)
    wanted = _wanted(task, width, count, name_of(loss))
    if activation in TO_PROBABILITIES:
        if width == 1 and activation == "softmax":
            raise ModelError("the model ends in softmax of one output, which is always 1: sigmoid")
        return Outputs()
    if _takes_logits(loss):
        return Outputs(wanted)
    if activation is None:  # a layer of somebody else, whose values are checked when scored
        return Outputs()
    why = "and its loss takes probabilities" if _is_crossentropy(loss) else f"with {name_of(loss)}"
    raise ModelError(
        f"the model ends in {activation!r} {why}, so its outputs are no probabilities: end it in "
        f"{wanted!r}, or give a cross-entropy from_logits=True"
    )


def read_outputs(model: keras.Model, outputs: np.ndarray, config: Mapping[str, Any]) -> np.ndarray:
    """Return the outputs of a trained model, not of a file, as probabilities or numbers."""
    return outputs_of(model, config).read(outputs)


def check_model(model: object, config: Mapping[str, Any]) -> None:
    """Refuse what ``build`` may return by mistake.

    Raises:
        ModelError: naming the mistake.
    """
    if not hasattr(model, "trainable_variables"):
        raise ModelError(f"build(config) returned {model!r}, but must return a compiled model")
    outputs_of(model, config)


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


def last_activation(model: keras.Model) -> str | None:
    """Return the name of the activation that a model ends in; None if that cannot be said."""
    names = set(_activations_of(model.outputs[0])) if getattr(model, "outputs", None) else {None}
    return names.pop() if len(names) == 1 else None


def _activations_of(tensor: Any) -> Iterator[str | None]:
    """Yield the activations that a symbolic tensor comes from."""
    operation, index = origin_of(tensor)
    inner = getattr(operation, "outputs", None)
    kind = type(operation).__name__
    if kind in PASSING:
        sources = operation.input
        for source in sources if isinstance(sources, list | tuple) else [sources]:
            yield from _activations_of(source)
    elif kind in ("Functional", "Sequential") and inner:
        yield from _activations_of(inner[index])
    elif kind in OF_CLASSES:
        yield OF_CLASSES[kind]
    else:
        activation = getattr(operation, "activation", None)
        yield getattr(activation, "__name__", None)


def _width_of(model: keras.Model) -> int | None:
    shape = getattr(model, "output_shape", None)
    if isinstance(shape, tuple) and len(shape) == 2 and isinstance(shape[-1], int):
        return shape[-1]
    return None


def _check_width(task: str, width: int, count: int) -> None:
    taken = {count} | ({1, 2} if task == "binary" and count == 1 else set())
    if width in taken:
        return
    said = "2 classes" if count == 1 else f"{count} {'labels' if task == 'binary' else 'classes'}"
    wanted = " or ".join(map(str, sorted(taken)))
    raise ModelError(
        f"the model has {width} output{'s' if width > 1 else ''}, but the target has {said}: "
        f"{wanted} output{'s' if wanted != '1' else ''} are taken"
    )


def _wanted(task: str, width: int, count: int, loss: str) -> Activation:
    """Return the activation that makes such outputs probabilities."""
    if width == 1:
        return "sigmoid"
    if "categorical" in loss.lower():
        return "softmax"
    return "sigmoid" if task == "binary" and count == width else "softmax"


def _takes_logits(loss: Any) -> bool:
    if isinstance(loss, partial):
        return bool(loss.keywords.get("from_logits"))
    return bool(getattr(loss, "from_logits", False))


def _is_crossentropy(loss: Any) -> bool:
    return "crossentropy" in name_of(loss).lower()
