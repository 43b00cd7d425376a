"""The target: which task it asks for, its values, and what a model's outputs mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tune_jobs.engine.data.arrays import coded, numbers, without_dictionary
from tune_jobs.engine.data.column_kinds import DATE, kind_of
from tune_jobs.engine.data.dataset import standardisation
from tune_jobs.engine.data.kinds.kind import Kind
from tune_jobs.engine.data.scoring.outputs import Meaning
from tune_jobs.engine.data.splitting import Array
from tune_jobs.engine.errors import JobError
from tune_jobs.engine.formatting import count

Task = Literal["binary", "multiclass", "regression"]
TASKS: tuple[str, ...] = get_args(Task)

MOST_CLASSES = 20  # distinct values up to which whole numbers are taken as classes
FEWEST_MEMBERS = 3  # of a class: one for each of training, validation and test set

QUANTITY_HINT = "; if it is a quantity, give task='regression'"


@dataclass(frozen=True)
class Target:
    """The target of a table: classes or numbers.

    Attributes:
        name: the column's.
        task: ``binary``, ``multiclass`` or ``regression``.
        values: codes of the classes, or numbers in their own units, shape (rows,).
        classes: the classes in the order of their codes; None for numbers.
        warnings: what is allowed but probably not meant.
    """

    name: str
    task: str
    values: Array
    classes: list[Any] | None = None
    warnings: tuple[str, ...] = ()

    @property
    def strata(self) -> Array | None:
        """The classes that every part of a split has its share of; None for numbers."""
        return self.values if self.classes else None

    @property
    def outputs(self) -> int:
        """The number of outputs of a model: one per class if there are more than two."""
        return len(self.classes or ()) if self.task == "multiclass" else 1

    def fit(self, train: Array) -> dict[str, Any]:
        """Return its entry in the preprocessing: the classes, or the training rows' mean and scale.

        Raises:
            JobError: for a number that is the same in all training rows.
        """
        if self.classes:
            return {"name": self.name, "task": self.task, "classes": self.classes}
        known = self.values[train]
        if known.min() == known.max():
            raise JobError(
                f"target {self.name!r} is {known[0]:g} in all training rows; "
                "there is nothing to learn"
            )
        mean, scale = standardisation(known)
        return {"name": self.name, "task": self.task, "mean": mean, "scale": scale}

    def encode(self, fitted: dict[str, Any]) -> Array:
        """Return the targets as a trainable gets them, shape (rows,)."""
        if self.task == "multiclass":
            return self.values.astype(np.int32)
        if self.task == "binary":
            return self.values.astype(np.float32)
        standardised: Array = (self.values - fitted["mean"]) / fitted["scale"]
        return standardised.astype(np.float32)


@dataclass(frozen=True)
class Targets:
    """Several targets of a table: labels of two classes each, or numbers."""

    parts: tuple[Target, ...]

    @property
    def task(self) -> str:
        """``binary`` or ``regression``, the same for all."""
        return self.parts[0].task

    @property
    def values(self) -> Array:
        """Codes of the classes, or numbers in their own units, shape (rows, targets)."""
        return np.stack([part.values for part in self.parts], axis=1)

    @property
    def classes(self) -> list[Any] | None:
        """The classes of each; None for numbers."""
        found = [part.classes for part in self.parts]
        return None if None in found else found

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is allowed but probably not meant."""
        return tuple(warning for part in self.parts for warning in part.warnings)

    @property
    def strata(self) -> None:
        """No classes: rows of several labels are split without regard to them."""
        return

    @property
    def outputs(self) -> int:
        """The number of outputs of a model: one per target."""
        return len(self.parts)

    def fit(self, train: Array) -> dict[str, Any]:
        """Return their entry in the preprocessing, a list for each fact.

        Raises:
            JobError: for a number that is the same in all training rows.
        """
        names = [part.name for part in self.parts]
        fitted = [part.fit(train) for part in self.parts]
        facts = ("classes",) if self.classes else ("mean", "scale")
        found: dict[str, Any] = {"name": ", ".join(names), "names": names, "task": self.task}
        return found | {fact: [each[fact] for each in fitted] for fact in facts}

    def encode(self, fitted: dict[str, Any]) -> Array:
        """Return the targets as a trainable gets them, shape (rows, targets)."""
        if self.classes:
            return self.values.astype(np.float32)
        standardised: Array = (self.values - fitted["mean"]) / fitted["scale"]
        return standardised.astype(np.float32)


def read_targets(
    table: pa.Table,
    names: str | Sequence[str],
    task: Task | None,
    classes: Sequence[Any] = (),
) -> Target | Targets:
    """Read the target of a table, or several.

    Args:
        table: with the columns.
        names: of the target, or of several.
        task: None to find it.
        classes: of one target, in the order of their codes; none for their natural order.

    Raises:
        JobError: if one cannot be read, or several are neither all of two classes nor all numbers.
    """
    if isinstance(names, str):
        return read_target(table.column(names), names, task, classes)
    parts = tuple(read_target(table.column(name), name, task) for name in names)
    tasks = {part.task: part.name for part in parts}
    if len(tasks) > 1 or "multiclass" in tasks:
        said = " and ".join(f"{name!r} is {found}" for found, name in tasks.items())
        raise JobError(
            f"target: {said}, but several targets must be all of two classes or all numbers"
        )
    return Targets(parts)


def find_missing(table: pa.Table, names: Sequence[str]) -> Array:
    """Return for each row whether it lacks one of the targets."""
    found = np.zeros(table.num_rows, bool)
    for name in names:
        column = without_dictionary(table[name])
        kind = kind_of(column.type)
        if kind is not None and kind.is_text:
            found |= coded(column).codes < 0
        else:
            found |= column.is_null(nan_is_null=True).to_numpy()
    return found


def read_target(
    column: pa.ChunkedArray, name: str, task: Task | None, classes: Sequence[Any] = ()
) -> Target:
    """Read the target and its task: classes if boolean, text or few integers, else regression.

    Raises:
        JobError: for missing, constant or infinite values, classes too small, or a wrong ``task``.
    """
    column = without_dictionary(column)
    kind = kind_of(column.type)
    if kind is None or kind is DATE:
        raise JobError(f"target {name!r} has the type {column.type}; make it numbers or classes")
    _check_present(column, name, kind)
    found = task or (_task_of(classes) if classes else _find_task(column, kind))
    if found == "regression":
        return _read_numbers(column, name, kind)
    if kind.is_quantity and not pa.types.is_integer(column.type):
        column = _whole(column, name, found)
    return _read_classes(column, name, found, classes)


def prediction_table(outputs: Array, target: Mapping[str, Any], meaning: Meaning) -> pa.Table:
    """Return what a model's outputs mean: a column ``prediction``, and the classes' probabilities.

    Of several labels, of several numbers and of quantiles there are such columns for each.

    Args:
        outputs: shape (rows, outputs).
        target: its entry in the preprocessing.
        meaning: what outputs mean for the dataset.

    Raises:
        JobError: for outputs that do not go with the target.
    """
    if meaning.is_number:
        return _table_of_numbers(outputs, target)
    if meaning.has_labels:
        return _table_of_labels(meaning.label_probabilities(outputs), target)
    classes, found = target["classes"], meaning.probabilities(outputs)
    predicted = _take(classes, meaning.predicted(outputs))
    named = {f"probability_{value}": found[:, place] for place, value in enumerate(classes)}
    return pa.table({"prediction": predicted, **named})


def _table_of_numbers(outputs: Array, target: Mapping[str, Any]) -> pa.Table:
    found = outputs.reshape(len(outputs), -1).astype(float)
    if found.shape[1] == 1:
        return pa.table({"prediction": found[:, 0]})
    names = _names_of(target, found.shape[1])
    return pa.table({f"prediction_{name}": found[:, i] for i, name in enumerate(names)})


def _table_of_labels(found: Array, target: Mapping[str, Any]) -> pa.Table:
    columns = {}
    for place, name in enumerate(_names_of(target, found.shape[1])):
        classes = target["classes"]
        own = classes[place] if "names" in target else classes
        columns[f"prediction_{name}"] = _take(own, found[:, place] > 0.5)
        columns[f"probability_{name}"] = found[:, place]
    return pa.table(columns)


def _names_of(target: Mapping[str, Any], count: int) -> list[str]:
    """Return the names of several targets, or else numbers from 1."""
    names = target.get("names") or ()
    return list(names) if len(names) == count else [str(place + 1) for place in range(count)]


def _check_present(column: pa.ChunkedArray, name: str, kind: Kind) -> None:
    rows, missing = len(column), kind.count_missing(column)
    if missing == rows:
        raise JobError(f"target {name!r} has no value in any of the {rows:,} rows")
    if missing:
        raise JobError(
            f"target {name!r} has no value in {missing:,} of {rows:,} rows; leave them out with "
            "--drop-missing-target (drop_missing_target=True)"
        )


def _find_task(column: pa.ChunkedArray, kind: Kind) -> str:
    distinct = pc.count_distinct(column).as_py()
    if kind.is_quantity and not (pa.types.is_integer(column.type) and distinct <= MOST_CLASSES):
        return "regression"
    return "binary" if distinct <= 2 else "multiclass"


def _read_numbers(column: pa.ChunkedArray, name: str, kind: Kind) -> Target:
    if kind.is_text:
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


def _task_of(classes: Sequence[Any]) -> str:
    return "binary" if len(classes) == 2 else "multiclass"


def _read_classes(
    column: pa.ChunkedArray, name: str, task: str, wanted: Sequence[Any] = ()
) -> Target:
    found = coded(column)
    order = sorted(range(len(found.values)), key=found.values.__getitem__)
    if wanted:
        order = [found.values.index(value) for value in _check_order(found.values, wanted, name)]
    classes = [found.values[place] for place in order]
    if len(classes) == 1:
        raise JobError(f"target {name!r} is {classes[0]!r} in all rows; there is nothing to learn")
    if task == "binary" and len(classes) != 2:
        raise JobError(f"target {name!r} has {len(classes)} classes, but task='binary' needs 2")
    codes = np.argsort(order)[found.codes]
    _check_members(np.bincount(codes), classes, name, column)
    return Target(name, task, codes, classes)


def _check_order(known: Sequence[Any], wanted: Sequence[Any], name: str) -> Sequence[Any]:
    """Refuse an order of the classes that lacks one, or has another."""
    for value in [*known, *wanted]:
        if value not in wanted or value not in known:
            rule = "does not name" if value in known else "names, but no row has,"
            raise JobError(f"classes={tuple(wanted)!r} {rule} {value!r} of target {name!r}")
    return wanted


def _check_members(counts: Array, classes: list[Any], name: str, column: pa.ChunkedArray) -> None:
    rare = int(np.argmin(counts))
    if counts[rare] >= FEWEST_MEMBERS:
        return
    others = int((counts < FEWEST_MEMBERS).sum()) - 1
    also = f" (and {others} other {'class' if others == 1 else 'classes'} too few)"
    raise JobError(
        f"class {classes[rare]!r} of target {name!r} has {count(int(counts[rare]), 'row')}"
        f"{also if others else ''}, but each class needs {FEWEST_MEMBERS}, one for each of "
        "training, validation and test set; drop or merge it"
        f"{QUANTITY_HINT if pa.types.is_integer(column.type) else ''}"
    )


def _take(values: list[Any], places: Array) -> pa.Array:
    return pa.array(values).take(pa.array(places.astype(np.int64)))
