"""The use of a run's time: how much of it was useful work.

Useful work is the seconds inside training and validation steps of a warmed process, summed over
workers, divided by wall time x workers.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tune_jobs.engine.experiments.summary import Usage

if TYPE_CHECKING:
    import pandas as pd

# What a worker can do, in the order in which it is shown.
PURPOSES = {
    "training": "training",
    "compiling": "compiling programs",
    "building": "building models",
    "checkpoints": "checkpoints",
    "reporting": "reporting",
    "starting": "starting Ray and TensorFlow",
    "handing over": "handing trials over to workers",
    "waiting": "waiting for trials",
    "ending": "export and test",
}


def measure_usage(
    trials: pd.DataFrame, workers: int, began: float, searched: float, ended: float
) -> Usage | None:
    """Divide a run's time by what its workers did.

    Args:
        trials: those of the history; trials that did not report ``spent`` are unknown.
        workers: how many trials ran in parallel.
        began: when the run began, in seconds since 1970.
        searched: when the last trial had ended.
        ended: when the best model was saved and scored.

    Returns:
        None if no trial reported what it spent.
    """
    known = trials[trials["spent"].notna()]
    if known.empty:
        return None
    seconds: dict[str, float] = dict.fromkeys(PURPOSES, 0.0)
    for text in known["spent"]:
        for purpose, spent in json.loads(text).items():
            seconds[purpose] += spent
    inside = (known["ended"].fillna(searched) - known["began"]).clip(lower=0).sum()
    seconds["handing over"] = max(0.0, inside - sum(seconds.values()))
    first = known.groupby("worker")["began"].min().nsmallest(workers)
    seconds["starting"] = (first - began).clip(lower=0).sum()
    seconds["ending"] = workers * (ended - searched)
    total = workers * (ended - began)
    seconds["waiting"] = max(0.0, total - sum(seconds.values()))
    return Usage(
        useful=float(seconds["training"] / total),
        workers=workers,
        seconds={purpose: round(float(seconds[purpose]), 3) for purpose in PURPOSES},
    )
