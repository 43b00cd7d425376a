"""Datasets on their way to the workers: pipelines of TensorFlow, and generators of Python.

Arrays need nothing of this. A pipeline travels as its graph, so it shuffles and augments anew in
each epoch; one that calls Python, which no graph holds, is read here, and travels as its batches.
"""

from __future__ import annotations

import hashlib
import inspect
import itertools
import logging
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

logger = logging.getLogger(__name__)

# The most batches of a dataset that is read here, and how many bytes they may have together.
MOST_BATCHES, MOST_BYTES = 1_000_000, 8 * 2**30

# The most rows of a dataset that yields one at a time and is read here.
MOST_ROWS = 5_000_000

# What TensorFlow counts for a dataset without an end.
INFINITE = -1

# The number at the end of a name, which TensorFlow counts in each process.
NUMBERED = re.compile(r"_\d+(?=\")")

# Inputs and attributes of operations that shuffle or draw.
SEEDS = ("seed", "seed2")


class DatasetError(ValueError):
    """Raised for a dataset that cannot be trained on, or can be neither sent nor read."""


@dataclass(frozen=True)
class Pipeline:
    """A ``tf.data.Dataset`` as bytes.

    Attributes:
        graph: of the dataset.
        elements: what it yields, as TensorFlow describes it.
        cardinality: how many batches it has, as TensorFlow counts them.
        most: how many of them are yielded; None for all.
    """

    graph: bytes
    elements: Any
    cardinality: int
    most: int | None = None

    def restore(self) -> Any:
        """Return the dataset in this process."""
        import tensorflow as tf

        variant = tf.raw_ops.DatasetFromGraph(graph_def=self.graph)
        found = tf.data.experimental.from_variant(variant, self.elements)
        found = found.apply(tf.data.experimental.assert_cardinality(self.cardinality))
        return found if self.most is None else found.take(self.most)

    def first(self, rows: int) -> Pipeline:
        """Return the first rows, or the first batch."""
        return replace(self, most=1 if are_batches(self.elements) else rows)

    @property
    def fingerprint(self) -> str:
        """A hash of the graph, with the arrays in it, that is the same in every process."""
        return _hash_graph(self.graph)

    def __str__(self) -> str:
        """Return the shapes of what it yields."""
        return f"a tf.data.Dataset of {describe(self.elements)}"


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

    @property
    def fingerprint(self) -> str:
        """A hash of the arrays."""
        made = hashlib.sha256()
        for leaf in _leaves(self.batches):
            made.update(f"{leaf.dtype}{leaf.shape}".encode() + np.ascontiguousarray(leaf).tobytes())
        return made.hexdigest()

    def first(self, rows: int) -> Batches:  # noqa: ARG002 - they are batches
        """Return the first batch."""
        return Batches(self.batches[:1])

    def __str__(self) -> str:
        """Return how many there are."""
        return f"a dataset of {len(self.batches):,} batches"


@dataclass(frozen=True)
class ReadRows:
    """The rows of a dataset that yields one at a time, as arrays.

    Attributes:
        rows: as the dataset yields them, with all rows along a first side.
    """

    rows: Any

    def restore(self) -> Any:
        """Return a dataset that yields them one at a time."""
        import tensorflow as tf

        return tf.data.Dataset.from_tensor_slices(self.rows)

    @property
    def fingerprint(self) -> str:
        """A hash of the arrays."""
        return Batches((self.rows,)).fingerprint

    def first(self, rows: int) -> ReadRows:
        """Return the first rows."""
        import tensorflow as tf

        return ReadRows(tf.nest.map_structure(lambda part: part[:rows], self.rows))

    def __str__(self) -> str:
        """Return how many there are."""
        return f"a dataset of {len(_leaves(self.rows)[0]):,} rows"


def pack(value: Any, *, steps: int | None = None, name: str = "x") -> Any:
    """Return an argument of ``fit`` as it travels: datasets as bytes or batches.

    Args:
        value: the argument.
        steps: how many batches of a generator an epoch has, None for all.
        name: of the argument.

    Raises:
        DatasetError: if a dataset can be neither sent nor read.
    """
    if isinstance(value, Mapping):
        return {key: pack(part, name=name) for key, part in value.items()}
    if isinstance(value, tuple | list) and any(map(_is_tensor, value)):
        return type(value)([pack(part, name=name) for part in value])
    if _is_tensor(value):
        return value.numpy()
    if is_pipeline(value):
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
    return value.restore() if isinstance(value, Pipeline | Batches | ReadRows) else value


def check_dataset(value: Any, name: str) -> None:
    """Refuse a ``tf.data.Dataset`` that ``model.fit`` could not train or score on.

    Raises:
        DatasetError: if it yields no targets, has no element, or does not end.
    """
    elements, size = value.element_spec, int(value.cardinality().numpy())
    if not isinstance(elements, tuple) or len(elements) not in (2, 3):
        raise DatasetError(
            f"{name} yields {describe(elements)}, but must yield (x, y) or (x, y, weights)"
        )
    if size == INFINITE:
        raise DatasetError(
            f"{name} does not end, but an epoch needs an end; add .take(n), or leave out .repeat()"
        )
    if size == 0:
        raise DatasetError(f"{name} has no rows")


def are_batches(elements: Any) -> bool:
    """Return whether what a dataset yields are batches of rows, rather than single rows.

    Batches have a first side each, the same one; rows of a label and several features have not.
    """
    shapes = [spec.shape for spec in _leaves(elements)]
    if any(shape.rank == 0 for shape in shapes):
        return False
    return len({shape[0] for shape in shapes if shape.rank is not None}) <= 1


def as_batches(dataset: Any, size: int) -> Any:
    """Return a dataset of single rows in batches; anything else as it is."""
    if not is_pipeline(dataset) or are_batches(dataset.element_spec):
        return dataset
    return dataset.batch(size)


def describe(elements: Any) -> str:
    """Return the shapes of what a dataset yields, as TensorFlow writes them."""
    if isinstance(elements, Mapping):
        inner = ", ".join(f"{name}: {describe(part)}" for name, part in elements.items())
        return f"{{{inner}}}"
    if isinstance(elements, tuple | list):
        return f"({', '.join(map(describe, elements))})"
    return str(getattr(elements, "shape", elements))


def is_pipeline(value: Any) -> bool:
    """Return whether a value is a ``tf.data.Dataset``."""
    return hasattr(value, "element_spec") and hasattr(value, "as_numpy_iterator")


def is_generator(value: Any) -> bool:
    """Return whether a value is an iterator of Python, which can be read once."""
    return inspect.isgenerator(value) or (
        hasattr(value, "__next__") and not hasattr(value, "element_spec")
    )


def _pack_pipeline(dataset: Any, steps: int | None, name: str) -> Pipeline | Batches | ReadRows:
    import tensorflow as tf

    try:
        variant = tf.data.experimental.to_variant(dataset)
        graph = tf.raw_ops.DatasetToGraphV2(input_dataset=variant, external_state_policy=1)
        found = Pipeline(graph.numpy(), dataset.element_spec, int(dataset.cardinality().numpy()))
        if "PyFunc" not in str(found.graph):
            return found
    except (tf.errors.OpError, ValueError, TypeError):
        pass
    if not are_batches(dataset.element_spec):
        return _read_rows(dataset, name)
    return _read(dataset.as_numpy_iterator(), steps, name)


def _read_rows(dataset: Any, name: str) -> ReadRows:
    """Read the rows of a dataset that yields one at a time.

    Raises:
        DatasetError: if there is none, or they do not end.
    """
    most = MOST_ROWS + 1
    rows = next(dataset.take(most).batch(most).as_numpy_iterator(), None)
    if rows is None:
        raise DatasetError(f"{name} has no rows")
    if len(_leaves(rows)[0]) == most:
        raise DatasetError(
            f"{name} does not end after {MOST_ROWS:,} rows; give a tf.data.Dataset that needs no "
            "Python"
        )
    return ReadRows(rows)


def _read(batches: Any, steps: int | None, name: str) -> Batches:
    """Read the batches of one epoch.

    Raises:
        DatasetError: if they do not end, or are too large.
    """
    found, size = [], 0
    for batch in itertools.islice(batches, steps):
        found.append(batch)
        size += sum(getattr(part, "nbytes", 0) for part in _leaves(batch))
        if len(found) > MOST_BATCHES or size > MOST_BYTES:
            raise DatasetError(
                f"{name} does not end after {len(found):,} batches of {size / 2**30:.1f} "
                "GiB together; give steps_per_epoch, or a tf.data.Dataset that needs no Python"
            )
    return Batches(tuple(found))


def _hash_graph(graph: bytes) -> str:
    """Hash the operations and the arrays of a graph, without what differs between processes.

    Seeds differ, too: TensorFlow counts them up in a process that has set one.
    """
    from tensorflow.core.framework.graph_pb2 import GraphDef

    found, made = GraphDef.FromString(graph), hashlib.sha256()
    for nodes in (found.node, *(function.node_def for function in found.library.function)):
        seeds = set(_list_seeds(nodes))
        for node in nodes:
            for name in ("metadata", *SEEDS):
                node.attr.pop(name, None)
            value = node.attr.pop("value", None) if node.op == "Const" else None
            made.update(NUMBERED.sub("", str(node)).encode())
            if value and not value.tensor.resource_handle_val and node.name not in seeds:
                made.update(value.SerializeToString(deterministic=True))
    return made.hexdigest()


def _list_seeds(nodes: Iterable[Any]) -> Iterator[str]:
    """Yield the names of the nodes that are seeds of others."""
    import tensorflow as tf

    for node in nodes:
        operation = getattr(tf.raw_ops, node.op, None)
        names = inspect.signature(operation).parameters if operation else ()
        yield from (given for name, given in zip(names, node.input, strict=False) if name in SEEDS)


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, tuple | list):
        return [leaf for part in value for leaf in _leaves(part)]
    return [value]


def _is_tensor(value: Any) -> bool:
    tensorflow = sys.modules.get("tensorflow")
    return tensorflow is not None and isinstance(value, tensorflow.Tensor)
