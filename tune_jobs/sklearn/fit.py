"""The fit of a :class:`~tune_jobs.sklearn.SearchCV`: read, search, choose, train again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.job.job import Job
from tune_jobs.engine.job.profile import Profile
from tune_jobs.engine.names import nearest
from tune_jobs.engine.search.searchers import Auto
from tune_jobs.sklearn.features import encode_numbers
from tune_jobs.sklearn.inputs import cut, read_both, read_weights
from tune_jobs.sklearn.predictions import make_estimator
from tune_jobs.sklearn.results import collect_results
from tune_jobs.sklearn.scoring import SCORE, FoldScorer, find_scorers, looks_at_rows
from tune_jobs.sklearn.searching import Rows, Search
from tune_jobs.sklearn.targets import find_task, read_target

PARAMS = ("sample_weight", "groups")
PATIENCE = "patience"


def fit_search(search: BaseEstimator, x: Any, y: Any, params: Mapping[str, Any]) -> None:
    """Search, and set everything that a fitted search has.

    Raises:
        ValueError: for data or settings that cannot be searched.
    """
    _check_params(params)
    x, y = read_both(search, x, y)
    task = find_task(y, search.task)
    target = read_target(y, task)
    scorers = find_scorers(search.scoring, "accuracy" if task == "classification" else "r2")
    deciding = _deciding(search.refit, scorers)
    folds = cut(search.cv, x, y, params.get("groups"), is_classifier=task == "classification")
    weights = read_weights(params.get("sample_weight"), x)
    seed = _seed(search.random_state)
    rows = Rows(
        features=encode_numbers(x, folds),
        target=target,
        scorers=[
            FoldScorer(name, each, target, x if looks_at_rows(each) else None)
            for name, each in scorers.items()
        ],
        weights=weights,
        seed=seed,
    )
    patience = {} if search.patience is None else {PATIENCE: search.patience}
    added = [name for name in patience if name not in search.space]
    job = partial(
        Job,
        space={**patience, **search.space},
        metric=f"val_{deciding}",
        mode="max",
        searcher=search.searcher or Auto(),
        scheduler=search.scheduler,
        finalists=None,
        num_samples=search.n_iter,
        max_epochs=search.epochs,
        seed=seed,
    )
    made = Search(
        build=search.build,
        job=job,
        callbacks=list(search.callbacks),
        rows=rows,
        profile=search.profile or Profile(),
        name=search.name,
        seed=seed,
        is_quiet=not search.verbose,
    )
    with made.connected():
        experiment = made.run()
        results = collect_results(
            experiment, list(scorers), len(folds), hidden=added, error_score=math.nan
        )
        best = _choose(search.refit, results, deciding)
        fitted = None
        if search.refit:
            config = results["params"][best]
            fitted = made.refit(config, experiment, int(results["epochs"][best]))
    search.task_ = task
    search.multimetric_ = list(scorers) != [SCORE]
    search.scorer_ = scorers if search.multimetric_ else scorers[SCORE]
    search.cv_results_, search.n_splits_ = results, len(folds)
    search.experiment_ = experiment
    if best is not None:
        search.best_index_ = best
        search.best_params_ = results["params"][best]
        search.best_score_ = float(results[f"mean_test_{deciding}"][best])
        search.best_epochs_ = int(results["epochs"][best])
    if fitted is not None:
        search.best_estimator_ = make_estimator(fitted, target.meaning, target.classes)


def _check_params(params: Mapping[str, Any]) -> None:
    for name in params:
        if name not in PARAMS:
            raise TypeError(
                f"fit() got an unknown argument {name!r}{nearest(name, PARAMS)} "
                f"Known: {', '.join(PARAMS)}"
            )


def _deciding(refit: Any, scorers: Mapping[str, Any]) -> str:
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


def _choose(refit: Any, results: Mapping[str, Any], deciding: str) -> int | None:
    if callable(refit):
        return int(refit(results))
    return int(np.argmin(results[f"rank_test_{deciding}"]))


def _seed(random_state: Any) -> int:
    if isinstance(random_state, int | np.integer) and not isinstance(random_state, bool):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))
