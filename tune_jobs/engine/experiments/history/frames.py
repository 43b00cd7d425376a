"""The history: every trial and every epoch of an experiment, durable and free of pickles.

It is the one source of truth, kept as segments (:mod:`~.segments`) of records (:mod:`~.records`);
at the end of a run ``trials.parquet`` and ``epochs.parquet`` are made from them.
"""

from __future__ import annotations

import io
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from tune_jobs.engine.experiments.files import EPOCHS_TABLE, TRIALS_TABLE
from tune_jobs.engine.experiments.history.records import (
    Attempt,
    Epoch,
    HistoryRecord,
    SavedCheckpoint,
    State,
    TrialEnd,
    TrialStart,
    Work,
)
from tune_jobs.engine.experiments.history.replicas import average_replicas
from tune_jobs.engine.experiments.history.segments import merge_all, read_segments
from tune_jobs.engine.experiments.identity import Identity, identify
from tune_jobs.engine.goal import Goal
from tune_jobs.engine.plain import parse_json
from tune_jobs.engine.space.configs import Config, flatten
from tune_jobs.engine.storage.folder import Folder

if TYPE_CHECKING:
    import pandas as pd

# The configs of trials, by number, as JSON has them.
Configs = Mapping[int, Config]

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
    "by": "str",
}
# The key of the experiment's id among a table's metadata.
METADATA = b"experiment_id"

EPOCH_COLUMNS = {
    "trial": "int64",
    "replica": "int64",
    "epoch": "int64",
    "seconds": "float64",
    "checkpoint": "str",
}


@dataclass(frozen=True)
class History:
    """All trials and all epochs of a search that runs, has ended or died.

    Attributes:
        trials: one row per trial: ``trial``, ``state``, ``started`` and ``ended`` in seconds since
            1970, ``failure``, ``error``, ``config`` as JSON, ``by``: what chose it, if known.
        epochs: one row per trial, replica and epoch: ``seconds``, and a column per metric.
        configs: the configs of the trials.
        problems: what is wrong with the two tables, one line each; the segments are read then.
    """

    trials: pd.DataFrame
    epochs: pd.DataFrame
    configs: Configs
    problems: Sequence[str] = ()


class ForeignError(ValueError):
    """A table belongs to another experiment."""


def read_history(folder: Folder, identity: Identity | None = None) -> History:
    """Read the history in a folder, from its two tables or, without these, from its segments."""
    identity, problems = identity or identify(folder), list[str]()
    if folder.exists(TRIALS_TABLE) and folder.exists(EPOCHS_TABLE):
        try:
            return _read_tables(folder, identity)
        except ForeignError as error:
            problems.append(str(error))
        except (OSError, ValueError, KeyError):  # damaged: the segments hold all of it
            pass
    history = _collect(read_segments(folder, identity).records())
    return replace(history, problems=problems)


def _read_tables(folder: Folder, identity: Identity) -> History:
    """Read the history from its two tables.

    Raises:
        ForeignError: if one of them belongs to another experiment.
        ValueError: if one of them is damaged; or KeyError, if it lacks a column.
    """
    trials = _read_parquet(folder, TRIALS_TABLE, identity)
    if "by" not in trials:  # written by an earlier version
        trials["by"] = None
    trials = trials.astype(TRIAL_COLUMNS)
    epochs = _read_parquet(folder, EPOCHS_TABLE, identity).astype(EPOCH_COLUMNS)
    return History(trials, epochs, parse_configs(trials))


def compact(folder: Folder) -> None:
    """Merge the segments, and write what they hold as two Parquet files for people."""
    history, identity = _collect(merge_all(folder).records()), identify(folder)
    _write_parquet(folder, EPOCHS_TABLE, history.epochs, identity)
    trials = with_hyperparameters(history.trials, history.configs)
    _write_parquet(folder, TRIALS_TABLE, trials, identity)


def parse_configs(trials: pd.DataFrame) -> Configs:
    """Parse the configs of trials, which their table holds as JSON."""
    return {
        int(number): parse_json(text)
        for number, text in zip(trials["trial"], trials["config"], strict=True)
    }


def with_hyperparameters(trials: pd.DataFrame, configs: Configs) -> pd.DataFrame:
    """Add a column ``config.<name>`` per hyperparameter, empty for trials that do not use it."""
    import pandas as pd

    flat = [flatten(configs[number]) for number in trials["trial"]]
    names = sorted({name for config in flat for name in config})
    columns = {f"config.{name}": _column([c.get(name) for c in flat]) for name in names}
    kept = trials[[name for name in trials.columns if not str(name).startswith("config.")]]
    return pd.concat([kept, pd.DataFrame(columns, index=trials.index)], axis=1)


def add_best(trials: pd.DataFrame, epochs: pd.DataFrame, goal: Goal) -> pd.DataFrame:
    """Add to each trial its best ``value`` over all epochs, that ``best_epoch``, and ``epochs``.

    Values that are not finite are passed over. With several replicas it is their mean.
    """
    metric = goal.metric
    trials = trials.assign(
        epochs=trials["trial"].map(epochs.groupby("trial")["epoch"].max()).fillna(0).astype(int),
        value=math.nan,
        best_epoch=0,
    )
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


@dataclass
class _Row:
    """A row of the table of trials."""

    trial: int
    started: float | None
    config: str
    state: State = "running"
    ended: float | None = None
    failure: str | None = None
    error: str | None = None
    path: str | None = None
    worker: str | None = None
    began: float | None = None
    spent: str | None = None
    parameters: float | None = None
    fallback: str | None = None
    by: str | None = None

    def end(self, state: State, time: float | None) -> None:
        """Note how and when the trial ended."""
        self.state, self.ended = state, time


@dataclass
class _Collected:
    """The contents of a history, the latest of each thing."""

    rows: dict[int, _Row] = field(default_factory=dict)
    configs: dict[int, Config] = field(default_factory=dict)
    seen: dict[tuple[int, int, int], Epoch] = field(default_factory=dict)
    checkpoints: dict[tuple[int, int], str] = field(default_factory=dict)
    ceiling: float = math.inf

    def add(self, record: HistoryRecord) -> None:
        """Take in a record; one of a trial whose start is lost is passed over."""
        match record:
            case Epoch() if record.trial in self.rows:
                # A trial that restarts from an earlier checkpoint reports some epochs again.
                self.seen[record.trial, record.replica, record.epoch] = record
            case Attempt():
                self.ceiling = record.description.get("max_epochs", math.inf)
            case TrialStart():  # a trial that continues has started before
                before = self.rows.get(record.trial)
                started = before.started if before else record.time
                row = _Row(record.trial, started, json.dumps(record.config))
                row.by = record.by or (before.by if before else None)
                self.rows[record.trial] = row
                self.configs[record.trial] = record.config
            case TrialEnd() if record.trial in self.rows:
                row = self.rows[record.trial]
                row.end(record.state, record.time)
                row.failure, row.error = record.failure, record.error
            case Work() if record.trial in self.rows:
                row = self.rows[record.trial]
                row.path, row.worker, row.began = record.path, record.worker, record.began
                row.parameters, row.fallback = record.parameters, record.fallback
                row.spent = json.dumps(record.spent)
            case SavedCheckpoint() if record.trial in self.rows:
                self.checkpoints[record.trial, record.epoch] = record.path

    def end_cut_off(self) -> None:
        """End trials that had trained all epochs when the run was cut off."""
        for record in self.seen.values():
            row = self.rows[record.trial]
            if record.epoch >= self.ceiling and row.state in ("running", "unfinished"):
                row.end("complete", record.time)

    def trials(self) -> pd.DataFrame:
        """Return the table of trials."""
        import pandas as pd

        rows = [vars(row) for row in self.rows.values()]
        return pd.DataFrame(rows, columns=list(TRIAL_COLUMNS)).astype(TRIAL_COLUMNS)

    def epochs(self) -> pd.DataFrame:
        """Return the table of epochs."""
        import pandas as pd

        records = list(self.seen.values())
        columns: dict[str, list[Any]] = {
            "trial": [record.trial for record in records],
            "replica": [record.replica for record in records],
            "epoch": [record.epoch for record in records],
            "seconds": [record.seconds for record in records],
            "checkpoint": [self.checkpoints.get((r.trial, r.epoch)) for r in records],
        }
        metrics = sorted({name for record in records for name in record.metrics})
        for name in metrics:
            columns[name] = [record.metrics.get(name) for record in records]
        return pd.DataFrame(columns).astype(EPOCH_COLUMNS)


def _collect(records: Iterable[HistoryRecord]) -> History:
    """Make tables of all records of a history."""
    collected = _Collected()
    for record in records:
        collected.add(record)
    collected.end_cut_off()
    return History(collected.trials(), collected.epochs(), collected.configs)


def _column(values: list[Any]) -> Any:
    """Make a column that Parquet can hold: of values of one type, or of JSON texts."""
    import pandas as pd

    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float} and not any(abs(value or 0) > sys.maxsize for value in values):
        return pd.array(values, dtype="Float64" if float in kinds else "Int64")
    if kinds == {bool}:
        return pd.array(values, dtype="boolean")
    if kinds != {str}:
        values = [None if v is None else json.dumps(v, ensure_ascii=False) for v in values]
    return pd.array(values, dtype="string")


def _read_parquet(folder: Folder, name: str, identity: Identity) -> pd.DataFrame:
    """Read a table.

    Raises:
        ForeignError: if it belongs to another experiment.
    """
    file = pq.ParquetFile(pa.BufferReader(folder.read(name)))
    found = (file.schema_arrow.metadata or {}).get(METADATA)
    if not identity.owns(None if found is None else found.decode()):
        raise ForeignError(f"{name} is of another experiment; the history is read instead")
    return file.read().to_pandas()


def _write_parquet(folder: Folder, name: str, frame: pd.DataFrame, identity: Identity) -> None:
    buffer, table = io.BytesIO(), pa.Table.from_pandas(frame, preserve_index=False)
    if identity.id is not None:
        known = table.schema.metadata or {}
        table = table.replace_schema_metadata({**known, METADATA: identity.id.encode()})
    pq.write_table(table, buffer)
    folder.write(name, buffer.getvalue())
