"""Datasets on their way to the workers: pipelines of TensorFlow, and generators of Python.

Arrays need nothing of this. A pipeline travels as its graph, so it shuffles and augments anew in
each epoch; one that calls Python, which no graph holds, is read here, and travels as its batches.
"""

from __future__ import annotations

import itertools
import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tune_jobs.engine.errors import JobError
from tune_jobs.keras_tuner.worker.arguments import is_generator

logger = logging.getLogger(__name__)

# The most batches of a dataset that is read here, and how many bytes they may have together.
MOST_BATCHES, MOST_BYTES = 1_000_000, 8 * 2**30


@dataclass(frozen=True)
class Pipeline:
    """A ``tf.data.Dataset`` as bytes.

    Attributes:
        graph: of the dataset.
        elements: what it yields, as TensorFlow describes it.
        cardinality: how many batches it has, as TensorFlow counts them.
    """

    graph: bytes
    elements: Any
    cardinality: int

    def restore(self) -> Any:
        """Return the dataset in this process."""
        import tensorflow as tf

        variant = tf.raw_ops.DatasetFromGraph(graph_def=self.graph)
        found = tf.data.experimental.from_variant(variant, self.elements)
        return found.apply(tf.data.experimental.assert_cardinality(self.cardinality))


@dataclass(frozen=True)
class Batches:
    """The batches of a dataset as arrays, in their order.

    Attributes:
        batches: each what the dataset yields: x, or a tuple of x, y and weights.
    """

    batches: tuple[Any, ...]

    def restore(self) -> Any:
        """Return a dataset of Keras that yields them again in every epoch."""
        import keras

        batches = self.batches

        class Stored(keras.utils.PyDataset):  # type: ignore[misc]
            def __len__(self) -> int:
                return len(batches)

            def __getitem__(self, index: int) -> Any:
                return batches[index]

        return Stored()


def pack(value: Any, *, steps: int | None = None, name: str = "x") -> Any:
    """Return an argument of ``search`` as it travels: datasets as bytes or batches.

    Args:
        value: the argument.
        steps: how many batches of a generator an epoch has, None for all.
        name: of the argument.

    Raises:
        JobError: if a dataset can be neither sent nor read.
    """
    if isinstance(value, Mapping):
        return {key: pack(part, name=name) for key, part in value.items()}
    if isinstance(value, tuple | list) and any(map(_is_tensor, value)):
        return type(value)([pack(part, name=name) for part in value])
    if _is_tensor(value):
        return value.numpy()
    if _is_pipeline(value):
        return _pack_pipeline(value, steps, name)
    if is_generator(value) and not hasattr(value, "__getitem__"):
        logger.warning(
            f"{name} is a generator, which can be read once: its batches of one epoch are read "
            "here, and every epoch of every trial trains on them"
        )
        return _read(value, steps, name)
    return value


def unpack(value: Any) -> Any:
    """Return an argument as the program gave it."""
    return value.restore() if isinstance(value, Pipeline | Batches) else value


def _pack_pipeline(dataset: Any, steps: int | None, name: str) -> Pipeline | Batches:
    import tensorflow as tf

    try:
        variant = tf.data.experimental.to_variant(dataset)
        graph = tf.raw_ops.DatasetToGraphV2(input_dataset=variant, external_state_policy=1)
        found = Pipeline(graph.numpy(), dataset.element_spec, int(dataset.cardinality().numpy()))
        if "PyFunc" not in str(found.graph):
            return found
    except (tf.errors.OpError, ValueError, TypeError):
        pass
    return _read(dataset.as_numpy_iterator(), steps, name)


def _read(batches: Any, steps: int | None, name: str) -> Batches:
    """Read the batches of one epoch.

    Raises:
        JobError: if they do not end, or are too large.
    """
    found, size = [], 0
    for batch in itertools.islice(batches, steps):
        found.append(batch)
        size += sum(getattr(part, "nbytes", 0) for part in _leaves(batch))
        if len(found) > MOST_BATCHES or size > MOST_BYTES:
            raise JobError(
                f"search: {name} does not end after {len(found):,} batches of {size / 2**30:.1f} "
                "GiB together; give steps_per_epoch, or a tf.data.Dataset that needs no Python"
            )
    return Batches(tuple(found))


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, tuple | list):
        return [leaf for part in value for leaf in _leaves(part)]
    return [value]


def _is_pipeline(value: Any) -> bool:
    return hasattr(value, "element_spec") and hasattr(value, "as_numpy_iterator")


def _is_tensor(value: Any) -> bool:
    tensorflow = sys.modules.get("tensorflow")
    return tensorflow is not None and isinstance(value, tensorflow.Tensor)
