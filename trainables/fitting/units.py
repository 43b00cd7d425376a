"""The unit of a number to predict: what of a fit sees it standardised, and what in its own unit.

The target comes standardised, so that every model trains well, whatever its unit. Metrics see it in
its unit, because people read them. So does the loss if it needs that, such as a percentage. A model
that ends in an activation such as ``exponential`` predicts it in its unit, and is trained so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from trainables.fitting.compiled.keras_internals import convert_for_loss, convert_for_metrics
from trainables.fitting.ends import last_activation, loss_of, name_of, width_of

if TYPE_CHECKING:
    import keras

    from trainables.fitting.task import Task

# Activations that are never negative, as half of a standardised target is.
NEVER_NEGATIVE = frozenset(
    ["exponential", "softplus", "relu", "relu6", "sigmoid", "hard_sigmoid", "softmax"]
)

# In the names of losses that mean something else for a standardised target.
OF_TRUE_SCALE = ("poisson", "percentage", "mape", "logarithmic", "msle", "tweedie", "gamma")

# Metrics that are the same if a constant is added to targets and outputs.
OF_DIFFERENCES = frozenset(
    ["MeanAbsoluteError", "MeanSquaredError", "RootMeanSquaredError", "R2Score"]
)


@dataclass(frozen=True)
class Unit:
    """The mean and the scale by which a target is standardised; of several targets, of each."""

    mean: Any
    scale: Any

    def restore(self, values: np.ndarray) -> np.ndarray:
        """Return standardised values in the target's unit, in float32."""
        restored = values.astype("float64") * np.asarray(self.scale) + np.asarray(self.mean)
        return np.asarray(restored.astype("float32"))

    def standardise(self, values: np.ndarray) -> np.ndarray:
        """Return values that are in the target's unit as a fit gets them."""
        return np.asarray((values.astype("float64") - self.mean) / np.asarray(self.scale))

    def make_inverse(self) -> keras.layers.Layer:
        """Return the layer that standardises."""
        import keras

        scale, mean = np.asarray(self.scale, "float64"), np.asarray(self.mean, "float64")
        rate, offset = (1 / scale).tolist(), (-mean / scale).tolist()
        return keras.layers.Rescaling(rate, offset=offset, dtype="float64")


def unit_of(config: Mapping[str, Any]) -> Unit | None:
    """Return the unit of the target; None if it is not standardised, or not said to be."""
    scale = config.get("target_scale")
    return None if scale is None else Unit(config["target_mean"], scale)


def sees_unit(model: keras.Model) -> bool:
    """Return whether a model predicts numbers in the target's unit, and is to be trained so."""
    return last_activation(model) in NEVER_NEGATIVE


def give_units(model: keras.Model, config: Mapping[str, Any]) -> None:
    """Let a model's metrics, and its loss if it needs that, see numbers in the target's unit."""
    unit = unit_of(config)
    if unit is None or sees_unit(model) or width_of(model, config) is None:
        return
    convert_for_metrics(model, partial(_choose, unit))
    if any(word in name_of(loss_of(model)).lower() for word in OF_TRUE_SCALE):
        convert_for_loss(model, partial(_restore, unit.mean, unit.scale))


def task_of(task: Task, model: keras.Model) -> Task:
    """Return the task, with targets in their unit if the model predicts those."""
    unit = unit_of(task.config)
    if unit is None or not sees_unit(model) or not isinstance(task.data.y_train, np.ndarray):
        return task
    data = copy(task.data)
    for name in ("y_train", "y_validation"):
        object.__setattr__(data, name, unit.restore(getattr(data, name)))
    return replace(task, data=data)


def _choose(unit: Unit, metric: Any) -> Callable[[Any], Any]:
    """Return the conversion for a metric.

    Differences are spared the mean, beside which float32 may not hold them.
    """
    is_of_differences = type(metric).__name__ in OF_DIFFERENCES
    mean = np.zeros_like(unit.mean) if is_of_differences else unit.mean
    return partial(_restore, mean, unit.scale)


def _restore(mean: Any, scale: Any, tensor: Any) -> Any:
    from keras import ops

    values = ops.cast(tensor, "float32")
    return values * np.float32(scale) + np.float32(mean)
