"""The results of a search in the form of scikit-learn: ``cv_results_``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from tune_jobs.engine.data.splitting import Array
from tune_jobs.engine.errors import JobError
from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.experiments.failures import cause
from tune_jobs.engine.goal import Goal
from tune_jobs.engine.space.configs import Config, flatten

Results = dict[str, Any]


def collect_results(
    experiment: Experiment,
    names: Sequence[str],
    folds: int,
    *,
    error_score: float | str = math.nan,
    hidden: Sequence[str] = (),
) -> Results:
    """Return ``cv_results_``: a row per config, in the order of the trials.

    Args:
        experiment: the search.
        names: of the scorers.
        folds: how many there are.
        error_score: the score of a config that failed, or ``"raise"``.
        hidden: hyperparameters that the search has added, and does not show.

    Raises:
        JobError: for a config that failed, with ``"raise"``.
    """
    trials = experiment.trials.sort_values("trial")
    shown = [
        {name: value for name, value in experiment.configs[number].items() if name not in hidden}
        for number in trials["trial"]
    ]
    seconds = _fit_seconds(experiment, trials) / folds
    zeros = np.zeros(len(trials))
    results: Results = {"mean_fit_time": seconds, "std_fit_time": zeros}
    results |= {"mean_score_time": zeros.copy(), "std_score_time": zeros.copy()}
    results |= {**_columns_of(shown), "params": shown}
    ended = trials["best_epoch"].to_numpy(int)
    results["epochs"] = ended
    failed_score = _score_of_failed(trials, error_score)
    for name in names:
        scores = _scores_of(experiment, trials, name, folds)
        scores[_failed(trials)] = failed_score
        results |= _columns_of_scores(scores, name)
    return results


def _score_of_failed(trials: pd.DataFrame, error_score: float | str) -> float:
    """Return the score of configs that failed.

    Raises:
        JobError: naming the error of the first, if it is to be raised.
    """
    if error_score != "raise":
        return float(error_score)
    for number, error in trials.loc[_failed(trials), ["trial", "error"]].itertuples(index=False):
        raise JobError(f"config {number} failed: {cause(str(error))}")
    return math.nan


def _failed(trials: pd.DataFrame) -> Array:
    failed = (trials["state"] == "failed") | trials["value"].isna()
    return np.asarray(failed)


def _fit_seconds(experiment: Experiment, trials: pd.DataFrame) -> Array:
    epochs = experiment.epochs
    per_trial = epochs[epochs["replica"] == 0].groupby("trial")["seconds"].sum()
    return np.asarray(trials["trial"].map(per_trial).fillna(0.0), dtype=float)


def _columns_of(configs: Sequence[Config]) -> Results:
    """Return a masked array per hyperparameter, masked for configs without it."""
    flat = [flatten(config) for config in configs]
    names = dict.fromkeys(name for config in flat for name in config)
    return {
        f"param_{name}": _masked([config.get(name, _ABSENT) for config in flat])
        for name in sorted(names)
    }


_ABSENT = object()


def _masked(values: Sequence[Any]) -> Any:
    """Return values as a masked array, of their own type if they share one, else of objects."""
    mask = [value is _ABSENT for value in values]
    known = [value for value in values if value is not _ABSENT]
    kinds = {type(value) for value in known}
    dtype: Any = object
    if (kinds and kinds <= {int, float}) or kinds == {bool}:
        dtype = np.result_type(*kinds)
    filled: Any = np.ma.masked_all(len(values), dtype=dtype)  # type: ignore[no-untyped-call]
    for place, value in enumerate(values):
        if value is not _ABSENT:
            filled[place] = value
    filled.mask = mask
    return filled


def _scores_of(experiment: Experiment, trials: pd.DataFrame, name: str, folds: int) -> Array:
    """Return a score per trial and fold: that of the epoch at which the trial's mean was best.

    A fold that ended earlier, by its patience, counts with its own best epoch.
    """
    epochs, goal = experiment.epochs, experiment.goal
    metric = f"val_{name}"
    scores = np.full((len(trials), folds), np.nan)
    if metric not in epochs.columns:
        return scores
    groups = dict(iter(epochs.groupby(["trial", "replica"])))
    for row, (trial, counts) in enumerate(zip(trials["trial"], trials["best_epoch"], strict=True)):
        for fold in range(folds):
            own = groups.get((trial, fold))
            if own is not None:
                scores[row, fold] = _score_at(own, int(counts), metric, goal)
    return scores


def _score_at(own: pd.DataFrame, epoch: int, metric: str, goal: Goal) -> float:
    at = own[own["epoch"] == epoch]
    if at.empty:
        deciding = own[goal.metric]
        at = own.loc[[deciding.idxmin() if goal.minimises else deciding.idxmax()]]
    return float(at[metric].iloc[0])


def _columns_of_scores(scores: Array, name: str) -> Results:
    found: Results = {
        f"split{fold}_test_{name}": scores[:, fold] for fold in range(scores.shape[1])
    }
    mean = scores.mean(axis=1)
    found[f"mean_test_{name}"] = mean
    found[f"std_test_{name}"] = scores.std(axis=1)
    found[f"rank_test_{name}"] = rank(mean)
    return found


def rank(means: Array) -> Array:
    """Return the rank of each mean, 1 for the greatest, equal ones sharing the better rank."""
    from scipy.stats import rankdata

    if np.isnan(means).all():
        return np.ones(len(means), dtype=np.int32)
    filled = np.nan_to_num(means, nan=np.nanmin(means) - 1)
    return np.asarray(rankdata(-filled, method="min").astype(np.int32))
