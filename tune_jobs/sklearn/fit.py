"""The fit of a :class:`~tune_jobs.sklearn.SearchCV`: read, search, choose, train again."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.job.job import Job
from tune_jobs.engine.job.profile import Profile
from tune_jobs.engine.search.searchers import Auto
from tune_jobs.sklearn.features import encode_columns, encode_numbers, is_raw
from tune_jobs.sklearn.inputs import cut, read_both, read_weights
from tune_jobs.sklearn.predictions import make_estimator
from tune_jobs.sklearn.results import Results, collect_results
from tune_jobs.sklearn.scoring import SCORE, FoldScorer, ScikitScorer, find_scorers, looks_at_rows
from tune_jobs.sklearn.searching import Rows, Search
from tune_jobs.sklearn.settings import check_settings, route
from tune_jobs.sklearn.targets import Task, find_task, read_target

PATIENCE = "patience"
DEFAULTS = {"classification": "accuracy", "regression": "r2"}


def fit_search(search: BaseEstimator, x: Any, y: Any, params: Mapping[str, Any]) -> None:
    """Search, and set everything that a fitted search has.

    Raises:
        ValueError: for data or settings that cannot be searched.
    """
    check_settings(search)
    weights, for_splitter, for_scorers = route(search, params)
    x, y = read_both(search, x, y)
    task = find_task(y, search.task)
    scorers = find_scorers(search.scoring, DEFAULTS[task])
    deciding = find_deciding(search.refit, scorers)
    rows = _make_rows(search, x, y, task, scorers, weights, for_splitter, for_scorers)
    made, added = _make_search(search, rows, f"val_{deciding}")
    is_checked = made.check()
    with made.connected():
        if not is_checked:
            made.check_in_worker()
        experiment = made.run()
        results = collect_results(
            experiment,
            list(scorers),
            len(rows.features.folds),
            error_score=search.error_score,
            hidden=added,
        )
        _set_results(search, results, deciding, experiment)
        search.task_, search.takes_raw_columns_ = task, is_raw(x)
        search.multimetric_ = list(scorers) != [SCORE]
        search.scorer_ = scorers if search.multimetric_ else scorers[SCORE]
        search.n_splits_ = len(rows.features.folds)
        if search.refit:
            fitted = made.refit(search.best_params_, experiment, search.best_epochs_)
            target = rows.target
            search.best_estimator_ = make_estimator(fitted, target.meaning, target.classes)


def _make_rows(
    search: BaseEstimator,
    x: Any,
    y: Any,
    task: Task,
    scorers: Mapping[str, ScikitScorer],
    weights: Any,
    for_splitter: Mapping[str, Any],
    for_scorers: Mapping[str, Any],
) -> Rows:
    """Return the rows of the search in folds, with what scores them."""
    is_classifier = task == "classification"
    target = read_target(y, task)
    folds = cut(search.cv, x, y, is_classifier=is_classifier, params=for_splitter)
    return Rows(
        features=encode_columns(x, folds) if is_raw(x) else encode_numbers(x, folds),
        target=target,
        scorers=[
            FoldScorer(
                name,
                each,
                target,
                x if looks_at_rows(each) else None,
                for_scorers.get(name),
            )
            for name, each in scorers.items()
        ],
        weights=read_weights(weights, x, y, is_classifier=is_classifier),
        seed=_seed(search.random_state),
    )


def _make_search(search: BaseEstimator, rows: Rows, metric: str) -> tuple[Search, list[str]]:
    """Return the search, and the hyperparameters that it adds to the space."""
    patience = search.patience
    added = {} if patience is None or PATIENCE in search.space else {PATIENCE: patience}
    job = partial(
        Job,
        space={**added, **search.space},
        metric=metric,
        mode="max",
        searcher=search.searcher or Auto(),
        scheduler=search.scheduler,
        finalists=None,
        num_samples=search.n_iter,
        max_epochs=search.epochs,
        seed=rows.seed,
    )
    made = Search(
        build=search.build,
        job=job,
        callbacks=list(search.callbacks),
        rows=rows,
        profile=search.profile or Profile(),
        name=search.name,
        is_quiet=not search.verbose,
    )
    return made, list(added)


def _set_results(
    search: BaseEstimator, results: Results, deciding: str, experiment: Experiment
) -> None:
    """Set the results of a search, and the best config if one is chosen."""
    search.cv_results_, search.experiment_path_ = results, experiment.folder.uri
    if search.refit is False and list(results).count(f"mean_test_{SCORE}") == 0:
        return  # of several scorers none decides
    best = _choose(search.refit, results, deciding)
    search.best_index_ = best
    search.best_params_ = results["params"][best]
    search.best_epochs_ = int(results["epochs"][best])
    if not callable(search.refit):
        search.best_score_ = float(results[f"mean_test_{deciding}"][best])


def find_deciding(refit: Any, scorers: Mapping[str, Any]) -> str:
    """Return the name of the scorer that decides.

    Raises:
        JobError: if several are given and none is named.
    """
    names = list(scorers)
    if names == [SCORE]:
        return SCORE
    if isinstance(refit, str) and refit in names:
        return refit
    if refit is False or callable(refit):
        return names[0]
    raise JobError(
        f"refit is {refit!r}, but with several scorers must name the one that decides: "
        f"{', '.join(names)}; or be False"
    )


def _choose(refit: Any, results: Results, deciding: str) -> int:
    """Return the number of the best config.

    Raises:
        JobError: if a function chooses something that is no config.
    """
    if not callable(refit):
        return int(np.argmin(results[f"rank_test_{deciding}"]))
    found, count = refit(results), len(results["params"])
    if not isinstance(found, int | np.integer) or not 0 <= found < count:
        raise JobError(f"refit returned {found!r}, but must return an index from 0 to {count - 1}")
    return int(found)


def _seed(random_state: Any) -> int:
    if isinstance(random_state, int | np.integer) and not isinstance(random_state, bool):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))
