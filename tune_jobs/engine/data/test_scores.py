"""Scores on the test set, by scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from tune_jobs.engine.data.scorers import Scorer
from tune_jobs.engine.data.splitting import Array
from tune_jobs.engine.errors import JobError

NO_SCORERS: Mapping[str, Scorer] = {}


def score(
    task: str,
    truth: Array,
    outputs: Array,
    scorers: Mapping[str, Scorer] = NO_SCORERS,
) -> dict[str, float]:
    """Score a model's outputs against the truth, both in the units of the target column.

    Args:
        task: ``binary``, ``multiclass`` or ``regression``.
        truth: class codes, or numbers, shape (rows,).
        outputs: probabilities, shape (rows, 1) or (rows, classes), or numbers, shape (rows, 1).
        scorers: the evaluation's own; those that cannot score these rows are left out.
    """
    if task == "regression":
        found = _score_numbers(truth, outputs[:, 0])
    elif task == "binary":
        found = _score_binary(truth, outputs[:, 0].astype(float))
    else:
        found = _score_classes(truth, outputs.astype(float))
    for name, scorer in scorers.items():
        with suppress(JobError):
            found[name] = replace(scorer, mean=0.0, scale=1.0)(truth, outputs)
    return found


def in_units(values: Array, target: Mapping[str, Any]) -> Array:
    """Convert standardised targets, or outputs, to the target column's units; classes stay."""
    if target["task"] != "regression":
        return values
    return values.astype(float) * float(target["scale"]) + float(target["mean"])


def _score_numbers(truth: Array, predicted: Array) -> dict[str, float]:
    from sklearn import metrics

    return {
        "root_mean_squared_error": float(metrics.root_mean_squared_error(truth, predicted)),
        "mean_absolute_error": float(metrics.mean_absolute_error(truth, predicted)),
        "r2": float(metrics.r2_score(truth, predicted)),
    }


def _score_binary(truth: Array, probability: Array) -> dict[str, float]:
    from sklearn import metrics

    return {
        "log_loss": float(metrics.log_loss(truth, probability, labels=[0, 1])),
        "accuracy": float(metrics.accuracy_score(truth, probability > 0.5)),
        "roc_auc": float(metrics.roc_auc_score(truth, probability)),
        "average_precision": float(metrics.average_precision_score(truth, probability)),
    }


def _score_classes(truth: Array, probabilities: Array) -> dict[str, float]:
    from sklearn import metrics

    probabilities = probabilities / probabilities.sum(axis=1, keepdims=True)
    labels = list(range(probabilities.shape[1]))
    return {
        "log_loss": float(metrics.log_loss(truth, probabilities, labels=labels)),
        "accuracy": float(metrics.accuracy_score(truth, probabilities.argmax(axis=1))),
    }
