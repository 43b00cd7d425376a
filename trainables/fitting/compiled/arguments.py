"""The arguments of a program: the state of a fit, its data, and the plan and rates of a call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from trainables.fitting.compiled.eligibility import UncompilableError
from trainables.fitting.compiled.keras_internals import learning_rate_of, value_of
from trainables.fitting.compiled.updates import Choice

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

# An epoch count, or a patience, that is never reached.
NEVER = 2**30

# Learning rates that a schedule computes at once.
RATES_AT_ONCE = 1_000_000

Rate: TypeAlias = "keras.Variable | keras.optimizers.schedules.LearningRateSchedule"


class State(NamedTuple):
    """The state of a fit; the first axis of every array is the replicas."""

    weights: list[tf.Tensor]  # trainable; one vector if the optimizer allows it
    others: list[tf.Tensor]  # the other variables: moving statistics, random states
    slots: list[tf.Tensor]  # the optimizer's variables
    best_weights: list[tf.Tensor]
    best_others: list[tf.Tensor]
    best: tf.Tensor  # float32, NaN before the first
    best_epoch: tf.Tensor  # int32, 0 before the first
    active: tf.Tensor  # whether the patience lasts


class Arrays(NamedTuple):
    """The training and validation data, one row per sample; the weights of rows are optional."""

    x: tf.Tensor
    y: tf.Tensor
    weights: list[tf.Tensor]  # of one array or none
    x_validation: tf.Tensor
    y_validation: tf.Tensor
    weights_validation: list[tf.Tensor]


class Plan(NamedTuple):
    """One call of a program: which rows in which order, at which rates, for how long."""

    orders: tf.Tensor  # (epochs, replicas, rows) int32, into the arrays
    validation: tf.Tensor  # (replicas, rows) int32, into the validation arrays
    learning_rates: tf.Tensor  # (epochs, steps) float32
    numbers: tf.Tensor  # (input numbers of the layers,) float64
    choice: Choice  # of the optimizer
    shapes: tf.Tensor  # of the trainable variables, one after the other, int32
    sizes: tf.Tensor  # of the trainable variables, int32
    batch_size: tf.Tensor
    validation_batch_size: tf.Tensor
    first_epoch: tf.Tensor  # the number of epochs trained before
    patience: tf.Tensor
    sign: tf.Tensor  # 1.0 for a metric to be minimised, -1.0 to be maximised
    keeps_last: tf.Tensor  # whether each epoch replaces the best, whatever its value
    metric: tf.Tensor  # its place among the program's metrics, -1 for none of them
    scoring: list[tf.Tensor]  # the key of a function of :mod:`~.scoring`, int64; or empty


@dataclass(frozen=True)
class Layout:
    """The layout in which a program takes its state."""

    flat: bool  # all trainable weights in one vector
    any_width: bool  # shapes known only at run time
    stacked: bool  # more than one replica
    common: bool  # with the updates of all common kinds of optimizers
    scores: int  # the number of scorers
    own_numbers: bool = False  # each replica has learning rates and input numbers of its own


class LearningRates:
    """The learning rates of a fit.

    Args:
        optimizer: of the model, with a number or a schedule of Keras as its learning rate.
        max_epochs: the most epochs of the fit.

    Raises:
        UncompilableError: if the learning rate is a function.
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer, max_epochs: int) -> None:
        self._rate: Rate = learning_rate_of(optimizer)
        if callable(self._rate) and not hasattr(self._rate, "get_config"):
            raise UncompilableError("optimizer with a learning rate that is a function")
        self._max_epochs = max_epochs
        self._kept: tuple[tuple[int, int], np.ndarray] | None = None

    def of_epochs(self, first: int, epochs: int, steps: int) -> tf.Tensor:
        """Return the rate of every step of some epochs, of shape (epochs, steps)."""
        import tensorflow as tf

        if not callable(self._rate):
            return tf.fill([epochs, steps], float(value_of(self._rate)))
        # Always in pieces of the same length, since the length changes the last bits.
        piece = max(1, min(self._max_epochs, RATES_AT_ONCE // steps))
        wanted = range(first // piece, -(-(first + epochs) // piece))
        rates = [self._compute_piece(number, piece * steps) for number in wanted]
        start = first - wanted.start * piece
        found = np.concatenate([*rates, []]).astype("float32").reshape(-1, steps)
        return tf.constant(found[start : start + epochs])

    def _compute_piece(self, number: int, length: int) -> np.ndarray:
        """Return the rates of a piece of the whole fit; the last one is kept."""
        import tensorflow as tf

        if self._kept is None or self._kept[0] != (number, length):
            steps = tf.range(number * length, (number + 1) * length)
            self._kept = (number, length), np.asarray(compute_rates(self._rate, steps))
        return self._kept[1]


def compute_rates(schedule: Rate, steps: tf.Tensor) -> tf.Tensor:
    """Return a schedule's learning rates at some steps, all at once if it can do that."""
    import tensorflow as tf

    try:
        rates = tf.convert_to_tensor(schedule(steps))
    except (ValueError, TypeError, tf.errors.InvalidArgumentError):
        rates = None
    if rates is not None and rates.shape == steps.shape:
        return tf.cast(rates, "float32")
    return tf.cast(tf.map_fn(schedule, steps, fn_output_signature="float32"), "float32")


def keep_best(plan: Plan, state: State, row: tf.Tensor, epoch: tf.Tensor) -> State:
    """Keep the weights of each replica's best epoch, and end those whose patience is over."""
    import tensorflow as tf

    value = tf.gather(row, tf.maximum(plan.metric, 0), axis=-1)
    value = tf.where(plan.metric < 0, float("nan"), value)
    first = tf.math.is_nan(state.best)
    better = tf.math.is_finite(value) & (first | (plan.sign * value < plan.sign * state.best))
    better |= plan.keeps_last
    best_epoch = tf.where(better, epoch, state.best_epoch)
    return state._replace(
        best_weights=_choose(better, state.weights, state.best_weights),
        best_others=_choose(better, state.others, state.best_others),
        best=tf.where(better, value, state.best),
        best_epoch=best_epoch,
        active=state.active & (epoch - best_epoch < plan.patience),
    )


def freeze_ended(before: State, after: State) -> State:
    """Leave the replicas whose patience had ended before an epoch as they were."""
    return State(
        *[
            _choose(before.active, new, old)
            if isinstance(new, list)
            else _choose(before.active, [new], [old])[0]
            for new, old in zip(after, before, strict=True)
        ]
    )


def _choose(chosen: tf.Tensor, new: list[tf.Tensor], old: list[tf.Tensor]) -> list[tf.Tensor]:
    """Return the new tensors for the chosen replicas, and the old ones for the others."""
    import tensorflow as tf

    def choose(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
        missing = [1] * (len(a.shape) - len(chosen.shape))
        return tf.where(tf.reshape(chosen, tf.concat([tf.shape(chosen), missing], 0)), a, b)

    return [choose(a, b) for a, b in zip(new, old, strict=True)]
