"""Models that the winner has to beat: a constant and a linear model, on the same rows."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from tune_jobs.engine.data.dataset import Dataset, Replica, TrainingData
from tune_jobs.engine.data.scoring.outputs import meaning_of
from tune_jobs.engine.data.scoring.scorers import Scorer
from tune_jobs.engine.data.scoring.test_scores import in_units, score
from tune_jobs.engine.data.splitting import Array

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

# What a linear model takes: an array, or a sparse matrix of SciPy, which has no types.
Features: TypeAlias = Any

# More rows teach a linear model little.
MOST_ROWS = 50_000


@dataclass(frozen=True)
class BaselineScores:
    """The scores of a simple model.

    Attributes:
        name: what it is.
        mean: the mean of the metric over the winner's folds, None if it does not have that metric.
        test: its scores on the test set.
        outputs: its outputs on the test set, as a model has them, in the target's unit.
    """

    name: str
    mean: float | None
    test: Mapping[str, float]
    outputs: Array


def score_baselines(
    whole: Dataset, replicas: Sequence[Replica], metric: str
) -> list[BaselineScores]:
    """Train the baselines on a dataset, and score them.

    Args:
        whole: training and validation rows together, and the test set.
        replicas: the folds that the winner was scored on.
        metric: the job's. There is a mean only for the evaluation's own scorers: another metric,
            which the trainable computes, could mean something else here.

    Returns:
        An empty list for several targets.
    """
    training, signature = whole.training, whole.signature
    if training.y_train.ndim > 1:
        return []  # scikit-learn's linear models of classes have one target
    x = encode_linearly(training.x_train, signature)
    scorer = training.scorers.get(metric.removeprefix("val_"))
    found = []
    for name, model in make_baselines(signature["task"]).items():
        outputs = _predict_test_set(model, whole, x)
        mean = None
        if scorer is not None:
            folds = [_score_fold(scorer, model, training, x, signature, r) for r in replicas]
            mean = float(np.mean(folds))
        found.append(BaselineScores(name, mean, _score_test_set(whole, outputs), outputs))
    return found


def encode_linearly(x: Array, signature: Mapping[str, Any]) -> Features:
    """Encode features for a linear model: codes one-hot, images as flat vectors."""
    from scipy import sparse
    from sklearn.preprocessing import OneHotEncoder

    if x.ndim > 2:
        return x.reshape(len(x), -1).astype("float32") / (signature.get("maximum") or 1)
    counts = list(signature.get("categories", ()))
    if not counts:
        return x
    numbers, codes = x[:, : -len(counts)], x[:, -len(counts) :]
    encoder = OneHotEncoder(categories=[np.arange(count) for count in counts])
    return sparse.hstack([numbers, encoder.fit_transform(codes)], format="csr")


def make_baselines(task: str) -> dict[str, BaseEstimator]:
    """Return the models by name: trivial ones, and linear ones with scikit-learn's defaults."""
    from sklearn.dummy import DummyClassifier, DummyRegressor
    from sklearn.linear_model import LogisticRegression, RidgeCV

    if task == "regression":
        return {"mean": DummyRegressor(), "linear model": RidgeCV(np.logspace(-3, 3, 7))}
    return {
        "class frequencies": DummyClassifier(strategy="prior"),
        "linear model": LogisticRegression(max_iter=200),
    }


def fit_and_predict(
    model: BaseEstimator, signature: Mapping[str, Any], x: Features, y: Array, held: Features
) -> Array:
    """Train on rows and predict others, in the shape of a Keras model's outputs."""
    rows = np.random.default_rng(0).permutation(len(y))[:MOST_ROWS]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an optimum that is nearly reached will do
        model.fit(x[rows], y[rows])
    if signature["task"] == "regression":
        return np.asarray(model.predict(held)).reshape(-1, 1)
    classes = 2 if signature["task"] == "binary" else signature["outputs"]
    outputs = np.zeros((held.shape[0], classes))
    outputs[:, model.classes_.astype(int)] = model.predict_proba(held)
    return outputs[:, 1:] if classes == 2 and signature["task"] == "binary" else outputs


def _predict_test_set(model: BaseEstimator, whole: Dataset, x: Features) -> Array:
    held = encode_linearly(whole.x_test, whole.signature)
    outputs = fit_and_predict(model, whole.signature, x, whole.training.y_train, held)
    return in_units(outputs, whole.preprocessing["target"])


def _score_test_set(whole: Dataset, outputs: Array) -> dict[str, float]:
    truth = in_units(whole.y_test, whole.preprocessing["target"])
    meaning = meaning_of(whole.signature, truth)
    return score(meaning, truth, outputs, whole.training.scorers)


def _score_fold(
    scorer: Scorer,
    model: BaseEstimator,
    training: TrainingData,
    x: Features,
    signature: Mapping[str, Any],
    replica: Replica,
) -> float:
    y, train, held = training.y_train, replica.train, replica.validation
    outputs = fit_and_predict(model, signature, x[train], y[train], x[held])
    return float(scorer(y[held], outputs))
