"""Read what ``fit`` and ``predict`` are given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import (
    _check_sample_weight,
    validate_data,
)

from tune_jobs.engine.data.splitting import Array, Fold


def read_features(search: BaseEstimator, x: Any, *, reset: bool) -> Any:
    """Return features as numbers, once they are known to be some.

    Raises:
        ValueError: for anything that is no rows of finite numbers.
    """
    least = 2 if reset else 1
    found = validate_data(search, x, reset=reset, allow_nd=True, ensure_min_samples=least)
    return _check_range(found)


def read_both(search: BaseEstimator, x: Any, y: Any) -> tuple[Any, Array]:
    """Return features and target.

    Raises:
        ValueError: for anything that cannot be learnt from.
    """
    found, target = validate_data(
        search, x, y, allow_nd=True, ensure_min_samples=2, multi_output=True
    )
    if target.ndim == 2 and target.shape[1] == 1:
        from sklearn.utils import column_or_1d

        target = column_or_1d(target, warn=True)
    return _check_range(found), target


def _check_range(x: Array) -> Array:
    """Refuse numbers that are too large for float32.

    Raises:
        ValueError: naming the largest.
    """
    if x.dtype.kind == "f" and x.size and np.abs(x).max() > np.finfo(np.float32).max:
        raise ValueError(f"X has {np.abs(x).max():.3g}, but must have values that fit float32")
    return x


def read_weights(weights: Any, x: Any) -> Array | None:
    """Return the weights of rows as float32.

    Raises:
        ValueError: unless there is one per row, not below 0.
    """
    if weights is None:
        return None
    found = _check_sample_weight(weights, x, dtype=np.float32, ensure_non_negative=True)
    return np.asarray(found)


def cut(
    cv: Any, x: Any, y: Array, groups: Any, *, is_classifier: bool, **params: Any
) -> Sequence[Fold]:
    """Return the folds of scikit-learn's ``check_cv``.

    Raises:
        ValueError: for folds that cannot be cut, or that are empty.
    """
    from sklearn.model_selection import check_cv

    splitter = check_cv(cv, y, classifier=is_classifier)
    folds = [
        (_as_rows(train), _as_rows(held))
        for train, held in splitter.split(x, y, groups=groups, **params)
    ]
    if not folds:
        raise ValueError("cv gives no folds; it must give at least one pair of rows")
    for number, (train, held) in enumerate(folds):
        if not len(train) or not len(held):
            raise ValueError(f"fold {number} of cv is empty, but must have rows in both parts")
    return folds


def _as_rows(rows: Any) -> Array:
    found = np.asarray(rows)
    return np.flatnonzero(found) if found.dtype == bool else found
