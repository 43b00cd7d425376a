"""Measures of predictions on rows, for intervals and for paired comparisons of two models.

Most are a mean of a value per row. Others, such as the area under a ROC curve, are of all rows
together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from tune_jobs.engine.data.scoring.outputs import Meaning
from tune_jobs.engine.data.scoring.scorers import Scorer, as_read, make_scorers, scorer_names
from tune_jobs.engine.data.splitting import Array
from tune_jobs.engine.errors import JobError
from tune_jobs.engine.goal import Mode

LEAST = 1e-7  # the least probability that a logarithm is taken of, as Keras has it

# Names of Keras' metrics and losses, and the measures that they are.
LIKE = {
    "binary_accuracy": "accuracy",
    "categorical_accuracy": "accuracy",
    "sparse_categorical_accuracy": "accuracy",
    "acc": "accuracy",
    "auc": "ROC AUC",
    "roc_auc": "ROC AUC",
    "mae": "mean absolute error",
    "mean_absolute_error": "mean absolute error",
    "mse": "mean squared error",
    "mean_squared_error": "mean squared error",
    "rmse": "root mean squared error",
    "root_mean_squared_error": "root mean squared error",
}


@dataclass(frozen=True)
class Measure:
    """A measure of predictions on rows.

    Attributes:
        name: in words.
        mode: whether small or large values are good.
        score: of all rows together, given the truth and the outputs.
        per_row: a value per row, whose mean it is; None if it is no mean.
    """

    name: str
    mode: Mode
    score: Callable[[Array, Array], float]
    per_row: Callable[[Array, Array], Array] | None = None


def measures_of(meaning: Meaning) -> dict[str, Measure]:
    """Return the measures that everybody knows for a target, by name, the best known first."""
    if meaning.targets > 1:
        return {}
    if meaning.is_number:
        found = [
            Measure("root mean squared error", "min", _root_mean_square(meaning)),
            _mean(
                "mean absolute error", "min", lambda truth, out: abs(_errors(meaning, truth, out))
            ),
            _mean(
                "mean squared error", "min", lambda truth, out: _errors(meaning, truth, out) ** 2
            ),
        ]
    else:
        found = [
            _mean("accuracy", "max", lambda y, out: _hits(meaning, y, out)),
            _mean("log loss", "min", lambda y, out: _surprise(meaning, y, out)),
        ]
        if meaning.classes == 2:
            found.insert(1, Measure("ROC AUC", "max", lambda y, out: _area(meaning, y, out)))
    return {each.name: each for each in found}


def measure_of(metric: str, meaning: Meaning, scorers: Mapping[str, Scorer]) -> Measure | None:
    """Return the measure that a search's metric is on the test set, or the nearest to it.

    The loss of a model, whatever it is, counts as the log loss or the root mean squared error, and
    so does a metric that only the trainable can compute.

    Args:
        metric: the search's.
        meaning: what outputs mean.
        scorers: the evaluation's own.

    Returns:
        None for several targets.
    """
    name, known = metric.removeprefix("val_"), measures_of(meaning)
    if not known:
        return None
    if same := known.get(LIKE.get(name, name.replace("_", " "))):
        return same
    if name in scorers:
        return Measure(name, "max", as_read(scorers[name], meaning))
    if name in scorer_names() and not meaning.is_number and meaning.classes == 2:
        return Measure(name, "max", _by_scorer(name, meaning))
    return known["root mean squared error" if meaning.is_number else "log loss"]


def _mean(name: str, mode: Mode, per_row: Callable[[Array, Array], Array]) -> Measure:
    return Measure(name, mode, lambda truth, out: float(np.mean(per_row(truth, out))), per_row)


def _by_scorer(name: str, meaning: Meaning) -> Callable[[Array, Array], float]:
    return make_scorers([name], meaning, {})[name]


def _errors(meaning: Meaning, truth: Array, outputs: Array) -> Array:
    errors: Array = meaning.numbers(outputs) - truth.reshape(-1)
    return errors


def _root_mean_square(meaning: Meaning) -> Callable[[Array, Array], float]:
    return lambda truth, out: float(np.sqrt(np.mean(_errors(meaning, truth, out) ** 2)))


def _hits(meaning: Meaning, truth: Array, outputs: Array) -> Array:
    """Return 1.0 for each row whose class is predicted."""
    hits: Array = meaning.predicted(outputs) == truth.reshape(-1)
    return hits.astype(float)


def _area(meaning: Meaning, truth: Array, outputs: Array) -> float:
    """Return the area under the ROC curve, from the ranks of the rows (Mann and Whitney 1947).

    Raises:
        JobError: if all rows are of one class.
    """
    from scipy.stats import rankdata

    ranks = rankdata(meaning.probabilities(outputs)[:, 1])
    positive = truth.reshape(-1) == 1
    first, second = int((~positive).sum()), int(positive.sum())
    if not first or not second:
        raise JobError("all rows are of one class")
    return float((ranks[positive].sum() - second * (second + 1) / 2) / (first * second))


def _surprise(meaning: Meaning, truth: Array, outputs: Array) -> Array:
    """Return the negative logarithm of the probability of each row's class."""
    rows = np.arange(len(truth))
    likely = meaning.probabilities(outputs)[rows, truth.reshape(-1).astype(int)]
    surprise: Array = -np.log(likely.clip(LEAST, 1.0))
    return surprise
