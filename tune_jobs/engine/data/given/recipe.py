"""Data as a program has them, made a recipe: arrays, DataFrames, datasets of TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tune_jobs.engine.data.apart import ORIGINS
from tune_jobs.engine.data.own_data import (
    TAKEN,
    OwnData,
    PackedSets,
    ReadSets,
    as_own_data,
)
from tune_jobs.engine.data.sources import is_frame
from tune_jobs.engine.errors import JobError, reason_of

if TYPE_CHECKING:
    from tune_jobs.engine.data.dataset import Dataset

# What packs datasets and knows their shapes; the engine imports no trainables by itself.
DATASETS = "trainables.datasets"

SETS = ("training", *ORIGINS)  # of pairs of arrays, in their order


def as_recipe(data: Any, target: str | Sequence[str] | None = None) -> Any:
    """Return the recipe of a job's data: a function of a seed, or None without data.

    Args:
        data: a recipe, which is returned; a DataFrame or the path of a table; ``(X, y)``, or two or
            three such pairs, the second to validate and the third to test; a ``tf.data.Dataset``,
            or two, the second to validate; or four sets as :class:`~.own_data.OwnData` has them.
        target: the column to predict, or several; of ``(X, y)`` what ``y`` is called.

    Raises:
        JobError: if data are none of these, or do not go together.
    """
    if data is None or callable(data):
        return data if target is None else _with_target(data, target)
    if is_frame(data) or isinstance(data, str | Path):
        return _table_of(data, target)
    datasets = data if isinstance(data, tuple | list) else (data,)
    if datasets and all(_is_pipeline(each) for each in datasets):
        return _datasets_of(datasets, target)
    if _are_sets(data):
        from tune_jobs.engine.data.given.arrays import recipe_of

        pairs = data if all(map(_is_pair, data)) else [data]
        return recipe_of(dict(zip(SETS, pairs, strict=False)), target)
    found = as_own_data(data)
    if found is None:
        raise JobError(f"data is {_brief(data)}, but must be {GIVEN}")
    return ReadSets(_without_target(found, target))


GIVEN = (
    "table(...), images(...), a function of a seed, a DataFrame with target='...', (X, y), a "
    "tf.data.Dataset, or four sets (x_train, y_train, x_validation, y_validation)"
)


def read_data(recipe: Callable[[int], Any], seed: int) -> Dataset | OwnData:
    """Call the recipe of the data.

    Raises:
        JobError: if it raises an exception, or returns something else.
    """
    from tune_jobs.engine.data.dataset import Dataset

    try:
        found = recipe(seed)
    except JobError:
        raise
    except Exception as error:
        raise JobError(
            f"the data cannot be read: {type(error).__name__}: {reason_of(error)}"
        ) from error
    known = found if isinstance(found, Dataset | OwnData) else as_own_data(found)
    if known is None:
        raise JobError(f"data(seed) returned a {type(found).__name__}, but must return {TAKEN}")
    return known


def _with_target(recipe: Any, target: str | Sequence[str]) -> Any:
    """Return a recipe of a table with its target.

    Raises:
        JobError: if it has another one, or is no table.
    """
    wanted = target if isinstance(target, str) else tuple(target)
    if not hasattr(recipe, "target"):
        raise JobError(f"target is {target!r}, but data is {_brief(recipe)}, which has no columns")
    known = recipe.target
    if known not in (None, wanted):
        raise JobError(f"target is {target!r}, but data has the target {known!r}; give one of them")
    return replace(recipe, target=wanted)


def _table_of(source: Any, target: str | Sequence[str] | None) -> Any:
    from tune_jobs.engine.data.apart import say_source
    from tune_jobs.engine.data.table import table

    if target is None:
        shown = say_source(source) if is_frame(source) else repr(str(source))
        raise JobError(
            f"data is {shown}, of which no target is known; add target='...', the column to predict"
        )
    return table(source, target)


def _datasets_of(datasets: Sequence[Any], target: object) -> ReadSets:
    """Return datasets of TensorFlow as they travel: one to train on, another one to validate.

    Raises:
        JobError: if one cannot be trained on, or can be neither sent nor read.
    """
    names = ("data", "the validation dataset")
    if len(datasets) > len(names):
        raise JobError(
            f"data is {len(datasets)} datasets, but must be one, or two: (train, validation)"
        )
    packing = import_module(DATASETS)
    packed = []
    for name, dataset in zip(names, datasets, strict=False):
        try:
            packing.check_dataset(dataset, name)
            packed.append(packing.pack(dataset, name=name))
        except packing.DatasetError as error:
            raise JobError(str(error)) from None
    return ReadSets(_without_target(OwnData(PackedSets(*packed)), target))


def _without_target(found: OwnData, target: object) -> OwnData:
    if target is not None:
        raise JobError(f"target is {target!r}, but data ({found}) have no columns")
    return found


def _is_pipeline(value: Any) -> bool:
    return hasattr(value, "element_spec") and hasattr(value, "as_numpy_iterator")


def _are_sets(data: Any) -> bool:
    """Return whether data are ``(X, y)``, or two or three such pairs."""
    if _is_pair(data):
        return True
    return isinstance(data, tuple | list) and len(data) == len(SETS) and all(map(_is_pair, data))


def _is_pair(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 2


def _brief(value: object) -> str:
    """Return what a value is, in few words."""
    shape = getattr(value, "shape", None)
    if shape is not None:
        return f"a {type(value).__name__} of shape {tuple(shape)}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return getattr(value, "__name__", None) or repr(value)
