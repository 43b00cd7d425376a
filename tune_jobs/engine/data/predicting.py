"""Predict the rows of a table, a DataFrame or images with an exported model."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa

from tune_jobs.engine.data.columns import raw_inputs, string_columns
from tune_jobs.engine.data.reading.again import read_again
from tune_jobs.engine.data.reading.dialect import Dialect
from tune_jobs.engine.data.scoring.outputs import HALF, meaning_of_outputs
from tune_jobs.engine.data.sources import (
    Found,
    Source,
    Written,
    find_column,
    is_frame,
    read_source,
)
from tune_jobs.engine.data.splitting import Array
from tune_jobs.engine.data.target import prediction_table
from tune_jobs.engine.errors import JobError, first_line

if TYPE_CHECKING:
    import pandas as pd

Rows: TypeAlias = "Source | np.ndarray[Any, Any]"

ALL = "all"  # columns to keep


@dataclass(frozen=True)
class Predictor:
    """An exported model, and what makes predictions of its outputs.

    Attributes:
        model: as it was loaded.
        call: returns its outputs for inputs.
        preprocessing: the experiment's.
        constants: what every config of the search holds.
        name: of the experiment, for messages.
        is_trusted: whether the model's code is the user's, who then sees its traceback.
        threshold: of two classes, the probability above which the second is predicted.
    """

    model: Any
    call: Callable[[Any, Any], Any]
    preprocessing: dict[str, Any]
    constants: Mapping[str, Any]
    name: str
    is_trusted: bool = False
    threshold: float = HALF

    @property
    def takes_arrays(self) -> bool:
        """True if the model was trained on a table that was the columns of an array."""
        return "array" in self.preprocessing

    def table(self, source: Rows, keep: Collection[str] = ()) -> pa.Table:
        """Return a prediction per row, beside the ids and the columns to keep.

        Args:
            source: a table as in training, by its path or as a DataFrame; or arrays or images.
            keep: columns that stay beside the predictions; ``("all",)`` for every one.

        Raises:
            JobError: if the source lacks a column, or the model is that of other columns.
        """
        return self.predict(source, keep).table

    def predict(self, source: Rows, keep: Collection[str] = ()) -> Found:
        """Return the same table, with the dialect of the source if that is a CSV file."""
        inputs, beside, dialect = self._inputs(source, keep)
        target = self.preprocessing["target"]
        with self._mismatches():
            outputs = np.asarray(self.call(self.model, inputs))
            meaning = meaning_of_outputs(outputs, target, self.constants)
            read = replace(meaning, threshold=self.threshold)
            found = prediction_table(outputs, target, read)
        return Found(_beside(beside, found), dialect)

    def frame(self, rows: Rows, keep: Collection[str] = ()) -> pd.DataFrame:
        """Return the predictions as a DataFrame, with the index of the rows if they are one."""
        found: pd.DataFrame = self.table(rows, keep).to_pandas()
        return found.set_axis(rows.index, axis=0) if is_frame(rows) else found  # type: ignore[union-attr]

    def _inputs(
        self, source: Rows, keep: Collection[str]
    ) -> tuple[Any, dict[str, Any], Dialect | None]:
        """Return what the model takes, what stands beside the predictions, and the dialect."""
        if self.preprocessing["columns"] is None:
            if keep:
                raise JobError(f"--keep {','.join(keep)} does not apply: images have no columns")
            return self._images(source), {}, None
        if isinstance(source, np.ndarray):
            source = self._as_frame(source)
        ids = list(self.preprocessing.get("ids", []))
        strings = [*string_columns(self.preprocessing), *ids]
        written = Written(**self.preprocessing.get("written", {}))
        read = read_source(source, strings=strings, written=written)
        table = read.table
        kept = _columns_to_keep(keep, table.column_names, ids)
        inputs = raw_inputs(read_again(table, self.preprocessing), self.preprocessing)
        if kept and not is_frame(source):  # as they are written
            table = read_source(source, strings=[*ids, *kept], written=written).table
        beside = {name: table[name] for name in [*ids, *kept]}
        return inputs, beside, read.dialect and self._dialect(read.dialect)

    def _dialect(self, found: Dialect) -> Dialect:
        """Return a dialect with the decimal comma of the training data, if none is in the rows."""
        readings = (column.get("reading", {}) for column in self.preprocessing["columns"])
        has_comma = any(reading.get("decimal") == "," for reading in readings)
        return replace(found, decimal=",") if has_comma and found.separator != "," else found

    def _as_frame(self, array: Array) -> pd.DataFrame:
        """Return an array as the table that the training array was.

        Raises:
            JobError: if the model was trained on a table, or on other columns.
        """
        from tune_jobs.engine.data.given.pairs import name_columns

        width = self.preprocessing.get("array")
        if width is None:
            raise JobError("a model of a table predicts a table or a DataFrame, not an array")
        if array.ndim != 2 or array.shape[1] != width:
            raise JobError(
                f"the array has the shape {array.shape}, but must be (rows, {width}) as in training"
            )
        return name_columns(array)

    def _images(self, source: Rows) -> Any:
        from tune_jobs.engine.data.images import check_rows, read_images

        shape = self.constants.get("input_shape")
        if isinstance(source, np.ndarray):
            return check_rows("the array", source, shape)
        return read_images(source, shape)

    @contextmanager
    def _mismatches(self) -> Iterator[None]:
        """Turn the failure of a model that is not the experiment's into one line.

        Code that the user has given fails with its traceback.

        Raises:
            JobError: if the block raises anything.
        """
        try:
            yield
        except Exception as error:
            if self.is_trusted:
                raise
            raise JobError(
                f"best.keras does not take the columns of {self.name}, or predicts something "
                f"else: {first_line(error)}; is it the file of another experiment?"
            ) from error


def take_frames(model: Any, predictor: Callable[[], Predictor]) -> None:
    """Let a model's ``predict`` take a DataFrame, and return one; else it stays as it is.

    So with an array, if the columns of one were the table that the model was trained on.
    """
    own = getattr(model, "predict", None)
    if own is None:
        return

    def predict(x: Any, *arguments: Any, **settings: Any) -> Any:
        if is_frame(x) or (isinstance(x, np.ndarray) and predictor().takes_arrays):
            return predictor().frame(x)
        return own(x, *arguments, **settings)

    with suppress(AttributeError):  # an object that takes no attributes
        object.__setattr__(model, "predict", predict)


def _columns_to_keep(keep: Collection[str], known: list[str], ids: list[str]) -> list[str]:
    """Return the columns to keep, those that identify rows aside.

    Raises:
        JobError: if one is not there.
    """
    for name in ids:
        find_column(name, known, "the id beside the predictions")
    wanted = known if tuple(keep) == (ALL,) and ALL not in known else keep
    found = [find_column(name, known, "to keep") for name in wanted]
    return [name for name in dict.fromkeys(found) if name not in ids]


def _beside(columns: Mapping[str, Any], predictions: pa.Table) -> pa.Table:
    """Return the predictions with columns before them.

    Raises:
        JobError: if one has the name of a prediction.
    """
    if both := [name for name in columns if name in predictions.column_names]:
        raise JobError(f"column {both[0]!r} cannot be kept: the predictions have one of that name")
    names = [*columns, *predictions.column_names]
    return pa.Table.from_arrays([*columns.values(), *predictions.columns], names=names)
