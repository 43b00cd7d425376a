"""What a model gets right and wrong on the test set, in numbers that charts are drawn from."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from tune_jobs.engine.data.scoring.outputs import Meaning
from tune_jobs.engine.data.splitting import Array
from tune_jobs.engine.errors import JobError

Points: TypeAlias = "tuple[tuple[float, float], ...]"

MOST_CLASSES = 20
MOST_POINTS = 50
BINS = 10
QUANTILES = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Rows whose predicted probability is about the same.

    Attributes:
        predicted: the mean probability of the second class.
        share: of the rows that are of that class.
        rows: how many they are.
    """

    predicted: float
    share: float
    rows: int


@dataclass(frozen=True, kw_only=True)
class Details:
    """What a model gets right and wrong.

    Attributes:
        classes: their names, in the order of the confusion matrix.
        confusion: for each class, how many of its rows were predicted as each class.
        roc: of two classes, false and true positive rates.
        precision_recall: of two classes, recalls and precisions.
        calibration: of two classes, ten bins of the predicted probability, without empty ones.
        residuals: of a number, the quantiles of predicted minus true values, at 0, 1, 5, 10, 25,
            50, 75, 90, 95, 99 and 100 %.
    """

    classes: tuple[str, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    roc: Points = ()
    precision_recall: Points = ()
    calibration: tuple[Bin, ...] = ()
    residuals: tuple[float, ...] = ()


def details_of(
    meaning: Meaning, truth: Array, outputs: Array, classes: Sequence[object] = ()
) -> Details | None:
    """Return what outputs get right and wrong; None of several targets, quantiles or no rows."""
    if meaning.targets > 1 or not len(truth):
        return None
    with suppress(JobError):
        if meaning.is_number:
            errors = meaning.numbers(outputs) - truth.reshape(-1)
            return Details(residuals=tuple(map(float, np.quantile(errors, QUANTILES))))
        return _of_classes(meaning, truth.reshape(-1).astype(int), outputs, classes)
    return None


def _of_classes(
    meaning: Meaning, truth: Array, outputs: Array, classes: Sequence[object]
) -> Details:
    probabilities, count = meaning.probabilities(outputs), meaning.classes
    names = tuple(map(str, classes)) if len(classes) == count else tuple(map(str, range(count)))
    found = Details(classes=names, confusion=_confusion(truth, meaning.predicted(outputs), count))
    if count != 2 or len(np.unique(truth)) < 2:
        return found
    roc, precision_recall = _curves(probabilities[:, 1], truth)
    return Details(
        classes=names,
        confusion=found.confusion,
        roc=roc,
        precision_recall=precision_recall,
        calibration=_calibration(probabilities[:, 1], truth),
    )


def _confusion(truth: Array, predicted: Array, count: int) -> tuple[tuple[int, ...], ...]:
    """Count the rows by their class and the predicted one; nothing for very many classes."""
    if count > MOST_CLASSES:
        return ()
    found = np.bincount(truth * count + predicted, minlength=count * count)
    return tuple(tuple(map(int, row)) for row in found.reshape(count, count))


def _curves(likely: Array, truth: Array) -> tuple[Points, Points]:
    """Return the ROC curve, and recalls and precisions; rows of one probability are one step."""
    order = np.argsort(-likely, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(likely[order])), len(order) - 1)
    hits = np.cumsum(truth[order])[ends]
    alarms = ends + 1 - hits
    recall = hits / truth.sum()
    roc = _thinned(np.append(0, alarms / (len(truth) - truth.sum())), np.append(0, recall))
    return roc, _thinned(recall, hits / (ends + 1))


def _thinned(x: Array, y: Array) -> Points:
    places = np.unique(np.linspace(0, len(x) - 1, min(len(x), MOST_POINTS)).round().astype(int))
    return tuple((float(x[place]), float(y[place])) for place in places)


def _calibration(likely: Array, truth: Array) -> tuple[Bin, ...]:
    bins = np.minimum((likely * BINS).astype(int), BINS - 1)
    return tuple(
        Bin(
            predicted=float(likely[bins == each].mean()),
            share=float(truth[bins == each].mean()),
            rows=int((bins == each).sum()),
        )
        for each in np.unique(bins)
    )
