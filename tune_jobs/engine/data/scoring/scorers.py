"""Scikit-learn's scorers on the outputs of a Keras model for the validation rows."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from tune_jobs.engine.data.scoring.outputs import OWN, Meaning, Unit, unit_of
from tune_jobs.engine.data.splitting import Array
from tune_jobs.engine.errors import JobError, first_line
from tune_jobs.engine.names import nearest

ScikitScorer: TypeAlias = Callable[[Any, Array, Array], float]
Scoring: TypeAlias = str | ScikitScorer | Sequence[str | ScikitScorer]


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
        meaning: what the outputs mean.
        unit: of numbers, what they are converted to before they are scored.
    """

    name: str
    call: ScikitScorer
    meaning: Meaning
    unit: Unit = OWN

    def __call__(self, truth: Array, outputs: Array) -> float:
        """Score outputs of shape (rows, outputs) against a truth of shape (rows,).

        The truth of several targets has the shape (rows, targets).

        Raises:
            JobError: if the scorer cannot score them.
        """
        rows = np.arange(len(truth)).reshape(-1, 1)
        try:
            truth, estimator = self._stand_in(truth, outputs)
        except JobError as error:
            raise JobError(f"scorer {self.name!r}: {error}") from error
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the value says it
                return float(self.call(estimator, rows, truth))
        except Exception as error:
            raise JobError(f"scorer {self.name!r}: {first_line(error)}") from error

    def _stand_in(self, truth: Array, outputs: Array) -> tuple[Array, Any]:
        """Return the truth as scikit-learn takes it, and an estimator that returns the outputs."""
        from tune_jobs.engine.data.scoring import stand_ins

        meaning = self.meaning
        if meaning.targets == 1:
            truth = truth.reshape(-1)
        if meaning.is_number:
            predicted = self.unit.restore(meaning.numbers(outputs))
            return self.unit.restore(truth), stand_ins.StandInRegressor(predicted)
        if meaning.has_labels:
            probabilities = meaning.label_probabilities(outputs)
            return truth.astype(int), stand_ins.StandInForLabels(probabilities)
        probabilities = meaning.probabilities(outputs)
        return truth.astype(int), stand_ins.StandInClassifier(probabilities, meaning.threshold)


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
    scoring: Sequence[str | ScikitScorer], meaning: Meaning, target: Mapping[str, Any]
) -> dict[str, Scorer]:
    """Build the scorers of a dataset, by name.

    Args:
        scoring: names of scikit-learn's scorers, or scorers.
        meaning: what outputs mean for the dataset.
        target: how the target was encoded; with mean and scale if it was standardised.

    Raises:
        JobError: for a name that scikit-learn does not have.
    """
    unit = unit_of(target)
    names = {name_of(each): _find(each) for each in scoring}
    return {name: Scorer(name, found, meaning, unit) for name, found in names.items()}


def scorer_names() -> list[str]:
    """List the names of scikit-learn's scorers."""
    from sklearn.metrics import get_scorer_names

    return list(get_scorer_names())


def as_read(scorer: Scorer, meaning: Meaning) -> Scorer:
    """Return the scorer for outputs of that meaning, numbers being in the target's unit already."""
    return replace(scorer, meaning=meaning, unit=OWN)


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
    meaning, other = scorer.meaning, truth[::-1]
    if meaning.is_number:
        return other.reshape(len(truth), -1)
    if meaning.has_labels:
        labels: Array = 0.5 * other + 0.25
        return labels
    believed = np.eye(meaning.classes)[other.reshape(-1).astype(int)]
    probabilities: Array = 0.5 * believed + 0.5 / meaning.classes
    return probabilities


def _describe(scorer: Scorer, truth: Array) -> str:
    if scorer.meaning.is_number or scorer.meaning.has_labels:
        return f"{len(truth):,} rows"
    return f"{len(truth):,} rows of {len(np.unique(truth))} of {scorer.meaning.classes} classes"


def _find(scorer: str | ScikitScorer) -> ScikitScorer:
    if not isinstance(scorer, str):
        return scorer
    from sklearn.metrics import get_scorer

    known = scorer_names()
    if scorer not in known:
        raise JobError(
            f"Evaluation: scikit-learn has no scorer {scorer!r}{nearest(scorer, known)} "
            "sklearn.metrics.get_scorer_names() lists them"
        )
    found: ScikitScorer = get_scorer(scorer)
    return found
