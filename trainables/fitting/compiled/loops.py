"""Loops over batches inside a TensorFlow function."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tensorflow as tf


def loop(condition: Callable[..., Any], body: Callable[..., Any], start: Any) -> Any:
    """Run a while loop whose variables keep the static shapes that they start with."""
    import tensorflow as tf

    shapes = tf.nest.map_structure(lambda tensor: tensor.shape, start)

    def shaped(*arguments: Any) -> Any:
        after = body(*arguments)
        tf.nest.map_structure(lambda t, s: t.set_shape(s), after, shapes)
        return after

    return tf.while_loop(condition, shaped, start, shape_invariants=shapes, parallel_iterations=1)


def count_batches(rows: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Return the number of batches of a size, of which the last may be short."""
    return (rows + size - 1) // size


def cut(order: tf.Tensor, index: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Return a batch of an order of shape (replicas, rows); the last one may be short."""
    return order[..., index * size : (index + 1) * size]


def take(arrays: Any, rows: tf.Tensor) -> Any:
    """Return the chosen rows of each array, for each replica."""
    import tensorflow as tf

    return tf.nest.map_structure(lambda array: tf.gather(array, rows), arrays)
