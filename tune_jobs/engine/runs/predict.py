"""Predict new data with an experiment's best model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv
import pyarrow.parquet as pq

from tune_jobs.engine.data.columns import raw_inputs, string_columns
from tune_jobs.engine.data.sources import read_table
from tune_jobs.engine.data.target import prediction_table
from tune_jobs.engine.errors import JobError
from tune_jobs.engine.experiments.experiment import Experiment

WRITERS = {".parquet": pq.write_table, ".csv": pyarrow.csv.write_csv}


def predict(experiment: Experiment, source: str, target: str) -> int:
    """Write one prediction per row of ``source`` to ``target``, a ``.parquet`` or ``.csv`` file.

    Returns:
        The number of rows.

    Raises:
        JobError: if the source lacks columns that the model was trained on, the file type is
            unknown, or the experiment has no model.
    """
    write = _writer(target)
    preprocessing = experiment.description.preprocessing
    if preprocessing is None:
        raise JobError(
            f"{experiment.folder.uri} has no data set, so its model cannot predict from a table"
        )
    inputs = _inputs(source, preprocessing)
    model = experiment.best_model()
    outputs = np.asarray(experiment.companion("predict")(model, inputs))
    table = prediction_table(outputs, preprocessing)
    try:
        write(table, target)
    except OSError as error:
        raise JobError(f"{target} cannot be written: {error}") from None
    return int(table.num_rows)


def _writer(target: str) -> Any:
    if Path(target).suffix not in WRITERS:
        raise JobError(f"TARGET must end in .parquet or .csv, got {target!r}")
    return WRITERS[Path(target).suffix]


def _inputs(source: str, preprocessing: dict[str, Any]) -> Any:
    if preprocessing["columns"] is not None:
        table = read_table(source, strings=string_columns(preprocessing))
        return raw_inputs(table, preprocessing)
    from tune_jobs.engine.data.images import read_images

    return read_images(source)
