"""The recipe of a dataset that is one table with a target column."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tune_jobs.engine.data.arrangement import read_arrangement, replace_column
from tune_jobs.engine.data.columns import (
    Column,
    Kind,
    coded,
    encode,
    fingerprint,
    fit_columns,
    kind_of,
    numbers,
    raw_inputs,
    without_dictionary,
)
from tune_jobs.engine.data.dataset import Dataset, TrainingData, standardisation
from tune_jobs.engine.data.sources import find_column, is_frame, read_table
from tune_jobs.engine.data.splitting import (
    Arrangement,
    Array,
    Split,
    check_fractions,
    kept_rows,
    split_rows,
)
from tune_jobs.engine.errors import JobError
from tune_jobs.engine.names import nearest

if TYPE_CHECKING:
    import pandas as pd

Task = Literal["binary", "multiclass", "regression"]
TASKS: tuple[str, ...] = get_args(Task)

MOST_CLASSES = 20  # distinct values up to which whole numbers are taken as classes
FEWEST_MEMBERS = 3  # of a class: one for each part


@dataclass(frozen=True)
class Table:
    """How to make a dataset from a table: called with a seed, it reads, splits and encodes.

    ``groups`` and ``order`` name the column that arranges the rows; the job's evaluation says it.
    That column is no feature, whether or not ``ignore`` names it too.

    Raises:
        JobError: for a field that is not as it must be; for the data, when called.
    """

    source: str | Path | pd.DataFrame
    target: str
    task: Task | None = None
    ignore: tuple[str, ...] = ()
    validation: float = 0.2
    test: float = 0.2
    max_categories: int = 50
    groups: str | None = None
    order: str | None = None

    def __post_init__(self) -> None:
        _check_fields(self)
        check_fractions(validation=self.validation, test=self.test)

    def __repr__(self) -> str:
        """The call that makes it; a DataFrame shows its size only."""
        shown = f"<DataFrame {self.source.shape}>" if is_frame(self.source) else str(self.source)  # type: ignore[union-attr]
        return f"table({shown!r}, target={self.target!r})"

    def __call__(self, seed: int) -> Dataset:
        """Read the source and make its dataset, preprocessing fitted on the training part only."""
        arranging = [name for name in (self.groups, self.order) if name is not None]
        ignore = [name for name in self.ignore if name not in arranging]
        whole = read_table(self.source, ignore=ignore)
        find_column(self.target, whole.column_names, "the target")
        target = read_target(whole.column(self.target), self.target, self.task)
        arrangement = read_arrangement(whole, self.groups, self.order)
        split = self._split(seed, target, arrangement)
        features = whole.drop_columns([self.target, *arranging])
        columns, warnings = fit_columns(features, split.train, self.max_categories)
        preprocessing = {"columns": columns, "target": target.fit(split.train)}
        training, x_test, y_test = _arrays(features, target, preprocessing, split)
        return Dataset(
            training,
            x_test,
            y_test,
            raw_test=raw_inputs(features.take(split.test), preprocessing),
            signature=_signature(target, columns, training.x_train),
            preprocessing=preprocessing,
            fingerprint=fingerprint(replace_column(whole, arrangement)),
            warnings=(*target.warnings, *warnings),
            arrangement=arrangement and arrangement.take(kept_rows(split)),
        )

    def _split(self, seed: int, target: Target, arrangement: Arrangement | None) -> Split:
        classes = target.values if target.classes else None
        split = (
            partial(split_rows, len(target.values)) if arrangement is None else arrangement.split
        )
        return split(seed, validation=self.validation, test=self.test, classes=classes)


def table(
    source: str | Path | pd.DataFrame,
    target: str,
    *,
    task: Task | None = None,
    ignore: Iterable[str] = (),
    validation: float = 0.2,
    test: float = 0.2,
    max_categories: int = 50,
) -> Table:
    """Say which table to learn from; nothing is read before the recipe is called with a seed.

    Args:
        source: what :func:`~tune_jobs.engine.data.sources.read_table` reads.
        target: the column to predict.
        task: what the target is; found from its type and values where None.
        ignore: columns to leave out, such as identifiers and dates.
        validation: the fraction of rows that trials are compared on.
        test: the fraction of rows that is kept away from the search.
        max_categories: how many categories of a text column, the most frequent, have a code.

    Raises:
        JobError: for an argument that is not as it must be.
    """
    left_out = (ignore,) if isinstance(ignore, str) else tuple(ignore)
    return Table(source, target, task, left_out, validation, test, max_categories)


@dataclass(frozen=True)
class Target:
    """What is predicted: codes of classes, or numbers in their own units where there are none."""

    name: str
    task: str
    values: Array
    classes: list[Any] | None = None
    warnings: tuple[str, ...] = ()

    def fit(self, train: Array) -> dict[str, Any]:
        """Its part of the preprocessing: the classes, or the training rows' mean and scale.

        Raises:
            JobError: for a number that is the same throughout the training part.
        """
        if self.classes:
            return {"name": self.name, "task": self.task, "classes": self.classes}
        known = self.values[train]
        if known.min() == known.max():
            raise JobError(
                f"target {self.name!r} is {known[0]:g} in all rows to train on; nothing to learn"
            )
        mean, scale = standardisation(known)
        return {"name": self.name, "task": self.task, "mean": mean, "scale": scale}

    def encode(self, fitted: dict[str, Any]) -> Array:
        """The targets as a trainable gets them, shape (rows,)."""
        if self.task == "multiclass":
            return self.values.astype(np.int32)
        if self.task == "binary":
            return self.values.astype(np.float32)
        standardised: Array = (self.values - fitted["mean"]) / fitted["scale"]
        return standardised.astype(np.float32)


def read_target(column: pa.ChunkedArray, name: str, task: Task | None) -> Target:
    """The target and its task: classes if boolean, text or few whole numbers, else regression.

    Raises:
        JobError: for missing, constant or infinite values, classes too small, or a wrong ``task``.
    """
    column = without_dictionary(column)
    kind = kind_of(column.type)
    if kind is None:
        raise JobError(f"target {name!r} has the type {column.type}; make it numbers or classes")
    _check_present(column, name, kind)
    found = task or _find_task(column, kind)
    if found == "regression":
        return _read_numbers(column, name, kind)
    if kind == "numeric" and not pa.types.is_integer(column.type):
        column = _whole(column, name, found)
    return _read_classes(column, name, found)


def _check_fields(recipe: Table) -> None:
    if not is_frame(recipe.source) and not (
        isinstance(recipe.source, str | Path) and str(recipe.source)
    ):
        raise JobError(f"source is {recipe.source!r}, but must be a path or a DataFrame")
    if not isinstance(recipe.target, str) or not recipe.target:
        raise JobError(f"target is {recipe.target!r}, but must be the name of a column")
    if recipe.task is not None and recipe.task not in TASKS:
        hint = nearest(str(recipe.task), TASKS).rstrip(".")
        raise JobError(f"no task {recipe.task!r}{hint}; tasks: {', '.join(TASKS)}")
    if recipe.target in (recipe.groups, recipe.order):
        raise JobError(f"target {recipe.target!r} cannot say the groups or the order too")
    if recipe.target in recipe.ignore:
        raise JobError(f"ignore names {recipe.target!r}, which is the target")
    most = recipe.max_categories
    if isinstance(most, bool) or not isinstance(most, int) or most < 1:
        raise JobError(f"max_categories is {most!r}, but must be a whole number >= 1")


def _check_present(column: pa.ChunkedArray, name: str, kind: Kind) -> None:
    rows = len(column)
    if kind == "categorical":
        missing = int((coded(column).codes < 0).sum())
    else:
        missing = pc.sum(pc.is_null(column, nan_is_null=True)).as_py()
    if missing == rows:
        raise JobError(f"target {name!r} has no value in any of the {rows:,} rows")
    if missing:
        raise JobError(
            f"target {name!r} has no value in {missing:,} of {rows:,} rows; drop them first: "
            f"frame.dropna(subset=[{name!r}])"
        )


def _find_task(column: pa.ChunkedArray, kind: Kind) -> str:
    distinct = pc.count_distinct(column).as_py()
    if kind == "numeric" and not (pa.types.is_integer(column.type) and distinct <= MOST_CLASSES):
        return "regression"
    return "binary" if distinct <= 2 else "multiclass"


def _read_numbers(column: pa.ChunkedArray, name: str, kind: Kind) -> Target:
    if kind == "categorical":
        raise JobError(f"target {name!r} is text, but task='regression' needs numbers")
    values = numbers(name, column, "target")
    distinct = len(np.unique(values))
    if distinct == 1:
        raise JobError(f"target {name!r} is {values[0]:g} in all rows; there is nothing to learn")
    warning = f"target {name!r} has 2 values, but is taken as a number; see task='binary'"
    return Target(name, "regression", values, None, (warning,) if distinct == 2 else ())


def _whole(column: pa.ChunkedArray, name: str, task: str) -> pa.ChunkedArray:
    values = numbers(name, column, "target")
    if (np.mod(values, 1) != 0).any() or (np.abs(values) > 2**53).any():
        raise JobError(f"target {name!r} has fractions, but task={task!r} needs classes")
    return pa.chunked_array([values.astype(np.int64)])


def _read_classes(column: pa.ChunkedArray, name: str, task: str) -> Target:
    found = coded(column)
    order = sorted(range(len(found.values)), key=found.values.__getitem__)
    classes = [found.values[place] for place in order]
    if len(classes) == 1:
        raise JobError(f"target {name!r} is {classes[0]!r} in all rows; there is nothing to learn")
    if task == "binary" and len(classes) != 2:
        raise JobError(f"target {name!r} has {len(classes)} classes, but task='binary' needs 2")
    codes = np.argsort(order)[found.codes]
    _check_members(np.bincount(codes), classes, name, column)
    return Target(name, task, codes, classes)


def _check_members(counts: Array, classes: list[Any], name: str, column: pa.ChunkedArray) -> None:
    rare = int(np.argmin(counts))
    if counts[rare] >= FEWEST_MEMBERS:
        return
    others = int((counts < FEWEST_MEMBERS).sum()) - 1
    also = f" (and {others} other classes too few)" if others else ""
    number = "; if it is a quantity, give task='regression'"
    raise JobError(
        f"class {classes[rare]!r} of target {name!r} has {counts[rare]} "
        f"row{'s' if counts[rare] > 1 else ''}{also}, but each class needs {FEWEST_MEMBERS}, one a "
        f"part; drop or merge it{number if pa.types.is_integer(column.type) else ''}"
    )


def _arrays(
    features: pa.Table, target: Target, preprocessing: dict[str, Any], split: Split
) -> tuple[TrainingData, Array, Array]:
    parts = (split.train, split.validation, split.test)
    x_train, x_validation, x_test = encode(features, preprocessing["columns"], parts)
    y = target.encode(preprocessing["target"])
    training = TrainingData(x_train, y[split.train], x_validation, y[split.validation])
    return training, x_test, y[split.test]


def _signature(target: Target, columns: list[Column], x_train: Array) -> dict[str, Any]:
    known = [column["categories"] for column in columns if "categories" in column]
    return {
        "task": target.task,
        "input_shape": [x_train.shape[1]],
        "outputs": len(target.classes or ()) if target.task == "multiclass" else 1,
        "rows": len(x_train),
        "categories": [len(categories) + 1 for categories in known],  # one more: the code 0
    }
