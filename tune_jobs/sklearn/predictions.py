"""What the outputs of a model predict, in the terms of scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from tune_jobs.engine.data.scoring.outputs import Meaning
from tune_jobs.engine.data.scoring.stand_ins import log_odds
from tune_jobs.engine.data.splitting import Array

# Returns the outputs of a model for rows: probabilities, or numbers.
Outputs = Callable[[Any], Array]


class ModelClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A fitted classifier.

    Attributes:
        outputs: of the model.
        meaning: what they mean.
        classes_: the classes in the order of their codes; of several labels, a list of them.
    """

    def __init__(self, outputs: Outputs, meaning: Meaning, classes: Any) -> None:
        self.outputs, self.meaning, self.classes = outputs, meaning, classes
        self.classes_ = classes

    def predict_proba(self, X: Any) -> Array:  # noqa: N803 - scikit-learn's name
        """Return the probability of each class, or of each label."""
        found = self.outputs(X)
        if self.meaning.has_labels:
            return self.meaning.label_probabilities(found)
        return self.meaning.probabilities(found)

    def predict(self, X: Any) -> Array:  # noqa: N803
        """Return the most probable class, or 1 for each label above 0.5."""
        found = self.predict_proba(X)
        if self.meaning.has_labels:
            return np.asarray(found > 0.5).astype(int)
        return np.asarray(self.classes_[found.argmax(axis=1)])

    def decision_function(self, X: Any) -> Array:  # noqa: N803
        """Return the log-odds: of the second of two classes, or of each class or label."""
        odds = log_odds(self.predict_proba(X))
        is_binary = not self.meaning.has_labels and odds.shape[1] == 2
        return odds[:, 1] if is_binary else odds


class ModelRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A fitted regressor.

    Attributes:
        outputs: of the model.
        meaning: what they mean.
    """

    def __init__(self, outputs: Outputs, meaning: Meaning) -> None:
        self.outputs, self.meaning = outputs, meaning

    def predict(self, X: Any) -> Array:  # noqa: N803
        """Return the predicted number of each row, or several numbers."""
        return self.meaning.numbers(self.outputs(X))


def make_estimator(outputs: Outputs, meaning: Meaning, classes: Any) -> Any:
    """Return a fitted estimator of a model's outputs."""
    if meaning.is_number:
        return ModelRegressor(outputs, meaning)
    return ModelClassifier(outputs, meaning, classes)
