"""Stand-ins for fitted estimators: they return a model's outputs for row numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from tune_jobs.engine.data.scoring.outputs import HALF, predicted_of
from tune_jobs.engine.data.splitting import Array

TINY = float(np.finfo(float).tiny)
ALMOST_ONE = 1 - float(np.finfo(float).eps)


class StandInClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier that returns known probabilities, shape (rows, classes)."""

    def __init__(self, probabilities: Array, threshold: float = HALF) -> None:
        self.probabilities, self.threshold = probabilities, threshold
        self.classes_ = np.arange(probabilities.shape[1])

    def predict(self, rows: Any) -> Array:
        """Return the most probable class; of two, the second above the threshold."""
        return predicted_of(self.predict_proba(rows), self.threshold)

    def predict_proba(self, rows: Any) -> Array:
        """Return the probability of each class."""
        found: Array = self.probabilities[np.asarray(rows).reshape(-1)]
        return found

    def decision_function(self, rows: Any) -> Array:
        """Return the log-odds: of the second of two classes, or of each class."""
        odds = log_odds(self.predict_proba(rows))
        return odds[:, 1] if odds.shape[1] == 2 else odds


class StandInForLabels(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier of several labels that returns known probabilities, shape (rows, labels)."""

    def __init__(self, probabilities: Array) -> None:
        self.probabilities = probabilities
        self.classes_ = [np.arange(2)] * probabilities.shape[1]

    def predict(self, rows: Any) -> Array:
        """Return 1 for each label whose probability exceeds 0.5."""
        likely: Array = (self.predict_proba(rows) > HALF).astype(int)
        return likely

    def predict_proba(self, rows: Any) -> Array:
        """Return the probability of each label."""
        found: Array = self.probabilities[np.asarray(rows).reshape(-1)]
        return found

    def decision_function(self, rows: Any) -> Array:
        """Return the log-odds of each label."""
        return log_odds(self.predict_proba(rows))


class StandInRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A regressor that returns known predictions, shape (rows,)."""

    def __init__(self, predictions: Array) -> None:
        self.predictions = predictions

    def predict(self, rows: Any) -> Array:
        """Return the prediction of each row."""
        found: Array = self.predictions[np.asarray(rows).reshape(-1)]
        return found


def log_odds(probabilities: Array) -> Array:
    """Return the log-odds of probabilities, finite even for 0 and 1."""
    found = probabilities.clip(TINY, ALMOST_ONE)
    return np.asarray(np.log(found) - np.log1p(-found))
