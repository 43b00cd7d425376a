"""Predict new data with an experiment's best model, from a file to a file."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from tune_jobs.engine.errors import JobError, first_line
from tune_jobs.engine.experiments.experiment import Experiment

WRITERS = {".parquet": pq.write_table, ".csv": pyarrow.csv.write_csv}


def predict(
    experiment: Experiment,
    source: str,
    target: str,
    *,
    keep: Collection[str] = (),
    force: bool = False,
) -> int:
    """Write one prediction per row of ``source`` to ``target``, a ``.parquet`` or ``.csv`` file.

    Args:
        experiment: whose best model predicts.
        source: a table with the columns of the training data, or images.
        target: the file.
        keep: columns of the source that stay beside the predictions; ``("all",)`` for every one.
        force: whether to overwrite the file.

    Returns:
        The number of rows.

    Raises:
        JobError: if the source lacks columns that the model was trained on or that are kept, the
            file exists, is the source or of another type, or the experiment has no model.
    """
    write = _writer(target)
    _check_target(source, target, force=force)
    table = experiment.predictor().table(source, keep)
    content = pa.BufferOutputStream()  # a table that cannot be written leaves the file as it is
    try:
        write(table, content)
        Path(target).write_bytes(content.getvalue())
    except (OSError, pa.ArrowException) as error:
        raise JobError(f"{target} cannot be written: {first_line(error)}") from None
    return int(table.num_rows)


def _check_target(source: str, target: str, *, force: bool) -> None:
    """Refuse to overwrite what is read, and another file unless that is wanted.

    Raises:
        JobError: if the target is the source or in it, or exists.
    """
    read, written = Path(source).expanduser().resolve(), Path(target).resolve()
    if written == read or read in written.parents:
        raise JobError(f"TARGET {target!r} is SOURCE, or in it; name another file")
    if not force and Path(target).exists():
        raise JobError(f"{target} exists; add --force to overwrite it")


def _writer(target: str) -> Any:
    if Path(target).suffix not in WRITERS:
        raise JobError(f"TARGET must end in .parquet or .csv, got {target!r}")
    return WRITERS[Path(target).suffix]
