"""The learning rate of every step, computed before a program needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

Rate: TypeAlias = "keras.Variable | keras.optimizers.schedules.LearningRateSchedule"

# Learning rates that a schedule computes at once.
RATES_AT_ONCE = 1_000_000


class LearningRates:
    """The learning rates of a fit.

    Args:
        rate: a number, or a schedule of Keras.
        max_epochs: the most epochs of the fit.
    """

    def __init__(self, rate: Rate, max_epochs: int) -> None:
        self._rate, self._max_epochs = rate, max_epochs
        self._kept: tuple[tuple[int, int], np.ndarray] | None = None

    def of_epochs(self, first: int, epochs: int, steps: int) -> tf.Tensor:
        """Return the rate of every step of some epochs, of shape (epochs, steps)."""
        import tensorflow as tf

        if not callable(self._rate):
            return tf.fill([epochs, steps], float(np.asarray(self._rate)))
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
