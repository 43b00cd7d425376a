"""Tables as they occur: each defect once alone, and all of them together.

Asserted are the columns' kinds, the warnings with their numbers, and that new rows in the notation
of the file get the predictions that the clean rows get.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.fixtures import defects, messy
from tune_jobs.engine.data.predicting import Predictor
from tune_jobs.engine.data.table import table

CLEAN_KINDS = {
    "age": "number",
    "income": "number",
    "since": "date",
    "plan": "category",
    "churned": "category",
}


def outputs(_, inputs):
    """A stand-in for a model: a probability that every input column moves."""
    columns = [inputs[name].ravel() for name in sorted(inputs)]
    parts = [
        np.nan_to_num(each, nan=-1.0)
        if each.dtype.kind == "f"
        else np.array([len(text) for text in each], float)
        for each in columns
    ]
    total = sum((place + 1) * 0.37 * part for place, part in enumerate(parts))
    return np.mod(total, 1)[:, np.newaxis]


def predictor_of(dataset):
    return Predictor(
        model=None,
        call=outputs,
        preprocessing=dataset.preprocessing,
        constants=dataset.signature,
        name="test",
    )


@pytest.mark.parametrize("name", defects.DEFECTS)
def test_each_defect_alone_is_read_said_and_predicted(name, tmp_path):
    defect = defects.DEFECTS[name]
    path = defects.write(defect, tmp_path / "table.csv")
    dataset = table(path, "churned")(0)

    assert {each.name: each.kind for each in dataset.columns} == CLEAN_KINDS | defect.kinds
    for said, expected in ((dataset.warnings, defect.warnings), (dataset.notes, defect.notes)):
        assert len(said) == len(expected)
        assert all(part in text for text, part in zip(said, expected, strict=True))
    predictor = predictor_of(dataset)
    found = predictor.frame(str(path))
    spoilt = defect.spoil(defects.clean())
    kept = {column: defects.clean()[column] for column in defect.values}
    dates = {"since": pd.to_datetime(defects.clean()["since"])} if "since" in kept else {}
    typed = spoilt.assign(**kept | dates)
    assert len(found) == defects.ROWS
    assert found.equals(predictor.frame(typed))
    assert found["probability_Yes"].nunique() > 100


def test_rare_classes_and_gaps_are_counted(tmp_path):
    rare = table(defects.write(defects.DEFECTS["7 % yes"], tmp_path / "rare.csv"), "churned")(0)
    gaps = table(defects.write(defects.DEFECTS["gaps"], tmp_path / "gaps.csv"), "churned")(0)

    assert rare.classes == {"No": 278, "Yes": 22}
    sets = (rare.training.y_train, rare.training.y_validation, rare.y_test)
    assert [int(each.sum()) for each in sets] == [14, 4, 4]  # in proportion
    assert {each.name: each.missing for each in gaps.columns}["plan"] == 30


@pytest.mark.parametrize("dialect", ["plain", "european", "windows"])
def test_all_defects_together_are_read_said_and_predicted(dialect, tmp_path):
    path = messy.write(tmp_path)[dialect]
    dataset = table(path, "churned", ids=["customer_id"])(0)

    counting = {"Unnamed: 0": "number"} if dialect == "windows" else {}
    assert {each.name: each.kind for each in dataset.columns} == counting | {
        "customer_id": "category",
        "age": "number",
        "income": "number",
        "share": "number",
        "since": "date",
        "last_seen": "date",
        "plan": "category",
        "zip": "category",
        "street": "category",
        "note": "text",
        "refunds": "number",
        "churned": "category",
    }
    assert dataset.classes == {"No": 369, "Yes": 31}
    assert {each.name: each.missing for each in dataset.columns if each.missing} == {
        "age": 14,
        "plan": 54,
    }
    said = [
        "column 'age' has 14 values that are not numbers ('unknown'): missing",
        "column 'refunds' determines the target",
    ]
    doubled = ["6 rows of 80 in the validation set", "5 rows of 80 in the test set"]
    windows = [
        "the file is not UTF-8 and was read as cp1252",
        said[0],
        "column 'Unnamed: 0' counts",
    ]
    expected = [*windows, said[1]] if dialect == "windows" else [*said, *doubled]
    pairs = zip(dataset.warnings, expected, strict=True)
    assert [warning[: len(text)] for warning, text in pairs] == expected
    predictions = predictor_of(dataset).frame(str(path))
    assert predictions["customer_id"].tolist() == messy.customers()["customer_id"].tolist()
    tested = dict(zip(map(tuple, rows_of(dataset)), outputs(None, dataset.raw_test), strict=True))
    assert set(np.concatenate([*tested.values()])) <= set(predictions["probability_Yes"])


def rows_of(dataset):
    return zip(*(column.ravel().tolist() for column in dataset.raw_test.values()), strict=True)


def test_an_identifier_that_is_learnt_from_is_named(tmp_path):
    warnings = table(messy.write(tmp_path)["plain"], "churned")(0).warnings

    said = "column 'customer_id' looks like an identifier: 234 distinct values in 240 rows"
    assert any(warning.startswith(said) for warning in warnings)
