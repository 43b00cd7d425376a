"""Dates and free text as features."""

from __future__ import annotations

import datetime
import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tune_jobs.engine.data.columns import encode, fit_columns, raw_inputs
from tune_jobs.engine.data.kinds.dates import MICROSECONDS, PARTS
from tune_jobs.engine.data.kinds.words import split_words
from tune_jobs.engine.errors import JobError


def fit(**columns):
    whole = pa.table(columns)
    return fit_columns(whole, np.arange(whole.num_rows), 1000)[0]


@given(
    st.lists(st.datetimes(datetime.datetime(1, 3, 1), datetime.datetime(9999, 12, 31)), min_size=1)
)
def test_the_parts_of_a_date_are_those_of_python(moments):
    micros = pa.array(moments, pa.timestamp("us")).cast(pa.int64()).to_numpy()
    days = micros / MICROSECONDS

    for part, wanted in (("year", "year"), ("month", "month"), ("hour", "hour")):
        expected = [getattr(moment, wanted) for moment in moments]
        if part != "hour" or all(m.microsecond < 900_000 for m in moments):
            np.testing.assert_array_equal(PARTS[part](days, 0), expected)
    np.testing.assert_array_equal(PARTS["weekday"](days, 0), [m.weekday() for m in moments])


def test_a_date_has_the_parts_that_vary_and_an_indicator_if_some_are_missing():
    days = pd.date_range("2026-01-05", periods=20, freq="D").to_pydatetime().tolist()

    (column,) = fit(day=[*days, None])

    assert (column["kind"], column["parts"], column["indicator"]) == (
        "date",
        ["days", "weekday"],
        True,
    )
    whole = pa.table({"day": [days[3], None]})
    (matrix,) = encode(whole, [column], [np.arange(2)])
    assert matrix.shape == (2, 3)
    assert matrix[:, 2].tolist() == [0, 1]
    assert matrix[0, 0] == pytest.approx((3 - 9.5) / np.arange(20).std())
    assert raw_inputs(whole, {"columns": [column]})["day"][0, 0] == 20461.0


def test_a_column_of_one_day_is_dropped():
    whole = pa.table({"day": [datetime.date(2026, 1, 5)] * 4, "x": [1, 2, 3, 4]})

    columns, warnings = fit_columns(whole, np.arange(4), 50)

    assert len(columns) == 1
    assert warnings == ["column 'day' is dropped: it is 2026-01-05 in the whole training set"]


def test_short_free_text_is_a_bag_of_its_frequent_words():
    texts = [
        f"Order {n} arrived late, thanks!" if n % 2 else f"order {n} was great" for n in range(40)
    ]

    (column,) = fit(note=texts)

    assert column == {
        "name": "note",
        "kind": "words",
        "words": ["arrived", "great", "late", "order", "thanks", "was"],
    }
    whole = pa.table({"note": ["LATE late order", "", None, "nothing known"]})
    (matrix,) = encode(whole, [column], [np.arange(4)])
    assert matrix.tolist() == [[0, 0, 1, 1, 0, 0], [0] * 6, [0] * 6, [0] * 6]
    assert raw_inputs(whole, {"columns": [column]})["note"].ravel().tolist() == [
        *("LATE late order", "", "", "nothing known")
    ]


def test_words_are_split_as_keras_does():
    assert split_words("Don't\tSTOP,now  Über\u00a0x") == ["dont", "stopnow", "Über\u00a0x"]


def test_long_text_is_refused_with_advice():
    texts = [" ".join(f"word{(n * m) % 97}" for m in range(80)) for n in range(40)]

    with pytest.raises(
        JobError, match=re.escape("column 'note' is long text, of 80 words per row")
    ):
        fit(note=texts)


def test_many_categories_have_a_code_each_if_two_rows_have_them():
    draw = np.random.default_rng(0)
    towns = [f"town{n}" for n in draw.integers(0, 300, 2000)]

    (column,) = fit(town=[*towns, "lonely"])

    often = {town for town, rows in pd.Series(towns).value_counts().items() if rows > 1}
    assert len(column["categories"]) == len(often) > 290
    assert "lonely" not in column["categories"]
