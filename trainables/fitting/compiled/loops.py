"""Loops over batches, maps over replicas and choices inside a TensorFlow function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


def each_replica(function: Callable[..., Any], arguments: tuple[Any, ...], *, stacked: bool) -> Any:
    """Apply a function of one replica to each, in one step; if not stacked there is only one."""
    import tensorflow as tf

    if not stacked:
        return function(*arguments)
    return tf.vectorized_map(lambda inner: function(*inner), arguments)


def switch(
    index: tf.Tensor,
    branches: Sequence[tf.types.experimental.ConcreteFunction],
    arguments: tuple[Any, ...],
) -> Any:
    """Call the function of an index; all of them have the same outputs.

    ``tf.switch_case`` would put the operations of every function into the graph, and the step of a
    small model would take a tenth longer for those that do not run.
    """
    import tensorflow as tf

    outputs = branches[0].structured_outputs
    flat = tf.nest.flatten(outputs)
    found = tf.raw_ops.StatelessCase(
        branch_index=index,
        input=tf.nest.flatten(arguments),
        Tout=[each.dtype for each in flat],
        branches=list(branches),
    )
    for tensor, like in zip(found, flat, strict=True):
        tensor.set_shape(like.shape)
    return tf.nest.pack_sequence_as(outputs, found)


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
