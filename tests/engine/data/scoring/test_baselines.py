"""Baselines: a constant and a linear model, scored as the winner is."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score

from tune_jobs.engine import Evaluation, table
from tune_jobs.engine.data.dataset import Dataset
from tune_jobs.engine.data.evaluation import fresh_replicas
from tune_jobs.engine.data.scoring.baselines import BaselineScores, encode_linearly, score_baselines


def score(dataset: Dataset, metric="val_loss", evaluation=None) -> dict[str, BaselineScores]:
    whole, (replicas, *_) = fresh_replicas(dataset, evaluation, 0, 1)
    return {base.name: base for base in score_baselines(whole, replicas, metric)}


@pytest.mark.parametrize(
    ("name", "target", "trivial", "measure", "better"),
    [
        ("breast_cancer", "malignant", "majority class", "roc_auc", 0.95),
        ("wine", "cultivar", "majority class", "accuracy", 0.9),
        ("diabetes", "progression", "mean", "r2", 0.2),
    ],
)
def test_the_linear_model_beats_the_constant_on_the_test_set(
    name, target, trivial, measure, better
) -> None:
    found = score(table(name, target=target)(0))
    assert found["linear model"].test[measure] > better > found[trivial].test[measure]
    assert found["linear model"].mean is None  # nobody knows what val_loss is here


def test_scores_of_numbers_are_in_the_units_of_the_target() -> None:
    dataset = table("diabetes", target="progression")(0)
    error = score(dataset)["mean"].test["root_mean_squared_error"]
    assert error == pytest.approx(77, rel=0.15)  # the standard deviation of the column


def test_one_of_the_evaluations_scorers_is_told_on_the_winners_folds() -> None:
    evaluation = Evaluation(folds=3, scoring="average_precision")
    dataset = evaluation.apply(table("breast_cancer", target="malignant")(0), 0)
    whole, (replicas, *_) = fresh_replicas(dataset, evaluation, 0, 1)
    x, y = whole.training.x_train, whole.training.y_train
    expected = [
        average_precision_score(
            y[r.validation],
            LogisticRegression(max_iter=200)
            .fit(x[r.train], y[r.train])
            .predict_proba(x[r.validation])[:, 1],
        )
        for r in replicas
    ]
    found = score(dataset, "val_average_precision", evaluation)["linear model"].mean
    assert found == pytest.approx(np.mean(expected), rel=1e-6)


def test_a_column_of_text_is_one_column_a_category_for_a_linear_model() -> None:
    frame = pd.DataFrame(
        {
            "city": ["Bern", "Oslo", "Rome"] * 40,
            "age": np.arange(120.0),
            "warm": [False, False, True] * 40,
        }
    )
    dataset = table(frame, target="warm")(0)
    encoded = encode_linearly(dataset.training.x_train, dataset.signature)
    assert encoded.shape[1] == 1 + 4  # and one for what is not known
    assert score(dataset)["linear model"].test["accuracy"] == 1


def test_the_linear_model_has_a_threshold_of_its_own_if_the_metric_looks_at_classes() -> None:
    draw = np.random.default_rng(0)
    size = draw.normal(size=600)
    bought = size + draw.normal(size=600) > 2.2  # 6 % of the rows
    recipe = table(pd.DataFrame({"size": size, "bought": bought}), target="bought")

    def score_by(scorer):
        dataset = Evaluation(scoring=scorer).apply(recipe(0), 0)
        return score(dataset, f"val_{scorer}", Evaluation(scoring=scorer))

    found, same = score_by("balanced_accuracy"), score_by("roc_auc")
    assert found["linear model"].threshold < 0.3
    assert found["linear model"].test["balanced_accuracy"] > 0.7
    assert found["majority class"].threshold == same["linear model"].threshold == 0.5
    assert found["linear model"].test["roc_auc"] == same["linear model"].test["roc_auc"]
