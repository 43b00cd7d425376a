"""What texts in columns mean."""

from __future__ import annotations

import datetime
import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tune_jobs.engine.data.reading.again import read_again
from tune_jobs.engine.data.reading.refine import Wanted, refine
from tune_jobs.engine.data.table import table
from tune_jobs.engine.errors import JobError


def read(texts, *, from_text=True, **wanted):
    whole = pa.table({"x": pa.array(texts, pa.string())})
    return refine(whole, Wanted(**wanted), from_text=from_text)


def values(texts, **wanted):
    return read(texts, **wanted).table["x"].to_pylist()


@pytest.mark.parametrize(
    ("texts", "numbers"),
    [
        (["31,011.10", "5", "1,000"], [31011.1, 5, 1000]),
        (["31.011,10", "5", "1.000"], [31011.1, 5, 1000]),
        (["45,1", "0,126"], [45.1, 0.126]),
        (["1 234,5", "12,0"], [1234.5, 12]),
        (["1'234.5", "12"], [1234.5, 12]),
        (["1\u00a0234", "12"], [1234, 12]),
        (["$1,000", "-$5", "($20.50)"], [1000, -5, -20.5]),
        (["€ 3,50", "1,20 €"], [3.5, 1.2]),
        (["45.1%", "3 %"], [45.1, 3]),
        (["CHF 12.50", "CHF 3"], [12.5, 3]),
        (["1e5", "2"], [100000, 2]),
        (["1", "2", "?", "unknown", "N/A", "-", ""], [1, 2, None, None, None, None, None]),
    ],
)
def test_numbers_in_every_notation(texts, numbers):
    assert values(texts) == numbers


@pytest.mark.parametrize(
    "texts",
    [
        ["01234", "80331"],  # zip codes
        ["1", "2", "3+"],  # an ordinal code, which would be lost
        ["12 kg", "13 kg"],
        ["10-20", "20-30"],
        ["a1", "b2"],
        ["?", "-"],
    ],
)
def test_other_texts_stay_texts(texts):
    assert values(texts) == texts


def test_a_mostly_numeric_column_is_numeric_and_what_is_missing_is_counted():
    ages = [str(age) for age in range(18, 90)]

    found = read([*ages, "unknown", "-", "unknown"])

    assert found.table["x"].null_count == 3
    assert found.warnings == (
        "column 'x' has 3 values that are not numbers ('unknown', '-'): missing",
    )
    assert read([*ages, "abc"]).warnings == (
        "column 'x' has 1 value that is not numbers ('abc'): missing",
    )


def test_a_column_that_looks_like_numbers_but_is_kept_as_text_is_said():
    found = read(["1", "2", "3", "1", "3+"])

    assert found.table["x"].type == pa.string()
    assert found.warnings == (
        (
            "column 'x' is text although 80 % of its values are numbers: '3+' is not; if that "
            "means missing, give missing=('3+',)"
        ),
    )
    assert values(["1", "2", "3+"], missing=("3+",)) == [1, 2, None]


def test_a_number_with_two_readings_is_said():
    (warning,) = read(["1,234", "5,678"]).warnings

    assert (
        "has '1,234', which is read as 1234 but could be 1.234; if so, give decimal=','" in warning
    )
    assert values(["1,234", "5,678"]) == [1234, 5678]
    assert values(["1,234", "5,678"], decimal=",") == [1.234, 5.678]


def test_texts_of_a_frame_that_are_plain_numbers_are_meant_as_texts():
    assert values(["1", "2", "2"], from_text=False) == ["1", "2", "2"]
    assert values(["1", "2", "?"], from_text=False) == [1, 2, None]
    assert values(["a", "NA"], from_text=False) == ["a", "NA"]


def test_numbers_among_texts_of_a_spreadsheet_are_numbers():
    ages = [25, "unknown", 30.5, None, *range(18, 90)]
    frame = pd.DataFrame({"age": pd.Series(ages, dtype=object), "y": np.arange(float(len(ages)))})

    found = table(frame, "y")(0)

    assert found.preprocessing["columns"][0]["kind"] == "numeric"
    assert "column 'age' has 1 value that is not numbers ('unknown'): missing" in found.warnings


def test_a_number_beyond_all_bounds_is_refused_as_infinite():
    assert values(["1e400", "1,234"]) == [float("inf"), 1234.0]


def test_what_pandas_takes_as_missing_is_missing_in_texts_too():
    assert values(["a", "NA", "null", "None", "N/A", "nan", "?"]) == ["a", *[None] * 5, "?"]
    assert values(["a", "?"], missing=("?",)) == ["a", None]


def test_spaces_around_categories_are_left_out():
    found = read([" yes", "yes ", "no"])

    assert found.table["x"].to_pylist() == ["yes", "yes", "no"]
    assert found.notes == ("column 'x' has 2 values with spaces around, which are left out",)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-31", (2026, 1, 31)),
        ("2026/1/31 14:30", (2026, 1, 31, 14, 30)),
        ("2026-01-31T14:30:05Z", (2026, 1, 31, 14, 30, 5)),
        ("2026-01-31T14:30:05+02:00", (2026, 1, 31, 12, 30, 5)),
        ("31.01.2026", (2026, 1, 31)),
        ("31/1/26 2:30 PM", (2026, 1, 31, 14, 30)),
        ("31 Jan 2026", (2026, 1, 31)),
        ("31-Jan-26", (2026, 1, 31)),
        ("Jan-31-2026", (2026, 1, 31)),
        ("2026-02", (2026, 2, 1)),
        ("Feb 2026", (2026, 2, 1)),
        ("January 31, 2026", (2026, 1, 31)),
        ("Sat, 31 Jan 2026 12:00:00", (2026, 1, 31, 12)),
    ],
)
def test_dates_in_the_usual_forms(text, moment):
    assert values([text, "1999-12-31"]) == [
        datetime.datetime(*moment),
        datetime.datetime(1999, 12, 31),
    ]


def test_the_column_decides_the_order_of_day_and_month():
    assert values(["03/04/2026", "31/01/2026"])[0] == datetime.datetime(2026, 4, 3)
    assert values(["03/04/2026", "01/31/2026"])[0] == datetime.datetime(2026, 3, 4)
    assert read(["03/04/2026", "31/01/2026"]).notes == ("column 'x' is read as day/month/year",)
    assert values(["03.04.2026", "04.05.2026"])[0] == datetime.datetime(2026, 4, 3)
    assert values(["03/04/2026", "04/05/2026"], order="mdy")[0] == datetime.datetime(2026, 3, 4)


def test_dates_that_nothing_decides_are_refused_with_both_readings():
    with pytest.raises(JobError, match=re.escape("'03/04/2026', which is 3 April 2026 or 4 March")):
        read(["03/04/2026", "04/05/2026"])
    with pytest.raises(JobError, match="dates in two orders: '31/01/2026' is day/month and"):
        read(["31/01/2026", "01/31/2026"])


def test_dates_with_placeholders_and_whole_numbers_that_are_days():
    found = read(["2026-01-31", "2026-02-01", "unknown"])
    assert found.table["x"].null_count == 1
    assert "1 value that is not dates ('unknown'): missing" in found.warnings[0]

    days = pa.table({"x": [20260101 + n for n in range(8)], "n": [21000000 + n for n in range(8)]})
    found = refine(days, Wanted(), from_text=True).table
    assert found["x"][0].as_py() == datetime.datetime(2026, 1, 1)
    assert found["n"].type == pa.int64()


@pytest.mark.parametrize(
    ("trained", "new", "expected"),
    [
        (["1.234,5", "unknown", "2,0"], ["3.000,25", "unknown", "?"], [3000.25, None, None]),
        (["$1,000", "$2"], ["$5", "7"], [5.0, 7.0]),
        (["31/01/2026", "01/02/2026"], ["03/04/2026"], [datetime.datetime(2026, 4, 3)]),
    ],
)
def test_new_rows_are_read_as_those_of_training(trained, new, expected):
    reading = read(trained).readings["x"]
    kind = "date" if reading["form"] == "date" else "numeric"
    column = {"name": "x", "kind": kind, "reading": reading}

    again = read_again(pa.table({"x": new}), {"columns": [column]})

    assert again["x"].to_pylist() == expected


def test_a_new_row_in_another_notation_is_refused():
    column = {"name": "x", "kind": "numeric", "reading": read(["1,5", "2,25"]).readings["x"]}

    with pytest.raises(JobError, match=re.escape("column 'x' has '1.500', which is not written")):
        read_again(pa.table({"x": ["1.500"]}), {"columns": [column]})


def test_new_texts_are_trimmed_unless_the_model_knows_spaces():
    whole = pa.table({"x": [" yes", "NA"]})
    for categories, expected in ((["no", "yes"], ["yes", None]), ([" yes", "NA"], [" yes", "NA"])):
        column = {"name": "x", "kind": "categorical", "categories": categories}
        assert read_again(whole, {"columns": [column]})["x"].to_pylist() == expected


def test_times_of_day_are_hours_and_durations_days():
    frame = pd.DataFrame(
        {
            "at": [datetime.time(9, 30), datetime.time(18)] * 20,
            "took": pd.to_timedelta([12, 36] * 20, "h"),
            "y": np.arange(40.0),
        }
    )

    found = table(frame, "y")(0)

    assert set(found.raw_test["at"].ravel()) == {9.5, 18.0}
    assert set(found.raw_test["took"].ravel()) == {0.5, 1.5}


def test_rows_without_a_target_are_left_out_if_asked(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(
        "x,y\n" + "".join(f"{n},{'yes' if n % 2 else 'no'}\n" for n in range(40)) + "1,NA\n2,\n"
    )

    with pytest.raises(JobError, match="target 'y' has no value in 2 of 42 rows; leave them out"):
        table(path, "y")(0)
    found = table(path, "y", drop_missing_target=True)(0)
    assert found.preprocessing["target"]["classes"] == ["no", "yes"]
    assert found.notes == ("2 rows of 42 without a target are left out",)
    path.write_text("x,y\n" + "1,NA\n" * 9)
    with pytest.raises(JobError, match="target 'y' has no value in any of the 9 rows"):
        table(path, "y", drop_missing_target=True)(0)
