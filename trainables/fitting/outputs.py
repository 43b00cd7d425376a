"""The meaning of a model's outputs, which follows from task, loss and last activation.

Fitting, scoring and export read outputs here and nowhere else. What they pass on are probabilities,
a column for each class or label (or one, of the second of two classes), or numbers, a column each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from trainables.fitting.ends import (
    ModelError,
    is_crossentropy,
    last_activation,
    loss_of,
    name_of,
    takes_logits,
    width_of,
)
from trainables.fitting.units import Unit, sees_unit, unit_of

if TYPE_CHECKING:
    import keras

Activation = Literal["sigmoid", "softmax"]

# Activations whose values are probabilities.
TO_PROBABILITIES = frozenset(["sigmoid", "hard_sigmoid", "softmax"])

ROWS_LOOKED_AT = 256
TOLERANCE = 1e-3  # by which a probability may be beyond 0 or 1, as short floats have it


@dataclass(frozen=True)
class Outputs:
    """What has to be done to a model's outputs before anybody reads them.

    Attributes:
        activation: what turns them into probabilities; None if they are as they must be.
        unit: of numbers in the target's unit; None if they are standardised, as the target is.
        is_certain: whether that follows from the model; else its values have to be looked at.
    """

    activation: Activation | None = None
    unit: Unit | None = None
    is_certain: bool = True

    def read(self, outputs: np.ndarray) -> np.ndarray:
        """Return outputs as probabilities, or as numbers that are standardised."""
        if self.unit is not None:
            return self.unit.standardise(outputs)
        if self.activation is None:
            return outputs
        values = outputs.astype("float64")
        if self.activation == "sigmoid":
            return 0.5 * (1 + np.tanh(0.5 * values))
        powers = np.exp(values - values.max(axis=-1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=-1, keepdims=True))

    def add_to(self, model: keras.Model) -> keras.Model:
        """Return the model, with what makes its outputs such as :meth:`read` returns."""
        import keras

        if self.unit is not None:
            layer = self.unit.make_inverse()
        elif self.activation is not None:
            layer = keras.layers.Activation(self.activation, dtype="float32")
        else:
            return model
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
    task, width = config.get("task"), width_of(model, config)
    if task == "regression" and width is not None and sees_unit(model):
        return Outputs(unit=unit_of(config))
    if task not in ("binary", "multiclass") or width is None:
        return Outputs()
    count = int(config.get("outputs", width))
    _check_width(task, width, count)
    activation, loss = last_activation(model), loss_of(model)
    wanted = _wanted(task, width, count, name_of(loss))
    if activation in TO_PROBABILITIES:
        if width == 1 and activation == "softmax":
            raise ModelError(
                "the model ends in softmax of one output, which is always 1; use sigmoid"
            )
        return Outputs()
    if takes_logits(loss):
        return Outputs(wanted)
    if activation is None:  # a layer of somebody else, or a subclassed model
        return Outputs(is_certain=is_crossentropy(loss))
    why = "and its loss takes probabilities" if is_crossentropy(loss) else f"with {name_of(loss)}"
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
    if not getattr(model, "compiled", True):
        raise ModelError("build(config) returned a model that is not compiled; call model.compile")
    outputs_of(model, config)


def check_values(model: keras.Model, config: Mapping[str, Any], x: np.ndarray) -> None:
    """Look at the outputs for some rows, if nothing else says that they are probabilities.

    Raises:
        ModelError: if they are none.
    """
    if outputs_of(model, config).is_certain or not isinstance(x, np.ndarray):
        return
    values = np.asarray(model.predict_on_batch(x[:ROWS_LOOKED_AT]))
    if values.min() < -TOLERANCE or values.max() > 1 + TOLERANCE:
        raise ModelError(
            f"the model's outputs go from {values.min():.3g} to {values.max():.3g}, but must be "
            "probabilities: end it in sigmoid or softmax, or give a cross-entropy from_logits=True"
        )


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
