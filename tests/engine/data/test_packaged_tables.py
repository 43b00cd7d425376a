"""Real tables: the six that scikit-learn ships, as a program has them and as files."""

from __future__ import annotations

import importlib

import pytest

from tune_jobs.engine import Job
from tune_jobs.engine.data.table import table

# Of each: task, outputs, features, rows of the first class, and what is said.
TABLES = {
    "iris": ("multiclass", 3, 4, 50, ()),
    "wine": ("multiclass", 3, 13, 59, ()),
    "breast_cancer": ("binary", 1, 30, 212, ()),
    "digits": ("multiclass", 10, 61, 178, ("column 'pixel_0_0' is dropped",)),
    "diabetes": ("regression", 1, 10, None, ()),
    "linnerud": ("regression", 3, 3, None, ("few rows: training 12 rows",)),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_of_scikit_learn_is_read_alike_as_pair_frame_and_file(name, tmp_path):
    load = getattr(importlib.import_module("sklearn.datasets"), f"load_{name}")
    data = load(as_frame=True)
    target = list(data.target.columns) if name == "linnerud" else "target"
    task, outputs, features, first, said = TABLES[name]
    pair = Job(print, {"units": 4}, data=(data.data, data.target)).load_data()

    signature = pair.signature
    assert (signature["task"], signature["outputs"]) == (task, outputs)
    assert signature["input_shape"] == [features]
    assert (next(iter(pair.classes.values())) if pair.classes else None) == first
    assert all(any(text.startswith(part) for text in pair.warnings) for part in said)
    frame = table(data.frame, target)(0)
    path = tmp_path / f"{name}.csv"
    data.frame.to_csv(path, index=False)
    assert table(path, target)(0).fingerprint == frame.fingerprint == pair.fingerprint
