"""The history: every trial and every epoch of an experiment, durable and free of pickles.

It is the one source of truth, kept as segments of records (:mod:`~.segments`); at
the end of a run ``trials.parquet`` and ``epochs.parquet`` are made from them.

A record is one of::

    {"kind": "attempt", "description": {...}, "target": 40, "time": 1.7e9}
    {"kind": "told", "config": {...}, "score": 0.1, "source": "results/earlier", ...}
    {"kind": "trial", "trial": 1, "asked": 1, "config": {...}, "time": 1.7e9}
    {"kind": "epoch", "trial": 1, "replica": 0, "epoch": 3, "seconds": 0.1, "metrics": {...}, ...}
    {"kind": "checkpoint", "trial": 1, "epoch": 3, "path": "trials/...", "time": 1.7e9}
    {"kind": "work", "trial": 1, "path": "compiled", "worker": "host:123", "spent": {...}, ...}
    {"kind": "end", "trial": 1, "state": "complete", "failure": null, "error": null, ...}
    {"kind": "answered", "of": 1, "asked": 2, "config": {...}, "score": 0.1, "time": 1.7e9}
"""

from __future__ import annotations

import io
import json
import math
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from tune_jobs.engine.experiments.files import EPOCHS_TABLE, TRIALS_TABLE
from tune_jobs.engine.experiments.segments import Record, merge_all, read_segments
from tune_jobs.engine.goal import Goal
from tune_jobs.engine.space.configs import flatten
from tune_jobs.engine.storage.folder import Folder

if TYPE_CHECKING:
    import pandas as pd

State = Literal["running", "complete", "stopped", "unfinished", "failed"]

TRIAL_COLUMNS = {
    "trial": "int64",
    "state": "str",
    "started": "float64",
    "ended": "float64",
    "failure": "str",
    "error": "str",
    "config": "str",
    "path": "str",
    "worker": "str",
    "began": "float64",
    "spent": "str",
    "parameters": "float64",
    "fallback": "str",
}
EPOCH_COLUMNS = {
    "trial": "int64",
    "replica": "int64",
    "epoch": "int64",
    "seconds": "float64",
    "checkpoint": "str",
}


def read_history(folder: Folder) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All trials and all epochs, whether the search runs, ended or died.

    Returns:
        One row a trial (``trial``, ``state``, ``started``, ``ended`` in seconds since 1970,
        ``failure``, ``error``, ``config`` as JSON) and one row a trial, replica and epoch
        (``seconds``, and a column a metric).
    """
    if folder.exists(TRIALS_TABLE) and folder.exists(EPOCHS_TABLE):
        try:
            return _read_parquet(folder, TRIALS_TABLE), _read_parquet(folder, EPOCHS_TABLE)
        except (OSError, ValueError):  # damaged: the segments know it all
            pass
    return _frames(read_segments(folder).records())


def compact(folder: Folder) -> None:
    """Merge the segments, and write what they hold as two Parquet files for people."""
    trials, epochs = _frames(merge_all(folder).records())
    _write_parquet(folder, EPOCHS_TABLE, epochs)
    _write_parquet(folder, TRIALS_TABLE, with_hyperparameters(trials))


def with_hyperparameters(trials: pd.DataFrame) -> pd.DataFrame:
    """Add a column ``config.<name>`` for each hyperparameter, empty where it was not active."""
    import pandas as pd

    configs = [flatten(json.loads(text)) for text in trials["config"]]
    names = sorted({name for config in configs for name in config})
    columns = {f"config.{name}": _column([c.get(name) for c in configs]) for name in names}
    kept = trials[[name for name in trials.columns if not str(name).startswith("config.")]]
    return pd.concat([kept, pd.DataFrame(columns, index=trials.index)], axis=1)


def add_best(trials: pd.DataFrame, epochs: pd.DataFrame, goal: Goal) -> pd.DataFrame:
    """Add to each trial its best ``value`` over all epochs, that ``best_epoch``, and ``epochs``.

    A value that is not finite is no candidate. Of several replicas the mean counts.
    """
    trials = trials.assign(
        epochs=trials["trial"].map(epochs.groupby("trial")["epoch"].max()).fillna(0).astype(int),
        value=math.nan,
        best_epoch=0,
    )
    metric = goal.metric
    if metric not in epochs.columns:
        return trials
    if epochs["replica"].any():
        epochs = average_replicas(epochs, goal)
    finite = epochs[epochs[metric].abs() < math.inf].groupby("trial")[metric]
    best = epochs.loc[(finite.idxmin() if goal.minimises else finite.idxmax()).to_numpy()]
    best = best.set_index("trial")
    return trials.assign(
        value=trials["trial"].map(best[metric]),
        best_epoch=trials["trial"].map(best["epoch"]).fillna(0).astype(int),
    )


def average_replicas(epochs: pd.DataFrame, goal: Goal) -> pd.DataFrame:
    """One row a trial and epoch: the mean over replicas, as the scheduler saw it.

    A replica whose patience ended earlier counts with its best value.
    """
    wide = epochs.pivot(index=["trial", "epoch"], columns="replica", values=goal.metric)
    by_trial = wide.groupby(level="trial")
    best = by_trial.cummin() if goal.minimises else by_trial.cummax()
    there = epochs.assign(there=1.0).pivot(
        index=["trial", "epoch"], columns="replica", values="there"
    )
    filled = wide.where(there.notna(), best.groupby(level="trial").ffill())
    return filled.mean(axis=1, skipna=False).rename(goal.metric).reset_index()


def _frames(records: Iterable[Record]) -> tuple[pd.DataFrame, pd.DataFrame]:
    import pandas as pd

    trials: dict[int, Record] = {}
    epochs: dict[tuple[int, int, int], Record] = {}
    checkpoints: dict[tuple[int, int], str] = {}
    ceiling = math.inf
    for record in records:
        number = record.get("trial")
        if record["kind"] == "attempt":
            ceiling = record["description"].get("max_epochs", math.inf)
        if number is None or (record["kind"] != "trial" and number not in trials):
            continue  # about the whole experiment, or its trial's start is lost
        if record["kind"] == "trial":  # a trial that goes on has started before
            before = trials.get(number, {"started": record["time"]})
            trials[number] = _trial_row(record) | {"started": before["started"]}
        elif record["kind"] == "end":
            trials[number] |= {key: record[key] for key in ("state", "failure", "error")}
            trials[number]["ended"] = record["time"]
        elif record["kind"] == "work":
            for name in ("path", "worker", "began", "parameters"):
                trials[number][name] = record[name]
            trials[number]["fallback"] = record.get("fallback")  # absent in old histories
            trials[number]["spent"] = json.dumps(record["spent"])
        elif record["kind"] == "checkpoint":
            checkpoints[number, record["epoch"]] = record["path"]
        elif record["kind"] == "epoch":
            # A trial that restarts from an earlier checkpoint reports some epochs again.
            epochs[number, record["replica"], record["epoch"]] = record
    # The run was cut off between a trial's last epoch and its end: nothing is left to do for it.
    for (number, _, epoch), record in epochs.items():
        if epoch >= ceiling and trials[number]["state"] in ("running", "unfinished"):
            trials[number] |= {"state": "complete", "ended": record["time"]}
    return (
        pd.DataFrame(list(trials.values()), columns=list(TRIAL_COLUMNS)).astype(TRIAL_COLUMNS),
        _epoch_frame(list(epochs.values()), checkpoints),
    )


def _trial_row(record: Record) -> Record:
    return {
        "trial": record["trial"],
        "state": "running",
        "started": record["time"],
        "ended": math.nan,
        "failure": None,
        "error": None,
        "config": json.dumps(record["config"]),
        "path": None,
        "worker": None,
        "began": math.nan,
        "spent": None,
        "parameters": math.nan,
        "fallback": None,
    }


def _epoch_frame(records: list[Record], checkpoints: dict[tuple[int, int], str]) -> pd.DataFrame:
    import pandas as pd

    rows = [
        {
            **{name: record.get(name) for name in EPOCH_COLUMNS},
            "checkpoint": checkpoints.get((record["trial"], record["epoch"])),
            **record["metrics"],
        }
        for record in records
    ]
    metrics = sorted({name for record in records for name in record["metrics"]})
    return pd.DataFrame(rows, columns=[*EPOCH_COLUMNS, *metrics]).astype(EPOCH_COLUMNS)


def _column(values: list[Any]) -> Any:
    """A column that Parquet can hold: of one kind of value, or of JSON texts."""
    import pandas as pd

    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float} and not any(abs(value or 0) > sys.maxsize for value in values):
        return pd.array(values, dtype="Float64" if float in kinds else "Int64")
    if kinds == {bool}:
        return pd.array(values, dtype="boolean")
    if kinds != {str}:
        values = [None if v is None else json.dumps(v, ensure_ascii=False) for v in values]
    return pd.array(values, dtype="string")


def _read_parquet(folder: Folder, name: str) -> pd.DataFrame:
    return pq.ParquetFile(pa.BufferReader(folder.read(name))).read().to_pandas()


def _write_parquet(folder: Folder, name: str, frame: pd.DataFrame) -> None:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), buffer)
    folder.write(name, buffer.getvalue())
