"""A search on arrays, end to end: what is searched, scored, chosen and predicted."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.metrics import average_precision_score
from sklearn.model_selection import StratifiedKFold

from tests.scikit_learn.builds import build
from tune_jobs.sklearn import SearchCV
from tune_jobs.sklearn.features import encode_numbers
from tune_jobs.sklearn.fitting import make_trainable
from tune_jobs.sklearn.searching import Rows
from tune_jobs.sklearn.targets import read_target


def test_the_scores_of_the_folds_are_scikit_learns_on_the_same_predictions(
    searched: SearchCV, rows: tuple[Any, Any]
) -> None:
    x, y = rows
    results, best = searched.cv_results_, searched.best_index_
    folds = list(StratifiedKFold(3).split(x, y))
    seen = record_outputs(searched, x, y, folds)

    for fold, (_, held) in enumerate(folds):
        outputs = seen[fold][searched.best_epochs_ - 1]
        expected = average_precision_score(y[held], outputs[:, 0])
        assert results[f"split{fold}_test_ap"][best] == pytest.approx(expected, rel=1e-6)
        looked = x[held, 0].sum() + expected
        assert results[f"split{fold}_test_seen"][best] == pytest.approx(looked, rel=1e-5)


def record_outputs(search: SearchCV, x: Any, y: Any, folds: Any) -> list[list[Any]]:
    """Train the best config once more in this process; return the outputs per fold and epoch."""
    seen: list[list[Any]] = [[] for _ in folds]

    def note(truth: Any, outputs: Any, rows: Any) -> float:
        (fold,) = [place for place, (_, held) in enumerate(folds) if rows[0] in held]
        seen[fold].append(outputs.copy())
        return 0.5

    note.takes_rows = True  # type: ignore[attr-defined]
    recipe = Rows(encode_numbers(x, folds), read_target(y, "classification"), [], None, seed=0)
    data = replace(recipe(0).training, scorers={"ap": note})
    constants = search.experiment_.description.constants
    make_trainable(build)({**search.best_params_, **constants}, data)
    return seen


def test_the_best_mean_over_the_folds_wins(searched: SearchCV) -> None:
    results, best = searched.cv_results_, searched.best_index_
    splits = np.array([results[f"split{fold}_test_ap"] for fold in range(3)])

    assert np.allclose(results["mean_test_ap"], splits.mean(axis=0))
    assert np.allclose(results["std_test_ap"], splits.std(axis=0))
    assert searched.best_score_ == results["mean_test_ap"].max() == results["mean_test_ap"][best]
    assert results["rank_test_ap"][best] == 1
    assert searched.best_params_ == results["params"][best]
    assert searched.n_splits_ == 3
    assert searched.multimetric_
    assert set(searched.scorer_) == {"ap", "seen"}


def test_the_final_model_is_trained_on_all_rows_for_the_best_number_of_epochs(
    searched: SearchCV, rows: tuple[Any, Any], tmp_path: Path
) -> None:
    x, y = rows
    config = searched.best_estimator_.outputs.config

    assert config["rows"] == len(x)
    assert (
        config["epochs"]
        == searched.best_epochs_
        == searched.cv_results_["epochs"][searched.best_index_]
    )
    assert searched.predict_proba(x).shape == (len(x), 2)
    assert (searched.predict(x) == y).mean() > 0.9
    assert searched.score(x, y) == pytest.approx(
        average_precision_score(y, searched.predict_proba(x)[:, 1])
    )
    assert list(searched.classes_) == [0, 1]
    assert searched.n_features_in_ == 30
    searched.best_estimator_.outputs.model.save(tmp_path / "best.keras")  # no pickle
    read = keras.saving.load_model(tmp_path / "best.keras").predict(x, verbose=0)
    assert np.allclose(read[:, 0], searched.predict_proba(x)[:, 1], atol=1e-6)


def test_a_clone_is_not_fitted_and_has_the_same_settings(searched: SearchCV) -> None:
    copy = clone(searched)

    assert not hasattr(copy, "cv_results_")
    assert copy.get_params()["epochs"] == 4
    assert copy.build is build


def test_a_second_fit_finds_the_same_warm_workers(
    searched: SearchCV, rows: tuple[Any, Any]
) -> None:
    again = clone(searched).set_params(n_iter=1).fit(*rows)

    workers = set(searched.experiment_.trials["worker"])
    assert set(again.experiment_.trials["worker"]) <= workers
    assert again.best_params_ == searched.cv_results_["params"][0]
