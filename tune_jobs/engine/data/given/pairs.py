"""Read ``(X, y)``: refuse what is no rows, and give columns and targets names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from tune_jobs.engine.data.sources import is_frame
from tune_jobs.engine.data.splitting import Array
from tune_jobs.engine.errors import JobError
from tune_jobs.engine.formatting import count

if TYPE_CHECKING:
    import pandas as pd

TARGET = "y"  # what a target without a name is called
COLUMN = "x"  # before the number of a column of an array
NUMBERS = "uifb"  # kinds of numpy's types


@dataclass(frozen=True)
class RowSet:
    """The rows of one set.

    Attributes:
        x: a DataFrame, or an array of numbers.
        y: the targets, by name.
    """

    x: Any
    y: pd.DataFrame

    @property
    def is_array(self) -> bool:
        """True unless the features are a DataFrame."""
        return not is_frame(self.x)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a row."""
        return tuple(self.x.shape[1:])

    def as_frame(self, first: RowSet) -> pd.DataFrame:
        """Return features and targets in one DataFrame, the targets called as those of a set.

        Raises:
            JobError: if a feature is called as a target.
        """
        import pandas as pd

        x = self.x.reset_index(drop=True) if is_frame(self.x) else name_columns(self.x)
        names = list(first.y.columns)
        if both := {str(name) for name in x.columns} & set(names):
            name = min(both)
            raise JobError(f"X has a column {name!r}, as y is called; name y with target='...'")
        return pd.concat([x, self.y.set_axis(names, axis=1)], axis=1)


def name_columns(array: Array) -> pd.DataFrame:
    """Return rows and columns as a DataFrame with a name per column: x0, x1 and so on."""
    import pandas as pd

    return pd.DataFrame(array, columns=[f"{COLUMN}{place}" for place in range(array.shape[1])])


def read_pair(name: str, pair: tuple[Any, Any], target: str | Sequence[str] | None) -> RowSet:
    """Read features and targets.

    Args:
        name: of the set, for messages.
        pair: X and y.
        target: what y is called, or its columns.

    Raises:
        JobError: if they are no rows, or differ in their number.
    """
    of = "" if name == "training" else f" of the {name} set"
    x, y = _read_features(f"X{of}", pair[0]), _read_targets(f"y{of}", pair[1], target)
    if len(x) != len(y):
        raise JobError(f"X{of} has {count(len(x), 'row')}, but y{of} has {len(y):,}")
    if not len(x):
        raise JobError(f"X{of} has no rows")
    _check_order(of, *pair)
    return RowSet(x, y)


def _read_features(name: str, x: Any) -> Any:
    """Return features as a DataFrame, or as an array of finite numbers.

    Raises:
        JobError: if they are neither.
    """
    if is_frame(x):
        return x
    array = _as_array(name, x)
    if array.ndim < 2:
        raise JobError(
            f"{name} has the shape {array.shape}, but must have rows and columns; of one column "
            "give X.reshape(-1, 1)"
        )
    if array.dtype.kind not in NUMBERS:
        raise JobError(
            f"{name} has the type {array.dtype}, but must be numbers; for texts, dates and "
            "categories give a DataFrame, whose columns have types of their own"
        )
    if array.ndim == 2:
        return array.astype(np.float32) if array.dtype == np.float16 else array
    array = array if array.dtype in (np.uint8, np.float32) else array.astype(np.float32)
    odd = 0 if array.dtype == np.uint8 else int((~np.isfinite(array)).sum())
    if odd:
        raise JobError(f"{name} has {count(odd, 'value')} infinite or not a number; replace them")
    return array[..., np.newaxis] if array.ndim == 3 and array.dtype == np.uint8 else array


def _as_array(name: str, value: Any) -> Array:
    if hasattr(value, "toarray"):
        raise JobError(f"{name} is a sparse {type(value).__name__}; give {name[0]}.toarray()")
    try:
        return np.asarray(value)
    except ValueError as error:  # rows of several lengths
        raise JobError(f"{name} is no array: {error}") from None


def _read_targets(name: str, y: Any, target: str | Sequence[str] | None) -> pd.DataFrame:
    """Return targets by name.

    Raises:
        JobError: if they are no columns of texts or numbers, or as many as their names.
    """
    import pandas as pd

    if y is None:
        raise JobError(f"{name} is None, but must have a target per row")
    wanted = None if target is None else [target] if isinstance(target, str) else list(target)
    columns = _target_columns(name, y)
    names = wanted or [TARGET if each is None else str(each) for each in columns]
    if len(names) != len(columns):
        raise JobError(f"target names {len(names)} columns, but {name} has {len(columns)}")
    for column in columns.values():
        _check_values(name, column)
    return pd.DataFrame(dict(zip(names, columns.values(), strict=True)))


def _target_columns(name: str, y: Any) -> dict[Any, Any]:
    """Return the columns of targets by their own names, None for one without."""
    import pandas as pd

    if is_frame(y):
        return {each: y[each].reset_index(drop=True) for each in y.columns}
    if isinstance(y, pd.Series):
        return {y.name: y.reset_index(drop=True)}
    array = _as_array(name, y)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 1:
        return {None: pd.Series(array)}
    if array.ndim != 2:
        raise JobError(
            f"{name} has the shape {array.shape}, but must be (rows,) or (rows, targets)"
        )
    if _is_one_hot(array):
        raise JobError(
            f"{name} has a single 1 in each row, as one-hot classes have; give the classes, "
            "y.argmax(axis=1)"
        )
    return {f"{TARGET}{place}": pd.Series(array[:, place]) for place in range(array.shape[1])}


def _is_one_hot(array: Array) -> bool:
    if array.dtype.kind not in NUMBERS or not len(array):
        return False
    return bool(np.isin(array, (0, 1)).all() and (array.sum(axis=1) == 1).all())


def _check_values(name: str, column: pd.Series) -> None:
    """Refuse targets that are neither texts nor numbers.

    Raises:
        JobError: naming the type of one.
    """
    try:
        pa.array(column, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError):
        kinds = sorted({type(each).__name__ for each in column})
        raise JobError(
            f"{name} has values of the types {', '.join(kinds)}, but must be numbers, texts or "
            "booleans, all of one type"
        ) from None


def _check_order(of: str, x: Any, y: Any) -> None:
    """Refuse features and targets whose indexes have the same labels in another order.

    Raises:
        JobError: saying how to mend it.
    """
    if not (hasattr(x, "iloc") and hasattr(y, "iloc")):
        return
    if x.index.equals(y.index) or not x.index.is_unique or not y.index.is_unique:
        return
    if x.index.sort_values().equals(y.index.sort_values()):
        raise JobError(
            f"X{of} and y{of} have the same rows in another order, as their indexes say; give "
            "y.loc[X.index]"
        )
