"""The mean over a trial's replicas: its fits on several folds, or with several seeds.

Every epoch of a trial has one value: the mean over all its replicas. A replica that ended early
still counts in later epochs, since the mean would jump whenever a bad one ends. It counts with the
value of the weights that it keeps:

- ``best``, in a search: its best value so far, since early stopping restores those weights.
- ``last``, in the finals: its last value, since finals train to a fixed epoch, and picking the best
  would bias their scores.

While a search runs, its trials report this mean themselves (:class:`~..messages.EpochReport`);
searcher, scheduler and views use what they report. The history holds the values of the replicas,
and the mean is made from them again here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tune_jobs.engine.goal import Goal

if TYPE_CHECKING:
    import pandas as pd

Values = np.ndarray[Any, np.dtype[Any]]
Trained = np.ndarray[Any, np.dtype[np.bool_]]

# The metric of a replica by epoch.
Curve = Mapping[int, float]

Kept = Literal["best", "last"]


def average_replicas(epochs: pd.DataFrame, goal: Goal) -> pd.DataFrame:
    """Return one row per trial and epoch, with the metric's mean over the trial's replicas.

    Args:
        epochs: ``trial``, ``replica``, ``epoch`` and the metric, in any order.
        goal: of the search.
    """
    numbered = epochs[["trial", "replica", "epoch"]].assign(row=range(len(epochs)))
    rows = numbered.pivot(index=["trial", "epoch"], columns="replica", values="row")
    trained = rows.notna().to_numpy()
    values = epochs[goal.metric].to_numpy(dtype=float)[rows.fillna(0).to_numpy(dtype=int)]
    trials = rows.index.get_level_values("trial").to_numpy()
    for trial in np.unique(trials[~trained.all(axis=1)]):
        own = slice(*np.searchsorted(trials, [trial, trial + 1]))
        values[own] = fill_ended(values[own], trained[own], goal)
    means = values.sum(axis=1) / max(1, values.shape[1])
    return rows.index.to_frame(index=False).assign(**{goal.metric: means})


def curves_of(epochs: pd.DataFrame, goal: Goal) -> dict[int, list[tuple[int, float]]]:
    """Return (epoch, value of the metric) of each trial as a scheduler sees them, epochs rising.

    Args:
        epochs: of a history, which need not have the metric.
        goal: of the search.
    """
    if goal.metric not in epochs.columns:
        return {}
    if epochs["replica"].any():
        epochs = average_replicas(epochs, goal)
    curves: dict[int, list[tuple[int, float]]] = {}
    for trial, epoch, value in zip(
        epochs["trial"], epochs["epoch"], epochs[goal.metric], strict=True
    ):
        curves.setdefault(int(trial), []).append((int(epoch), float(value)))
    return {trial: sorted(curve, key=itemgetter(0)) for trial, curve in curves.items()}


def stack_curves(curves: Sequence[Curve], goal: Goal, kept: Kept) -> tuple[Values, Values]:
    """Return the epochs in which any replica trained, and a row of values for each of them.

    Returns:
        Epochs, and values of shape (epochs, replicas).
    """
    epochs = sorted({epoch for curve in curves for epoch in curve})
    trained = np.array([[epoch in curve for curve in curves] for epoch in epochs])
    values = [[curve.get(epoch, np.nan) for curve in curves] for epoch in epochs]
    return np.array(epochs), fill_ended(np.array(values, dtype=float), trained, goal, kept)


def fill_ended(values: Values, trained: Trained, goal: Goal, kept: Kept = "best") -> Values:
    """Return the values of a trial's replicas, with those after a replica's end filled in.

    Args:
        values: of the metric, shape (epochs, replicas).
        trained: whether a replica trained in an epoch, same shape; if not, its value is ignored.
        goal: of the search.
        kept: which weights a replica keeps that ended early.

    Returns:
        NaN if a replica has no value yet that could count.
    """
    if kept == "best":
        losses = np.where(trained & np.isfinite(values), goal.sign * values, np.nan)
        filling = goal.sign * np.fmin.accumulate(losses, axis=0)
    else:
        epochs = np.arange(len(values))[:, None]
        last = np.maximum.accumulate(np.where(trained, epochs, 0), axis=0)
        filling = np.take_along_axis(np.where(trained, values, np.nan), last, axis=0)
    return np.where(trained, values, filling)
