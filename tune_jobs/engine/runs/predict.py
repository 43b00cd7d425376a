"""Predict new data with an experiment's best model, from a file to a file."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tune_jobs.engine.data.reading.csv_writing import as_csv
from tune_jobs.engine.data.reading.dialect import Dialect
from tune_jobs.engine.data.sources import Found
from tune_jobs.engine.errors import JobError, first_line
from tune_jobs.engine.experiments.experiment import Experiment

ENDINGS = (".parquet", ".csv", ".tsv")


def predict(
    experiment: Experiment,
    source: str,
    target: str,
    *,
    keep: Collection[str] = (),
    force: bool = False,
) -> int:
    """Write one prediction per row of ``source`` to ``target``.

    A ``.csv`` file has the separator and the decimal mark of ``source``, if that is a CSV file.

    Args:
        experiment: whose best model predicts.
        source: a table with the columns of the training data, or images.
        target: a ``.parquet``, ``.csv`` or ``.tsv`` file.
        keep: columns of the source that stay beside the predictions; ``("all",)`` for every one.
        force: whether to overwrite the file.

    Returns:
        The number of rows.

    Raises:
        JobError: if the source lacks columns that the model was trained on or that are kept, the
            file exists, is the source or of another type, or the experiment has no model.
    """
    _check_target(source, target, force=force)
    found = experiment.predictor().predict(source, keep)
    try:
        content = _content(found, Path(target).suffix)  # before the file is opened
        Path(target).write_bytes(content)
    except (OSError, pa.ArrowException) as error:
        raise JobError(f"{target} cannot be written: {first_line(error)}") from None
    return int(found.table.num_rows)


def _check_target(source: str, target: str, *, force: bool) -> None:
    """Refuse to overwrite what is read, and another file unless that is wanted.

    Raises:
        JobError: if the target is of another type, is the source or in it, or exists.
    """
    if Path(target).suffix not in ENDINGS:
        raise JobError(f"TARGET must end in .parquet, .csv or .tsv, got {target!r}")
    read, written = Path(source).expanduser().resolve(), Path(target).resolve()
    if written == read or read in written.parents:
        raise JobError(f"TARGET {target!r} is SOURCE, or in it; name another file")
    if not force and Path(target).exists():
        raise JobError(f"{target} exists; add --force to overwrite it")


def _content(found: Found, ending: str) -> bytes:
    """Return the predictions as a file has them; a ``.tsv`` file has tabs whatever was read."""
    if ending == ".parquet":
        stream = pa.BufferOutputStream()
        pq.write_table(found.table, stream)
        return bytes(stream.getvalue())
    dialect = found.dialect or Dialect()
    return as_csv(found.table, replace(dialect, separator="\t") if ending == ".tsv" else dialect)
