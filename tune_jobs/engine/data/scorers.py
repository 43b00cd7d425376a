"""Scikit-learn's scorers on the outputs of a Keras model for the validation rows."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from tune_jobs.engine.data.splitting import Array
from tune_jobs.engine.errors import JobError, first_line
from tune_jobs.engine.names import nearest

ScikitScorer: TypeAlias = Callable[[Any, Array, Array], float]
Scoring: TypeAlias = str | ScikitScorer | Sequence[str | ScikitScorer]

TOLERANCE = 1e-3  # by which a probability may be beyond 0 or 1, as short floats have it


@dataclass(frozen=True)
class Scorer:
    """A scorer of a dataset, called as ``scorer(truth, outputs)``; greater is better.

    Scikit-learn's scorer is called with an estimator whose ``predict``, ``predict_proba`` and
    ``decision_function`` return the outputs, with row numbers in place of features, and with the
    truth: classes as their codes from 0, numbers in the target's units. Weights of rows count in
    Keras' loss and metrics, but not here.

    Attributes:
        name: the metric is ``val_<name>``.
        call: scikit-learn's scorer.
        task: ``binary``, ``multiclass`` or ``regression``.
        classes: the number of classes; 0 for numbers.
        mean: what was subtracted from a number for training.
        scale: what it was then divided by.
    """

    name: str
    call: ScikitScorer
    task: str
    classes: int = 0
    mean: float = 0.0
    scale: float = 1.0

    def __call__(self, truth: Array, outputs: Array) -> float:
        """Score outputs of shape (rows, outputs) against a truth of shape (rows,).

        Raises:
            JobError: if the scorer cannot score them.
        """
        from tune_jobs.engine.data.stand_ins import StandInClassifier, StandInRegressor

        rows = np.arange(len(truth)).reshape(-1, 1)
        estimator: Any
        if self.task == "regression":
            truth = truth.reshape(-1).astype(float) * self.scale + self.mean
            predicted = outputs.reshape(-1).astype(float) * self.scale + self.mean
            estimator = StandInRegressor(predicted)
        else:
            truth = truth.reshape(-1).astype(int)
            estimator = StandInClassifier(self._probabilities(outputs))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the value says it
                return float(self.call(estimator, rows, truth))
        except Exception as error:
            raise JobError(f"scorer {self.name!r}: {first_line(error)}") from error

    def _probabilities(self, outputs: Array) -> Array:
        """Return one column per class; a single column is the probability of the second class."""
        found = outputs.reshape(len(outputs), -1).astype(float)
        if found.shape[1] == 1:
            found = np.concatenate([1 - found, found], axis=1)
        if found.shape[1] != self.classes:
            raise JobError(
                f"scorer {self.name!r}: the model has outputs of shape {outputs.shape[1:]}, "
                f"but there are {self.classes} classes"
            )
        if found.min() < -TOLERANCE or found.max() > 1 + TOLERANCE:
            raise JobError(
                f"scorer {self.name!r}: the model's outputs go from {outputs.min():.3g} to "
                f"{outputs.max():.3g}, but must be probabilities; end it in sigmoid or softmax"
            )
        total: Array = found.sum(axis=1, keepdims=True)
        return found if outputs.size == len(outputs) else found / np.where(total > 0, total, 1.0)


def check_scoring(scoring: Scoring | None) -> tuple[str | ScikitScorer, ...]:
    """Return the scorers as a tuple; names are looked up later: scikit-learn is slow to import.

    Raises:
        JobError: for anything but a name or a callable, or for two scorers of one name.
    """
    chosen = _as_tuple(scoring)
    for each in chosen:
        if not (isinstance(each, str) and each) and not callable(each):
            raise JobError(
                f"Evaluation: scoring has {each!r}, but must have names of scikit-learn's scorers "
                "or callables scorer(estimator, X, y)"
            )
        name_of(each)
    names = [name_of(each) for each in chosen]
    if twice := [name for name in names if names.count(name) > 1]:
        raise JobError(f"Evaluation: scoring has two scorers called {twice[0]!r}; rename one")
    return chosen


def _as_tuple(scoring: Scoring | None) -> tuple[str | ScikitScorer, ...]:
    if scoring is None:
        return ()
    if isinstance(scoring, str):
        return (scoring,)
    return tuple(scoring) if isinstance(scoring, Sequence) else (scoring,)


def name_of(scorer: str | ScikitScorer) -> str:
    """Return the name under which a scorer is reported.

    Raises:
        JobError: for a callable without a name.
    """
    if isinstance(scorer, str):
        return scorer
    name = getattr(scorer, "__name__", None)
    if not isinstance(name, str) or not name.isidentifier():
        raise JobError(
            f"Evaluation: scoring has {scorer!r}, which has no name to report it under; "
            "define a function def name(estimator, X, y)"
        )
    return name


def make_scorers(
    scoring: Sequence[str | ScikitScorer], signature: Mapping[str, Any], target: Mapping[str, Any]
) -> dict[str, Scorer]:
    """Build the scorers of a dataset, by name.

    Args:
        scoring: names of scikit-learn's scorers, or scorers.
        signature: the dataset's, with its task and the number of outputs.
        target: how the target was encoded; with mean and scale if it was standardised.

    Raises:
        JobError: for a name that scikit-learn does not have.
    """
    task = signature["task"]
    classes = 2 if task == "binary" else int(signature["outputs"])
    about = {
        "task": task,
        "classes": 0 if task == "regression" else classes,
        "mean": float(target.get("mean", 0.0)),
        "scale": float(target.get("scale", 1.0)),
    }
    return {name_of(each): Scorer(name_of(each), _find(each), **about) for each in scoring}


def check_scorable(scorer: Scorer, truth: Array, where: str) -> None:
    """Refuse a scorer that cannot score some rows, whatever the model.

    It is tried on the outputs of a mediocre model: the truth of other rows, at half weight.

    Args:
        scorer: the scorer.
        truth: the targets of the rows.
        where: the rows in words, for the message.

    Raises:
        JobError: naming the scorer, the rows and the reason.
    """
    try:
        value = scorer(truth, _mediocre_outputs(scorer, truth))
    except JobError as error:
        raise JobError(f"Evaluation: on {where}, {error}") from error.__cause__
    if not math.isfinite(value):
        raise JobError(
            f"Evaluation: scorer {scorer.name!r} gives {value} on {where}, "
            f"which has {_describe(scorer, truth)}"
        )


def _mediocre_outputs(scorer: Scorer, truth: Array) -> Array:
    other = truth.reshape(-1)[::-1]
    if scorer.task == "regression":
        return other.reshape(-1, 1)
    believed = np.eye(scorer.classes)[other.astype(int)]
    probabilities: Array = 0.5 * believed + 0.5 / scorer.classes
    return probabilities[:, 1:] if scorer.task == "binary" else probabilities


def _describe(scorer: Scorer, truth: Array) -> str:
    if scorer.task == "regression":
        return f"{len(truth):,} rows"
    return f"{len(truth):,} rows of {len(np.unique(truth))} of {scorer.classes} classes"


def _find(scorer: str | ScikitScorer) -> ScikitScorer:
    if not isinstance(scorer, str):
        return scorer
    from sklearn.metrics import get_scorer, get_scorer_names

    known = get_scorer_names()
    if scorer not in known:
        raise JobError(
            f"Evaluation: scikit-learn has no scorer {scorer!r}{nearest(scorer, known)} "
            "sklearn.metrics.get_scorer_names() lists them"
        )
    found: ScikitScorer = get_scorer(scorer)
    return found
