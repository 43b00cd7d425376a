"""Arrays of one's own: what a recipe returns that is no dataset goes to the trainable as it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from tune_jobs.engine.data.dataset import digest

NAMES = ("x_train", "y_train", "x_validation", "y_validation")

TAKEN = (
    "a Dataset, as table(...) and images(...) do, or x_train, y_train, x_validation and "
    "y_validation: as attributes, as a dict or as a tuple of four"
)


@dataclass(frozen=True)
class PackedSets:
    """Datasets as they travel to the workers, each with its targets.

    Attributes:
        x_train: what :func:`unpack_sets` restores: a training set.
        x_validation: a validation set, or None.
    """

    x_train: Any
    x_validation: Any = None
    y_train: None = None
    y_validation: None = None

    def cut(self, train: int, validation: int) -> PackedSets:
        """Return the first rows of the sets, or the first batch if they are batches."""
        held = self.x_validation and self.x_validation.first(validation)
        return PackedSets(self.x_train.first(train), held)

    @property
    def fingerprint(self) -> str:
        """A hash of the pipelines, and of the arrays in them."""
        return digest([self.x_train.fingerprint, getattr(self.x_validation, "fingerprint", None)])

    def __str__(self) -> str:
        """Return the shapes of what they yield."""
        held = f"validated on {self.x_validation}" if self.x_validation else "not validated"
        return f"{self.x_train}, {held}"


@dataclass(frozen=True)
class Stored:
    """Training data as they travel to the workers: by a reference to Ray's object store.

    Attributes:
        reference: what Ray gives for them.
    """

    reference: Any

    def read(self) -> Any:
        """Return the data; arrays are read where they lie."""
        import ray

        return ray.get(self.reference)


class Store:
    """The training data of a run that are in Ray's object store, each of them once."""

    def __init__(self) -> None:
        self._known: list[tuple[Any, Stored]] = []

    def put(self, data: Any) -> Stored | None:
        """Return data as they travel; None for none."""
        import ray

        if data is None:
            return None
        for known, stored in self._known:
            if known is data:
                return stored
        self._known.append((data, Stored(ray.put(data))))
        return self._known[-1][1]


def unpack_sets(data: Any) -> Any:
    """Return what a trainable gets, in the process that trains."""
    if isinstance(data, Stored):
        data = data.read()
    if not isinstance(data, PackedSets):
        return data
    sets = {name: getattr(data, name) for name in NAMES}
    return SimpleNamespace(
        **{name: value.restore() if value is not None else None for name, value in sets.items()}
    )


@dataclass(frozen=True)
class OwnData:
    """A training and a validation set that nothing is known of: no test set, columns or folds.

    Attributes:
        training: what the trainable gets, with the four sets as attributes.
        warnings: what is allowed but probably not meant, as a dataset has it.
    """

    training: Any
    warnings: tuple[str, ...] = ()

    def cut(self, train: int, validation: int) -> OwnData:
        """Return the first rows of the sets; all of them if there is more than the sets."""
        if isinstance(self.training, PackedSets):
            return OwnData(self.training.cut(train, validation))
        known = isinstance(self.training, SimpleNamespace) and len(vars(self.training)) == 4
        if not known:
            return self
        counts = dict(zip(NAMES, (train, train, validation, validation), strict=True))
        sets = {name: _first(getattr(self.training, name), counts[name]) for name in NAMES}
        return OwnData(SimpleNamespace(**sets))

    @property
    def fingerprint(self) -> str | None:
        """A hash of the arrays or datasets; None if there is anything else."""
        if isinstance(self.training, PackedSets):
            return self.training.fingerprint
        parts = [part for name in NAMES for part in _flatten(getattr(self.training, name), name)]
        arrays = [part for part in parts if not isinstance(part, str)]
        known = all(isinstance(part, np.ndarray) and not part.dtype.hasobject for part in arrays)
        return digest(parts) if known else None

    def __str__(self) -> str:
        """Return the shapes of the sets."""
        if isinstance(self.training, PackedSets):
            return str(self.training)
        return ", ".join(f"{name} {_shape(getattr(self.training, name))}" for name in NAMES)


@dataclass(frozen=True)
class ReadSets:
    """The recipe of sets that are there already: it returns them, whatever the seed."""

    sets: OwnData

    def __repr__(self) -> str:
        """Return the shapes of the sets."""
        return str(self.sets)

    @property
    def is_validated(self) -> bool:
        """True if there is a validation set."""
        return self.sets.training.x_validation is not None

    def __call__(self, seed: int) -> OwnData:  # noqa: ARG002 - nothing is drawn
        """Return the sets."""
        return self.sets


def as_own_data(found: object) -> OwnData | None:
    """Return what a recipe has returned as data for a trainable; None if it cannot be that."""
    if isinstance(found, Mapping) and found.keys() >= set(NAMES):
        return OwnData(SimpleNamespace(**found))
    if isinstance(found, tuple | list) and len(found) == len(NAMES):
        return OwnData(SimpleNamespace(**dict(zip(NAMES, found, strict=True))))
    if all(hasattr(found, name) for name in NAMES):
        return OwnData(found)
    return None


def _flatten(value: Any, name: str) -> Iterator[Any]:
    """Yield the arrays of a set, each after its name."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _flatten(part, f"{name}/{key}")
    elif isinstance(value, tuple | list):
        for place, part in enumerate(value):
            yield from _flatten(part, f"{name}/{place}")
    else:
        yield name
        yield value


def _first(value: Any, count: int) -> Any:
    if isinstance(value, Mapping):
        return {key: _first(part, count) for key, part in value.items()}
    if isinstance(value, tuple | list):
        return type(value)([_first(part, count) for part in value])
    is_array = hasattr(value, "shape") and hasattr(value, "__getitem__")
    return value[:count] if is_array else value


def _shape(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_shape(part)}" for key, part in value.items()) + "}"
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_shape, value))}]"
    shape = getattr(value, "shape", None)
    return type(value).__name__ if shape is None else str(tuple(shape))
