"""The recipe of a dataset that is one table with a target column."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tune_jobs.engine.data.apart import (
    Apart,
    arrangement_of,
    as_fractions,
    check_sets,
    check_unarranged,
    is_source,
    list_given,
    mark_origins,
    say_source,
)
from tune_jobs.engine.data.arrangement import read_arrangement, replace_column
from tune_jobs.engine.data.columns import (
    choose_columns,
    count_codes,
    encode,
    fingerprint,
    fit_each,
    raw_inputs,
)
from tune_jobs.engine.data.dataset import Dataset, TrainingData
from tune_jobs.engine.data.inspection.columns import describe_columns
from tune_jobs.engine.data.inspection.suspicions import find_suspicions
from tune_jobs.engine.data.kinds.kind import Column, Fitted
from tune_jobs.engine.data.reading.calendar_texts import ORDERS, DateOrder
from tune_jobs.engine.data.reading.refine import Wanted
from tune_jobs.engine.data.reading.whole import Whole, read_rows, refine_rows
from tune_jobs.engine.data.signature import count_classes, name_sets, signature_of
from tune_jobs.engine.data.sources import Source, Written, find_column, is_frame
from tune_jobs.engine.data.splitting import Arrangement, Array, Split
from tune_jobs.engine.data.target import TASKS, Target, Targets, Task, read_targets
from tune_jobs.engine.errors import JobError, check_whole_number
from tune_jobs.engine.formatting import listed
from tune_jobs.engine.names import nearest

if TYPE_CHECKING:
    import pandas as pd


# Fields that its representation shows if they are not as they are by default.
SHOWN = ("scale_target", "drop_missing_target", "missing", "date_order", "decimal", "classes")


@dataclass(frozen=True)
class Table:
    """The recipe of a dataset from a table: called with a seed, it reads, splits and encodes.

    ``groups`` and ``order`` name the column that arranges the rows; the job's evaluation sets them.
    That column is not a feature, whether or not ``ignore`` names it too. With ``from_array`` the
    features were the columns of an array.

    Raises:
        JobError: for a wrong field; when called, for data that cannot be learnt.
    """

    source: str | Path | pd.DataFrame | None
    target: str | tuple[str, ...] | None
    task: Task | None = None
    ignore: tuple[str, ...] = ()
    validation: float | Source = 0.2
    test: float | Source = 0.2
    max_categories: int = 1000
    groups: str | None = None
    order: str | None = None
    scale_target: bool = True
    drop_missing_target: bool = False
    ids: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    date_order: DateOrder | None = None
    encoding: str | None = None
    separator: str | None = None
    decimal: str | None = None
    classes: tuple[Any, ...] = ()
    from_array: bool = False

    def __post_init__(self) -> None:
        _check_fields(self)

    def __repr__(self) -> str:
        """Return the call that makes it; of a DataFrame it shows the size."""
        more = "".join(
            f", {field.name}={getattr(self, field.name)!r}"
            for field in fields(self)
            if field.name in SHOWN and getattr(self, field.name) != field.default
        )
        for name in ("validation", "test"):
            if is_source(value := getattr(self, name)):
                more += f", {name}={say_source(value)!r}"
        target = list(self.target) if isinstance(self.target, tuple) else self.target
        return f"table({say_source(self.source)!r}, target={target!r}{more})"

    def describe(self, seed: int = 0) -> str:
        """Read the table, and describe its columns, its classes, its sets and what looks wrong."""
        return self(seed).describe()

    @property
    def targets(self) -> tuple[str, ...]:
        """The columns to predict."""
        return (self.target,) if isinstance(self.target, str) else self.target or ()

    def __call__(self, seed: int) -> Dataset:
        """Read the source and make its dataset; preprocessing is learnt from the training set."""
        rows = self._read()
        whole = rows.table
        names = self.target if isinstance(self.target, str) else self.targets
        target = read_targets(whole, names, self.task, self.classes)
        arrangement = read_arrangement(whole, self.groups, self.order)
        split = self._split(seed, target, arrangement or Apart(rows.origins))
        features = whole.drop_columns({*self.targets, *self._arranging, *self.ids})
        learnt = fit_each(features, split.train, self.max_categories)
        columns, warnings = choose_columns(learnt)
        fitted = self._fit(target, split.train)
        preprocessing = {
            "columns": [_with_reading(column, rows) for column in columns],
            "target": fitted,
            **({"ids": list(self.ids)} if self.ids else {}),
            **({"array": features.num_columns} if self.from_array else {}),
            **({"written": self._written} if self._written else {}),
        }
        training, x_test, y_test = _arrays(features, target, preprocessing, split)
        classes = count_classes(target)
        sets = name_sets(training, x_test, y_test)
        labels = whole.drop_columns([*self.ids])
        suspicions = find_suspicions(features, labels, columns, sets, classes)
        arranged = replace_column(whole, arrangement)
        return Dataset(
            training,
            x_test,
            y_test,
            raw_test=raw_inputs(features.take(split.test), preprocessing),
            signature=signature_of(target, fitted, training.x_train)
            | {"categories": count_codes(columns)},
            preprocessing=preprocessing,
            fingerprint=mark_origins(fingerprint(arranged), rows.origins),
            warnings=(*rows.warnings, *target.warnings, *warnings, *suspicions),
            notes=rows.notes,
            columns=describe_columns(whole, preprocessing, self._uses(target, learnt)),
            classes=classes,
            width=whole.num_columns,
            arrangement=arrangement_of(arrangement, rows.origins, split),
        )

    def _read(self) -> Whole:
        """Read all rows, and refuse a source without the columns that are named."""
        if self.source is None:
            raise JobError("the job names no table: give --data FILE and --target COLUMN")
        found = read_rows(
            self.source,
            list_given(validation=self.validation, test=self.test),
            ignore=[name for name in self.ignore if name not in self._arranging],
            written=Written(self.encoding, self.separator, self.decimal),
        )
        names = found.found.table.column_names
        if self.target is None:
            raise JobError(
                f"the job names no target: give --target COLUMN, one of {listed(names, 20)}"
            )
        for what, wanted in (("the target", self.targets), ("an id", self.ids)):
            for name in wanted:
                find_column(name, names, what)
        dialect = found.found.dialect
        decimal = self.decimal or (dialect.decimal if dialect else ".")
        return refine_rows(
            found,
            Wanted(decimal, self.date_order, self.missing),
            without_missing=self.targets if self.drop_missing_target else (),
        )

    @property
    def _written(self) -> dict[str, str]:
        """What the user says of how the file is written, which holds for new rows, too."""
        names = ("encoding", "separator", "decimal")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    @property
    def _arranging(self) -> list[str]:
        return [name for name in (self.groups, self.order) if name is not None]

    def _uses(self, target: Target | Targets, learnt: Mapping[str, Fitted]) -> dict[str, str]:
        """Say what is done with the columns that are no features, by name."""
        found = {name: f"left out: {each.dropped}" for name, each in learnt.items() if each.dropped}
        found |= dict.fromkeys(self.ids, "kept beside the predictions")
        found |= dict.fromkeys(self.targets, "the target")
        if isinstance(target, Target):
            said = f"{len(target.classes)} classes" if target.classes else "a number"
            found[target.name] = f"the target: {said}"
        return found | {
            name: f"says the {what} of the rows"
            for name, what in ((self.groups, "groups"), (self.order, "order"))
            if name is not None
        }

    def _fit(self, target: Target | Targets, train: Array) -> dict[str, Any]:
        """Return the target's entry in the preprocessing."""
        fitted = target.fit(train)
        if not self.scale_target and not target.classes:
            fitted |= {"mean": 0.0, "scale": 1.0}
        return fitted

    def _split(self, seed: int, target: Target | Targets, arrangement: Arrangement) -> Split:
        fractions = as_fractions(validation=self.validation, test=self.test)
        return arrangement.split(seed, classes=target.strata, **fractions)


def table(
    source: str | Path | pd.DataFrame | None = None,
    target: str | Sequence[str] | None = None,
    *,
    task: Task | None = None,
    ignore: Iterable[str] = (),
    validation: float | Source = 0.2,
    test: float | Source = 0.2,
    max_categories: int = 1000,
    scale_target: bool = True,
    drop_missing_target: bool = False,
    ids: Iterable[str] = (),
    missing: Iterable[str] = (),
    date_order: DateOrder | None = None,
    encoding: str | None = None,
    separator: str | None = None,
    decimal: str | None = None,
    classes: Iterable[Any] = (),
) -> Table:
    """Say which table to learn from; nothing is read before the recipe is called with a seed.

    Args:
        source: what :func:`~tune_jobs.engine.data.sources.read_source` reads; None if only the
            command line names it.
        target: the column to predict; or several, all of two classes or all numbers; or None, too.
        task: what the target is; None to find it from its type and values.
        ignore: columns to leave out, such as identifiers and dates.
        validation: the fraction of rows that trials are compared on; or a table of these rows, a
            path or a DataFrame.
        test: the fraction of rows that the search never sees; or a table of them.
        max_categories: how many of the most frequent categories of a text column have a code at
            most; beyond 50, those that two training rows have.
        scale_target: whether a number to predict is standardised for training. Metrics are reported
            in its own unit all the same; so is a loss that means nothing else, such as a
            percentage. With False the trainable gets it as it is.
        drop_missing_target: leave out rows without a target, which are refused otherwise.
        ids: columns that are not learnt from, but stand beside the predictions.
        missing: texts that mean a missing value in every column, such as "?".
        date_order: ``dmy`` or ``mdy``, for dates such as 03/04/2026 if no value decides.
        encoding: of a CSV file, as Python calls it; None to find it. So with the next two.
        separator: between the columns of a CSV file.
        decimal: the mark before fractions.
        classes: of one target, in the order of their codes, such as ("low", "middle", "high");
            without them their natural order.

    Raises:
        JobError: for a wrong argument.
    """
    return Table(
        source,
        target if isinstance(target, str | None) else tuple(target),
        task,
        _as_tuple(ignore),
        validation,
        test,
        max_categories,
        scale_target=scale_target,
        drop_missing_target=drop_missing_target,
        ids=_as_tuple(ids),
        missing=_as_tuple(missing),
        date_order=date_order,
        encoding=encoding,
        separator=separator,
        decimal=decimal,
        classes=tuple(classes),
    )


def _as_tuple(names: Iterable[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _with_reading(column: Column, rows: Whole) -> Column:
    reading = rows.readings.get(column["name"])
    return {**column, "reading": reading} if reading else column


def _check_fields(recipe: Table) -> None:
    is_path = isinstance(recipe.source, str | Path) and str(recipe.source)
    if recipe.source is not None and not is_frame(recipe.source) and not is_path:
        raise JobError(f"source is {recipe.source!r}, but must be a path or a DataFrame")
    check_sets(validation=recipe.validation, test=recipe.test)
    arranging = {"groups": recipe.groups, "order": recipe.order}
    check_unarranged(arranging, validation=recipe.validation, test=recipe.test)
    _check_targets(recipe)
    if recipe.task is not None and recipe.task not in TASKS:
        hint = nearest(str(recipe.task), TASKS)
        raise JobError(f"no task {recipe.task!r}{hint} Tasks: {', '.join(TASKS)}")
    for target in recipe.targets:
        if target in (recipe.groups, recipe.order):
            raise JobError(f"target {target!r} cannot be the groups or the order too")
        for field in ("ignore", "ids"):
            if target in getattr(recipe, field):
                raise JobError(f"{field} names {target!r}, which is the target")
    check_whole_number("max_categories", recipe.max_categories, 1)
    for field in ("scale_target", "drop_missing_target"):
        if not isinstance(getattr(recipe, field), bool):
            raise JobError(f"{field} is {getattr(recipe, field)!r}, but must be True or False")
    _check_texts(recipe)


def _check_texts(recipe: Table) -> None:
    if recipe.date_order not in (None, *ORDERS):
        raise JobError(f"date_order is {recipe.date_order!r}, but must be 'dmy', 'mdy' or None")
    if recipe.decimal not in (None, ".", ","):
        raise JobError(f"decimal is {recipe.decimal!r}, but must be '.', ',' or None")
    mark = recipe.separator
    if mark is not None and (not isinstance(mark, str) or len(mark) != 1 or mark == "\n"):
        raise JobError(f"separator is {mark!r}, but must be one character or None")
    if both := set(recipe.ids) & set(recipe.ignore):
        raise JobError(f"ignore and ids both name {min(both)!r}; an id is not learnt from")


def _check_targets(recipe: Table) -> None:
    names = recipe.target
    if names is None or (isinstance(names, str) and names):
        return
    if not isinstance(names, tuple | list) or not all(isinstance(n, str) and n for n in names):
        raise JobError(f"target is {names!r}, but must be the name of a column, or several names")
    if len(set(names)) < max(len(names), 2):
        raise JobError(f"target is {list(names)!r}, but must be several columns, each once")


def _arrays(
    features: pa.Table, target: Target | Targets, preprocessing: dict[str, Any], split: Split
) -> tuple[TrainingData, Array, Array]:
    parts = (split.train, split.validation, split.test)
    x_train, x_validation, x_test = encode(features, preprocessing["columns"], parts)
    y = target.encode(preprocessing["target"])
    training = TrainingData(x_train, y[split.train], x_validation, y[split.validation])
    return training, x_test, y[split.test]
