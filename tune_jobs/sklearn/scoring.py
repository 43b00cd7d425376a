"""Scikit-learn's scorers on the validation rows of a fold, as a fit calls them every epoch."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tune_jobs.engine.data.splitting import Array
from tune_jobs.engine.errors import JobError, first_line
from tune_jobs.engine.names import nearest
from tune_jobs.sklearn.predictions import make_estimator
from tune_jobs.sklearn.targets import Target

ScikitScorer = Callable[..., float]

# The name of the one scorer of a search, as in the columns of ``cv_results_``.
SCORE = "score"


@dataclass(frozen=True)
class FoldScorer:
    """A scorer of scikit-learn, called with the outputs of a model for a fold's validation rows.

    Attributes:
        name: of the column in ``cv_results_``.
        call: scikit-learn's scorer.
        target: of all rows.
        x: the features of all rows as they came, for a function that looks at them.
        params: further arguments of the scorer, such as weights, a value per row.
    """

    name: str
    call: ScikitScorer
    target: Target
    x: Any = None
    params: Mapping[str, Any] | None = None
    takes_rows = True

    def __call__(self, truth: Array, outputs: Array, rows: Array) -> float:  # noqa: ARG002
        """Score outputs of shape (rows, outputs); NaN if scikit-learn cannot score them.

        Raises:
            JobError: for outputs that mean nothing for the target.
        """
        target = self.target
        estimator = make_estimator(lambda _: outputs, target.meaning, target.classes)
        rows = rows % len(target.values)  # raw columns have a block of all rows per fold
        x = np.arange(len(rows)).reshape(-1, 1) if self.x is None else take_rows(self.x, rows)
        params = {name: take_rows(each, rows) for name, each in (self.params or {}).items()}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the value says it
            try:
                return float(self.call(estimator, x, target.values[rows], **params))
            except Exception as error:
                raise JobError(f"scorer {self.name!r}: {first_line(error)}") from error


def take_rows(values: Any, rows: Array) -> Any:
    """Return chosen rows of an array, a list or a DataFrame."""
    from sklearn.utils import _safe_indexing

    return _safe_indexing(values, rows)


def find_scorers(scoring: Any, default: str) -> dict[str, ScikitScorer]:
    """Return the scorers that a search is given, by the names of their columns.

    Args:
        scoring: None, a name, a function, or several of them in a list, a tuple or a dict.
        default: the scorer of an estimator without ``scoring``.

    Raises:
        JobError: for an unknown name, or anything else that is no scorer.
    """
    if scoring is None:
        return {SCORE: _find(default)}
    if isinstance(scoring, str) or callable(scoring):
        return {SCORE: _find(scoring)}
    if isinstance(scoring, Mapping) and scoring:
        return {_check_name(name): _find(each) for name, each in scoring.items()}
    if isinstance(scoring, list | tuple | set) and scoring:
        names = list(scoring)
        if all(isinstance(name, str) for name in names) and len(set(names)) == len(names):
            return {name: _find(name) for name in names}
    raise JobError(
        f"scoring is {scoring!r}, but must be None, the name of a scorer, a function "
        "scorer(estimator, X, y), a list of different names, or a dict of names and scorers"
    )


def _check_name(name: object) -> str:
    if not isinstance(name, str) or not name:
        raise JobError(f"scoring has the key {name!r}, but must have texts")
    return name


def _find(scorer: Any) -> ScikitScorer:
    from sklearn.metrics import get_scorer, get_scorer_names

    if isinstance(scorer, str):
        known = get_scorer_names()
        if scorer not in known:
            raise JobError(f"scikit-learn has no scorer {scorer!r}{nearest(scorer, known)}")
        return get_scorer(scorer)  # type: ignore[no-any-return]
    if not callable(scorer):
        raise JobError(f"scoring has {scorer!r}, but must have names of scorers or functions")
    return scorer  # type: ignore[no-any-return]


def looks_at_rows(scorer: ScikitScorer) -> bool:
    """Return whether a scorer may look at the features: those of ``make_scorer`` do not."""
    return not hasattr(scorer, "_score_func")
