"""Models that the winner has to beat: a constant and a linear model, on the same rows."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from tune_jobs.engine.data.dataset import Dataset, Replica
from tune_jobs.engine.data.scoring.outputs import HALF, meaning_of
from tune_jobs.engine.data.scoring.test_scores import in_units, score
from tune_jobs.engine.data.scoring.thresholds import Choice, HeldOut
from tune_jobs.engine.data.splitting import Array
from tune_jobs.engine.errors import JobError

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

# What a linear model takes: an array, or a sparse matrix of SciPy, which has no types.
Features: TypeAlias = Any

LINEAR = "linear model"

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
        threshold: of two classes, the probability above which it predicts the second: chosen as
            that of the winner is. That of a constant stays, so that it is the majority class.
    """

    name: str
    mean: float | None
    test: Mapping[str, float]
    outputs: Array
    threshold: float = HALF


def score_baselines(
    whole: Dataset, replicas: Sequence[Replica], metric: str
) -> list[BaselineScores]:
    """Train the baselines on a dataset, and score them.

    Args:
        whole: training and validation rows together, and the test set.
        replicas: the folds that the winner was scored on; without any, the validation set is.
        metric: the job's. There is a mean only for the evaluation's own scorers: another metric,
            which the trainable computes, could mean something else here.

    Returns:
        An empty list for several targets.
    """
    training, signature = whole.training, whole.signature
    if training.y_train.ndim > 1:
        return []  # scikit-learn's linear models of classes have one target
    truth = in_units(whole.y_test, whole.preprocessing["target"])
    meaning = meaning_of(signature, truth)
    choice = Choice(metric, meaning, training.scorers)
    scorer = training.scorers.get(metric.removeprefix("val_"))
    x = encode_linearly(training.x_train, signature)
    found = []
    for name, model in make_baselines(signature["task"]).items():
        outputs = _predict_test_set(model, whole, x)
        is_chosen = name == LINEAR and choice.depends_on_it(training.y_train)
        folds = _hold_out(model, whole, x, replicas) if scorer or is_chosen else []
        mean = float(np.mean([scorer(f.truth, f.outputs) for f in folds])) if scorer else None
        threshold = _choose(choice, folds) if is_chosen else HALF
        read = replace(meaning, threshold=threshold)
        test = score(read, truth, outputs, training.scorers)
        found.append(BaselineScores(name, mean, test, outputs, threshold))
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
        return {"mean": DummyRegressor(), LINEAR: RidgeCV(np.logspace(-3, 3, 7))}
    return {
        "majority class": DummyClassifier(strategy="prior"),
        LINEAR: LogisticRegression(max_iter=200),
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


def _hold_out(
    model: BaseEstimator, whole: Dataset, x: Features, replicas: Sequence[Replica]
) -> list[HeldOut]:
    """Train a model for each fold, and predict the rows that it holds out."""
    training, signature, found = whole.training, whole.signature, []
    apart = encode_linearly(training.x_validation, signature)
    for each in replicas or (Replica(0),):
        if each.train is None:
            fitted, held, y, truth = x, apart, training.y_train, training.y_validation
        else:
            fitted, held = x[each.train], x[each.validation]
            y, truth = training.y_train[each.train], training.y_train[each.validation]
        found.append(HeldOut(truth, fit_and_predict(model, signature, fitted, y, held)))
    return found


def _choose(choice: Choice, folds: Sequence[HeldOut]) -> float:
    """Choose a threshold; 0.5 if the metric cannot be computed for each fold."""
    try:
        return choice.choose(folds).value
    except JobError:
        return HALF
