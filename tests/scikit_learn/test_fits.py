"""Searches of all kinds of data and settings, in warm workers of one Ray."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn
from joblib import parallel_config
from ray import tune
from sklearn.datasets import load_iris
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.scikit_learn.builds import build, build_or_fail
from tune_jobs.engine import RandomSearch, as_grid
from tune_jobs.sklearn import SearchCV

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3))
Y = (X[:, 0] > 0).astype(int)


def test_nested_cross_validation_in_a_pipeline(small: SearchCV, rows: tuple[Any, Any]) -> None:
    x, y = rows
    small.set_params(task="classification", scoring="average_precision")
    nested = make_pipeline(StandardScaler(), small)

    scores = cross_val_score(nested, 100 * x + 5, y, cv=3, scoring="average_precision")

    assert scores.shape == (3,)
    assert scores.min() > 0.9
    assert not hasattr(small, "cv_results_")  # clones were fitted


def test_threads_search_one_after_another(small: SearchCV) -> None:
    small.set_params(task="classification")

    with parallel_config(backend="threading"):
        scores = cross_val_score(small, X, Y, cv=3, n_jobs=3, error_score="raise")

    assert np.array_equal(scores, cross_val_score(small, X, Y, cv=3, error_score="raise"))


def test_several_classes_of_texts(small: SearchCV) -> None:
    x, y = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])[y]

    small.set_params(epochs=20).fit(StandardScaler().fit_transform(x), names)

    assert list(small.classes_) == ["setosa", "versicolor", "virginica"]
    assert small.predict_proba(x[:4]).sum(axis=1) == pytest.approx(np.ones(4))
    assert small.decision_function(x[:4]).shape == (4, 3)
    assert set(small.predict(x)) <= set(names)
    assert small.best_score_ > 0.8


def test_a_regressor_of_several_numbers(small: SearchCV) -> None:
    y = np.column_stack([X[:, 0], -X[:, 1]])

    small.set_params(epochs=30).fit(X, y)

    assert small.predict(X).shape == (40, 2)
    assert small.score(X, y) == pytest.approx(sklearn.metrics.r2_score(y, small.predict(X)))
    assert not hasattr(small, "predict_proba")
    assert sklearn.base.is_regressor(small)


def test_raw_columns_of_a_frame(small: SearchCV) -> None:
    frame = pd.DataFrame({"size": X[:, 0], "colour": np.where(Y, "red", "blue")})
    frame.loc[3, "size"] = np.nan

    small.set_params(epochs=10).fit(frame, Y)

    assert list(small.feature_names_in_) == ["size", "colour"]
    assert (small.predict(frame) == Y).mean() > 0.9
    assert len(small.predict(frame.head(1))) == 1
    with pytest.raises(ValueError, match="feature names should match"):
        small.predict(frame.rename(columns={"size": "length"}))


def test_a_group_is_in_one_fold_only(small: SearchCV) -> None:
    groups = np.arange(40) // 10
    seen = make_scorer(accuracy_score)

    small.set_params(cv=GroupKFold(4), scoring={"acc": seen, "rows": count_rows}, refit="acc")
    small.fit(X, Y, groups=groups)

    assert small.n_splits_ == 4
    assert [small.cv_results_[f"split{fold}_test_rows"][0] for fold in range(4)] == [10] * 4
    with pytest.raises(ValueError, match="'groups' parameter should not be None"):
        small.fit(X, Y)


def count_rows(estimator: Any, x: Any, y: Any) -> float:
    return float(len(x) if len(x) == len(y) == len(estimator.predict(x)) else np.nan)


def test_weights_change_what_is_learnt(small: SearchCV) -> None:
    y = np.tile([0, 1], 20)  # the same row has both classes
    x = np.ones((40, 1))
    small.set_params(epochs=20, space={"units": 8, "batch_size": tune.choice([8])})

    even = small.fit(x, y).predict_proba(x)[0, 1]
    heavy = small.fit(x, y, sample_weight=np.where(y, 9.0, 1.0)).predict_proba(x)[0, 1]

    assert even == pytest.approx(0.5, abs=0.15)
    assert heavy > even + 0.15


def test_metadata_reach_whoever_has_asked_for_them(small: SearchCV) -> None:
    weights, groups = np.linspace(1, 2, 40), np.arange(40) // 10

    def total(truth: Any, predicted: Any, sample_weight: Any = None) -> float:
        return 0.0 if sample_weight is None else float(sample_weight.sum())

    with sklearn.config_context(enable_metadata_routing=True):
        scorer = make_scorer(total).set_score_request(sample_weight=True)
        small.set_params(cv=GroupKFold(2), scoring=scorer).set_fit_request(sample_weight=True)
        small.fit(X, Y, sample_weight=weights, groups=groups)

    scores = [small.cv_results_[f"split{fold}_test_score"][0] for fold in range(2)]
    assert sum(scores) == pytest.approx(weights.sum(), rel=1e-6)
    with sklearn.config_context(enable_metadata_routing=True):
        small.set_fit_request(sample_weight=None).set_params(scoring=None)
        with pytest.raises(sklearn.exceptions.UnsetMetadataPassedError):
            small.fit(X, Y, sample_weight=weights, groups=groups)


def test_results_have_a_column_per_hyperparameter_masked_where_it_is_inactive(
    small: SearchCV,
) -> None:
    deep = {"name": "deep", "rate": tune.uniform(0.1, 0.5)}
    space = {"units": tune.choice([4, 8]), "kind": tune.choice([{"name": "flat"}, deep])}

    results = small.set_params(n_iter=6, epochs=1, space=space).fit(X, Y).cv_results_

    rates, kinds = results["param_kind.rate"], results["param_kind.name"]
    assert isinstance(rates, np.ma.MaskedArray)
    assert list(rates.mask) == [kind == "flat" for kind in kinds]
    assert 0 < rates.mask.sum() < 6
    assert (rates.dtype, results["param_units"].dtype, kinds.dtype) == (float, int, object)
    assert results["rank_test_score"].dtype == np.int32
    assert all(len(column) == 6 for column in results.values())
    assert results["params"][0].keys() == {"units", "kind"}
    assert (results["mean_fit_time"] > 0).all()


def test_a_config_that_fails_has_the_error_score_and_the_last_rank(small: SearchCV) -> None:
    space = {"units": tune.choice([4, 8]), "breaks": tune.grid_search([False, True])}
    small.set_params(build=build_or_fail, space=space, error_score=-1)

    results = small.fit(X, Y).cv_results_

    place = [params["breaks"] for params in results["params"]].index(True)
    assert results["mean_test_score"][place] == results["split0_test_score"][place] == -1
    assert results["rank_test_score"][place] == 2
    assert small.best_params_["breaks"] is False
    with pytest.raises(ValueError, match=r"config 2 failed: .*no such layer"):
        small.set_params(error_score="raise").fit(X, Y)


def test_without_a_refit_there_are_results_and_no_predictions(small: SearchCV) -> None:
    small.set_params(refit=False).fit(X, Y)

    assert small.best_params_ == {"units": 8}
    assert small.best_score_ == small.cv_results_["mean_test_score"][0]
    with pytest.raises(AttributeError, match="predict needs the best config trained on all rows"):
        small.predict(X)


def test_a_function_may_choose_the_best_config(small: SearchCV) -> None:
    def worst(results: Any) -> int:
        return int(np.argmax(results["rank_test_score"]))

    small.set_params(refit=worst, n_iter=3, space={"units": tune.choice([1, 2, 64])}).fit(X, Y)

    assert small.best_index_ == worst(small.cv_results_)
    assert small.best_estimator_.outputs.config["units"] == small.best_params_["units"]
    assert not hasattr(small, "best_score_")
    with pytest.raises(ValueError, match="refit returned 9, but must return an index from 0 to 2"):
        small.set_params(refit=lambda _: 9).fit(X, Y)


def test_a_grid_is_searched_once_over(small: SearchCV) -> None:
    space = as_grid({"units": tune.choice([4, 8]), "learning_rate": tune.choice([0.1, 0.01])})

    small.set_params(n_iter=1, epochs=1, searcher=RandomSearch(), space=space).fit(X, Y)

    found = [tuple(params.values()) for params in small.cv_results_["params"]]
    assert sorted(found) == [(4, 0.01), (4, 0.1), (8, 0.01), (8, 0.1)]


def test_the_same_seed_gives_the_same_results(small: SearchCV) -> None:
    first = small.fit(X, Y).cv_results_["mean_test_score"]
    again = sklearn.base.clone(small).fit(X, Y)

    assert np.array_equal(again.cv_results_["mean_test_score"], first)
    assert np.array_equal(again.predict_proba(X), small.predict_proba(X))


def test_a_fold_that_stops_early_counts_with_its_best_epoch(small: SearchCV) -> None:
    small.set_params(epochs=40, patience=2, scoring="neg_log_loss", cv=4).fit(X, Y)

    epochs = small.experiment_.epochs
    best = [own["val_score"].max() for _, own in epochs.groupby("replica")]
    ends = epochs.groupby("replica")["epoch"].max()
    assert ends.max() < 40 or ends.nunique() > 1
    shown = [small.cv_results_[f"split{fold}_test_score"][0] for fold in range(4)]
    assert small.best_score_ == pytest.approx(np.mean(shown))
    ended = ends < small.best_epochs_
    for fold in np.flatnonzero(ended):
        assert shown[fold] == best[fold]
    assert small.best_params_ == {"units": 8}  # the patience is no hyperparameter of theirs


def test_the_unfitted_say_so_and_tags_follow_the_task() -> None:
    search = SearchCV(build, {"units": tune.choice([8])}, task="classification")

    assert sklearn.base.is_classifier(search)
    with pytest.raises(sklearn.exceptions.NotFittedError):
        search.predict(X)
    assert sklearn.base.is_regressor(search.set_params(task="regression"))
    assert not hasattr(search, "predict_proba")
