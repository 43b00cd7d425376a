"""CSV files of every dialect are one table."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from tune_jobs.engine.data.reading.again import read_again
from tune_jobs.engine.data.reading.csv_files import read_csv
from tune_jobs.engine.data.reading.dialect import sniff
from tune_jobs.engine.data.sources import read_table
from tune_jobs.engine.data.table import table
from tune_jobs.engine.errors import JobError

DRAW = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {
        "a": DRAW.normal(size=60).round(3) * 1000,
        "town": DRAW.choice(["Bern", "Köln"], 60),
        "y": DRAW.integers(0, 2, 60),
    }
)

DIALECTS = {
    "plain": {},
    "semicolon": {"sep": ";"},
    "decimal comma": {"sep": ";", "decimal": ","},
    "tab": {"sep": "\t"},
    "bar": {"sep": "|"},
    "BOM": {"encoding": "utf-8-sig"},
    "UTF-16": {"encoding": "utf-16"},
    "UTF-16 without a mark": {"encoding": "utf-16-le"},
    "Latin-1": {"encoding": "latin-1"},
    "quoted": {"quoting": 1},
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_is_read_as_the_plain_file(tmp_path, dialect):
    path = tmp_path / "t.csv"
    FRAME.to_csv(path, index=False, **DIALECTS[dialect])

    found = table(path, "y")(0)

    assert found.fingerprint == table(FRAME, "y")(0).fingerprint
    assert read_table(path)["town"].unique().to_pylist() == FRAME["town"].unique().tolist()


def test_how_a_file_is_written_is_said(tmp_path):
    path = tmp_path / "t.csv"
    FRAME.to_csv(path, index=False, sep=";", decimal=",", encoding="latin-1")

    found = table(path, "y")(0)

    assert found.notes[0] == "the file is CP1252, separated by semicolons, with decimal commas"
    assert found.warnings[0].startswith("the file is not UTF-8 and was read as cp1252")
    assert "UTF-8" not in "".join(table(path, "y", encoding="latin-1")(0).warnings)


def test_comments_above_the_names_are_left_out(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("# exported; by me\n# twice\n" + FRAME.to_csv(index=False))
    assert read_table(path).column_names == ["a", "town", "y"]

    path.write_text("Sales of March\n\n" + FRAME.to_csv(index=False, sep=";"))
    assert read_table(path).column_names == ["a", "town", "y"]
    assert str(sniff(path)) == "separated by semicolons, below 2 lines of comment"

    path.write_text("#id,town,y\n1,Bern,0\n2,Bern,1\n")
    assert read_table(path).column_names == ["#id", "town", "y"]


def test_columns_without_a_name_are_called_as_pandas_calls_them(tmp_path):
    path = tmp_path / "t.csv"
    FRAME.to_csv(path)

    assert read_table(path).column_names == list(pd.read_csv(path).columns)
    assert read_table(path, ignore=["Unnamed: 0"]).column_names == ["a", "town", "y"]
    texts = read_table(path, strings=["Unnamed: 0"])
    assert texts["Unnamed: 0"][0].as_py() == "0"
    learnt = {"columns": [{"name": "", "kind": "numeric"}]}  # by version 0.1
    assert read_again(read_table(path), learnt).column_names == ["", "a", "town", "y"]


@pytest.mark.parametrize(
    ("text", "separator"),
    [
        ("name;place\nA, B;C\n", ";"),
        ("name,place\n1;2,3\n", ","),
        ('"a;b",c\n1,2\n', ","),
        ("only\n1,5\n", ","),
        ("a;b\n1,5;2,5\n", ";"),
    ],
)
def test_the_separator_is_that_which_all_lines_have_alike(tmp_path, text, separator):
    path = tmp_path / "t.csv"
    path.write_text(text)

    assert sniff(path).separator == separator


def test_an_encoding_that_is_given_must_be_right(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b"a,b\n1,\xe9\n")

    with pytest.raises(JobError, match=re.escape("is not UTF8") + ".*name its encoding"):
        read_csv(path, encoding="utf8")
    with pytest.raises(JobError, match="encoding is 'utf9', but must be one that Python knows"):
        read_csv(path, encoding="utf9")


def test_zip_codes_keep_their_zeros(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("zip,n,x\n01234,1,0.5\n80331,10,0.25\n")

    found = read_table(path)

    assert found["zip"].to_pylist() == ["01234", "80331"]
    assert found["n"].to_pylist() == [1, 10]
    assert found["x"].to_pylist() == [0.5, 0.25]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"separator": ";;"}, "separator is ';;', but must be one character or None"),
        ({"decimal": ";"}, "decimal is ';', but must be '.', ',' or None"),
        ({"date_order": "ymd"}, "date_order is 'ymd', but must be 'dmy', 'mdy' or None"),
        ({"ids": ["y"]}, "ids names 'y', which is the target"),
        ({"ids": ["a"], "ignore": ["a"]}, "ignore and ids both name 'a'"),
        ({"drop_missing_target": 1}, "drop_missing_target is 1, but must be True or False"),
    ],
)
def test_a_wrong_field_is_refused(fields, message):
    with pytest.raises(JobError, match=re.escape(message)):
        table("absent.csv", "y", **fields)
