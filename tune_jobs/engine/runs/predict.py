"""Predict new data with an experiment's best model, from a file to a file."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import pyarrow.csv
import pyarrow.parquet as pq

from tune_jobs.engine.errors import JobError
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
            file exists or is of another type, or the experiment has no model.
    """
    write = _writer(target)
    if not force and Path(target).exists():
        raise JobError(f"{target} exists; add --force to overwrite it")
    table = experiment.predictor().table(source, keep)
    try:
        write(table, target)
    except OSError as error:
        raise JobError(f"{target} cannot be written: {error}") from None
    return int(table.num_rows)


def _writer(target: str) -> Any:
    if Path(target).suffix not in WRITERS:
        raise JobError(f"TARGET must end in .parquet or .csv, got {target!r}")
    return WRITERS[Path(target).suffix]
