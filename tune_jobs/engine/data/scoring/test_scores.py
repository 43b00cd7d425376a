"""Scores on the test set, by scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from tune_jobs.engine.data.scoring.outputs import HALF, Meaning, unit_of
from tune_jobs.engine.data.scoring.scorers import Scorer, as_read
from tune_jobs.engine.data.splitting import Array
from tune_jobs.engine.errors import JobError

NO_SCORERS: Mapping[str, Scorer] = {}


def score(
    meaning: Meaning,
    truth: Array,
    outputs: Array,
    scorers: Mapping[str, Scorer] = NO_SCORERS,
) -> dict[str, float]:
    """Score a model's outputs against the truth, both in the units of the target column.

    Args:
        meaning: what the outputs mean.
        truth: class codes, or numbers, shape (rows,); of several targets, shape (rows, targets).
        outputs: probabilities or numbers, a column each.
        scorers: the evaluation's own; those that cannot score these rows are left out.

    Raises:
        JobError: if the outputs do not mean that, such as quantiles of one number.
    """
    if meaning.is_number:
        found = _score_numbers(truth, meaning.numbers(outputs))
    elif meaning.has_labels:
        found = _score_labels(truth, meaning.label_probabilities(outputs))
    elif meaning.classes == 2:
        found = _score_binary(truth, meaning.probabilities(outputs)[:, 1], meaning.threshold)
    else:
        found = _score_classes(truth, meaning.probabilities(outputs))
    for name, scorer in scorers.items():
        with suppress(JobError):
            found[name] = as_read(scorer, meaning)(truth, outputs)
    return found


def in_units(values: Array, target: Mapping[str, Any]) -> Array:
    """Convert standardised targets, or outputs, to the target column's units; classes stay."""
    return unit_of(target).restore(values) if target["task"] == "regression" else values


def _score_numbers(truth: Array, predicted: Array) -> dict[str, float]:
    from sklearn import metrics

    if predicted.ndim > 1:  # targets of different units have no common error
        return {"r2": float(metrics.r2_score(truth, predicted))}
    return {
        "root_mean_squared_error": float(metrics.root_mean_squared_error(truth, predicted)),
        "mean_absolute_error": float(metrics.mean_absolute_error(truth, predicted)),
        "r2": float(metrics.r2_score(truth, predicted)),
    }


def _score_binary(truth: Array, probability: Array, threshold: float = HALF) -> dict[str, float]:
    from sklearn import metrics

    return {
        "log_loss": float(metrics.log_loss(truth, probability, labels=[0, 1])),
        "accuracy": float(metrics.accuracy_score(truth, probability > threshold)),
        "roc_auc": float(metrics.roc_auc_score(truth, probability)),
        "average_precision": float(metrics.average_precision_score(truth, probability)),
    }


def _score_labels(truth: Array, probabilities: Array) -> dict[str, float]:
    """Return the mean over the labels of each label's scores."""
    scores = [
        _score_binary(truth[:, label], probabilities[:, label])
        for label in range(probabilities.shape[1])
        if len(np.unique(truth[:, label])) == 2
    ]
    names = scores[0] if scores else {}
    return {name: float(np.mean([each[name] for each in scores])) for name in names}


def _score_classes(truth: Array, probabilities: Array) -> dict[str, float]:
    from sklearn import metrics

    labels = list(range(probabilities.shape[1]))
    return {
        "log_loss": float(metrics.log_loss(truth, probabilities, labels=labels)),
        "accuracy": float(metrics.accuracy_score(truth, probabilities.argmax(axis=1))),
    }
