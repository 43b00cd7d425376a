"""Read what ``fit`` and ``predict`` are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import (
    _check_sample_weight,
    _check_y,
    check_consistent_length,
    validate_data,
)

from tune_jobs.engine.data.splitting import Array, Fold
from tune_jobs.sklearn.features import is_raw


def read_features(search: BaseEstimator, x: Any, *, reset: bool) -> Any:
    """Return features as numbers, once they are known to be some.

    Raises:
        ValueError: for anything that is no rows of finite numbers.
    """
    if is_raw(x) if reset else getattr(search, "takes_raw_columns_", False):
        return validate_data(search, x, reset=reset, skip_check_array=True)
    least = 2 if reset else 1
    found = validate_data(search, x, reset=reset, allow_nd=True, ensure_min_samples=least)
    return _check_range(found)


def read_both(search: BaseEstimator, x: Any, y: Any) -> tuple[Any, Array]:
    """Return features and target.

    Raises:
        ValueError: for anything that cannot be learnt from.
    """
    if is_raw(x):
        validate_data(search, x, skip_check_array=True)
        return x, _check_rows(x, y)
    found, target = validate_data(
        search, x, y, allow_nd=True, ensure_min_samples=2, multi_output=True
    )
    if target.ndim == 2 and target.shape[1] == 1:
        from sklearn.utils import column_or_1d

        target = column_or_1d(target, warn=True)
    return _check_range(found), target


def _check_rows(x: Any, y: Any) -> Array:
    """Return the target of raw columns.

    Raises:
        ValueError: unless there is one value per row, and several rows.
    """
    if y is None:
        raise ValueError("SearchCV requires y to be passed, but the target y is None")
    target = np.asarray(_check_y(y, multi_output=True))
    check_consistent_length(x, target)
    if len(target) < 2:
        raise ValueError(f"X has {len(target)} sample, but a minimum of 2 is required")
    return target


def _check_range(x: Array) -> Array:
    """Refuse numbers that are too large for float32.

    Raises:
        ValueError: naming the largest.
    """
    if x.dtype.kind == "f" and x.size and np.abs(x).max() > np.finfo(np.float32).max:
        raise ValueError(f"X has {np.abs(x).max():.3g}, but must have values that fit float32")
    return x


def read_weights(weights: Any, x: Any, y: Array, *, is_classifier: bool) -> Array | None:
    """Return the weights of rows as float32.

    Raises:
        ValueError: unless there is one per row, none below 0, and several classes have one above 0.
    """
    if weights is None:
        return None
    found = np.asarray(_check_sample_weight(weights, x, dtype=np.float32, ensure_non_negative=True))
    if is_classifier and y.ndim == 1 and len(np.unique(y[found > 0])) < 2:
        raise ValueError("sample_weight is above 0 for only 1 class, but must be for 2 classes")
    return found


def cut(
    cv: Any, x: Any, y: Array, *, is_classifier: bool, params: Mapping[str, Any]
) -> Sequence[Fold]:
    """Return the folds of scikit-learn's ``check_cv``.

    Args:
        cv: a number of folds, a splitter, or the folds themselves.
        x: the features.
        y: the target.
        is_classifier: whether a number of folds is stratified.
        params: of the splitter, such as groups.

    Raises:
        ValueError: for folds that cannot be cut, or that are empty.
    """
    from sklearn.model_selection import check_cv

    splitter = check_cv(cv, y, classifier=is_classifier)
    folds = [(_as_rows(train), _as_rows(held)) for train, held in splitter.split(x, y, **params)]
    if not folds:
        raise ValueError("cv gives no folds; it must give at least one pair of rows")
    for number, (train, held) in enumerate(folds):
        if not len(train) or not len(held):
            raise ValueError(f"fold {number} of cv is empty, but must have rows in both parts")
    return folds


def _as_rows(rows: Any) -> Array:
    found = np.asarray(rows)
    return np.flatnonzero(found) if found.dtype == bool else found
