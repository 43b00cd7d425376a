"""Predict new data with an experiment's best model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv
import pyarrow.parquet as pq

from tune_jobs.engine.data.columns import raw_inputs, string_columns
from tune_jobs.engine.data.reading.again import read_again
from tune_jobs.engine.data.scoring.outputs import meaning_of_outputs
from tune_jobs.engine.data.sources import find_column, read_table
from tune_jobs.engine.data.target import prediction_table
from tune_jobs.engine.errors import JobError, first_line
from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.experiments.files import MODEL
from tune_jobs.engine.space.configs import Config

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
    inputs, ids = _inputs(source, preprocessing, experiment.description.constants)
    model = experiment.best_model()
    described = preprocessing["target"]
    with _mismatches(experiment):
        outputs = np.asarray(experiment.companion("predict")(model, inputs))
        meaning = meaning_of_outputs(outputs, described, experiment.description.constants)
        table = prediction_table(outputs, described, meaning)
    for name in reversed(ids):
        table = table.add_column(0, name, ids[name])
    try:
        write(table, target)
    except OSError as error:
        raise JobError(f"{target} cannot be written: {error}") from None
    return int(table.num_rows)


@contextmanager
def _mismatches(experiment: Experiment) -> Iterator[None]:
    """Turn the failure of a model that is not the experiment's into one line.

    Code that the user has given fails with its traceback.

    Raises:
        JobError: if the block raises anything.
    """
    try:
        yield
    except Exception as error:
        if experiment.trusted:
            raise
        raise JobError(
            f"{MODEL} does not take the columns of {experiment.name}, or predicts something else: "
            f"{first_line(error)}; is it the file of another experiment?"
        ) from error


def _writer(target: str) -> Any:
    if Path(target).suffix not in WRITERS:
        raise JobError(f"TARGET must end in .parquet or .csv, got {target!r}")
    return WRITERS[Path(target).suffix]


def _inputs(
    source: str, preprocessing: dict[str, Any], constants: Config
) -> tuple[Any, dict[str, Any]]:
    """Return what the model takes, and the columns that identify the rows, if there are any."""
    if preprocessing["columns"] is not None:
        names = preprocessing.get("ids", [])
        table = read_table(source, strings=[*string_columns(preprocessing), *names])
        ids = {
            name: table[find_column(name, table.column_names, "the id beside the predictions")]
            for name in names
        }
        return raw_inputs(read_again(table, preprocessing), preprocessing), ids
    from tune_jobs.engine.data.images import read_images

    return read_images(source, constants.get("input_shape")), {}
