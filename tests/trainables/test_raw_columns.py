"""Every kind of column of a table as it occurs is encoded by an exported model as in training."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from trainables import preprocessing
from tune_jobs.engine.data.columns import raw_inputs, string_columns
from tune_jobs.engine.data.reading.again import read_again
from tune_jobs.engine.data.sources import read_table
from tune_jobs.engine.data.table import table

MAKER = Path(__file__).parents[1] / "fixtures" / "messy.py"


def load_maker():
    spec = importlib.util.spec_from_file_location("messy", MAKER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    return load_maker().write(tmp_path_factory.mktemp("messy"))


def encode_by_keras(columns, raw, wide):
    from keras import ops

    def tensor(values, dtype):
        return ops.convert_to_tensor(np.asarray(values), dtype=dtype)

    if not wide:
        encoder = preprocessing.make_encoder(columns, "e")
        given = [
            tensor(raw[c["name"]], i.dtype) for c, i in zip(columns, encoder.inputs, strict=True)
        ]
        return np.asarray(encoder(given))
    encoder = preprocessing.make_wide_encoder(columns, "e")
    joined = {
        kind: np.concatenate([raw[c["name"]] for c in known], axis=1)
        for kind, known in preprocessing.split_columns(columns).items()
    }
    return np.asarray(encoder({k: tensor(v, encoder.input[k].dtype) for k, v in joined.items()}))


@pytest.mark.parametrize("wide", [False, True])
def test_the_model_has_all_of_the_preprocessing_inside(paths, wide):
    dataset = table(paths["plain"], "churned", ids=["customer_id"])(0)
    columns = dataset.preprocessing["columns"]
    assert {column["kind"] for column in columns} == {"numeric", "date", "words", "categorical"}

    found = encode_by_keras(columns, dataset.raw_test, wide)

    np.testing.assert_array_equal(found, dataset.x_test)


@pytest.mark.parametrize("dialect", ["plain", "windows"])
def test_new_rows_of_a_file_are_read_and_encoded_as_in_training(paths, tmp_path, dialect):
    dataset = table(paths[dialect], "churned", ids=["customer_id"], test=0.5)(0)
    rows = read_table(paths[dialect], strings=string_columns(dataset.preprocessing))
    raw = raw_inputs(read_again(rows, dataset.preprocessing), dataset.preprocessing)

    def sort(parts):
        return sorted(
            zip(*(map(str, parts[name].ravel()) for name in dataset.raw_test), strict=True)
        )

    found, tested = sort(raw), sort(dataset.raw_test)
    assert len(found) == 400 and len(tested) == 200
    assert set(tested) <= set(found)
