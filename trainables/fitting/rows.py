"""Rows of arrays, and of dicts and lists of arrays, as ``model.fit`` takes them."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

# What a set may be, for messages.
TAKEN = "an array, a DataFrame, a dict or list of arrays, or, as x_train, a dataset"


def as_rows(value: Any) -> Any:
    """Return arrays, tensors and DataFrames as numpy's arrays; anything else as it is."""
    if isinstance(value, Mapping):
        return {name: as_rows(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)([as_rows(part) for part in value])
    if hasattr(value, "to_numpy"):
        return value.to_numpy()
    is_array = hasattr(value, "__array__") and hasattr(value, "shape")
    return np.asarray(value) if is_array else value


def are_rows(value: Any) -> bool:
    """Return whether a value is arrays of rows, and not a dataset or nothing at all."""
    return all(isinstance(leaf, np.ndarray) and leaf.ndim for leaf in _leaves(value)) and any(
        True for _ in _leaves(value)
    )


def count_rows(value: Any) -> int:
    """Return how many rows arrays have."""
    return len(next(_leaves(value)))


def take(value: Any, rows: Any) -> Any:
    """Return chosen rows of arrays: a slice, or their numbers."""
    if isinstance(value, Mapping):
        return {name: take(part, rows) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)([take(part, rows) for part in value])
    return value[rows]


def check_rows(name: str, value: Any) -> None:
    """Refuse a value that is neither arrays of rows nor a dataset.

    Raises:
        ValueError: naming it, its type, and what is taken.
    """
    is_none_of_them = isinstance(value, Mapping | list | tuple | str | int | float)
    if is_none_of_them and not are_rows(value):
        raise ValueError(
            f"{name} is a {type(value).__name__}, {reprlib.repr(value)}, but must be {TAKEN}"
        )
    counts = {len(leaf) for leaf in _leaves(value)} if are_rows(value) else {0}
    if len(counts) > 1:
        raise ValueError(f"the arrays of {name} differ in rows: {sorted(counts)}")


def check_pair(first: tuple[str, Any], second: tuple[str, Any]) -> None:
    """Refuse two sets that belong together and differ in their number of rows.

    Raises:
        ValueError: naming both.
    """
    (name, x), (other, y) = first, second
    if are_rows(x) and are_rows(y) and count_rows(x) != count_rows(y):
        raise ValueError(f"{name} has {count_rows(x)} rows, but {other} has {count_rows(y)}")
    if are_rows(x) and y is not None and not are_rows(y):
        raise ValueError(f"{name} is arrays, but {other} is {reprlib.repr(y)}, not {TAKEN}")


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for part in value:
            yield from _leaves(part)
    else:
        yield value
