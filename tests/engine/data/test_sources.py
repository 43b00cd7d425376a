"""Reading tables from files, folders and frames."""

from __future__ import annotations

import gzip
import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet as pq

from tune_jobs.engine.data.sources import read_table
from tune_jobs.engine.errors import JobError

FRAME = pd.DataFrame({"age": [1.5, 2.5, None], "city": ["Bern", "Oslo", None], "n": [1, 2, 3]})
ODD_NAMES = ["a.b", "a", "größe/€ 水", " spaced ", "x,y", "'quoted'", "0"]


def fails(message: str):
    return pytest.raises(JobError, match=re.escape(message))


def write_parquet(path, frame=FRAME):
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), path)
    return path


def write_bytes(path, content: bytes):
    path.write_bytes(content)
    return path


def test_one_content_is_the_same_table_from_every_kind_of_source(tmp_path):
    FRAME.to_csv(tmp_path / "t.csv", index=False)
    write_bytes(tmp_path / "t.csv.gz", gzip.compress((tmp_path / "t.csv").read_bytes()))
    (tmp_path / "parts").mkdir()
    write_parquet(tmp_path / "parts" / "1.parquet", FRAME[:1])
    write_parquet(tmp_path / "parts" / "2.parquet", FRAME[1:])
    sources = [write_parquet(tmp_path / "t.parquet"), FRAME, tmp_path / "parts"]
    sources += [tmp_path / "t.csv", str(tmp_path / "t.csv.gz")]

    for source in sources:
        found = read_table(source).to_pandas()
        assert found["age"].tolist()[:2] == [1.5, 2.5] and np.isnan(found["age"][2])
        assert found["city"].fillna("").tolist() == ["Bern", "Oslo", ""]
        assert found["n"].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("name", "target", "rows", "columns"),
    [
        ("breast_cancer", "malignant", 569, 31),
        ("diabetes", "progression", 442, 11),
        ("wine", "cultivar", 178, 14),
    ],
)
def test_embedded_tables_have_their_targets(name, target, rows, columns):
    table = read_table(name)

    assert table.shape == (rows, columns)
    assert target in table.column_names


def test_malignant_is_true_where_scikit_learn_says_so():
    from sklearn.datasets import load_breast_cancer

    table, found = read_table("breast_cancer"), load_breast_cancer()

    assert (
        table["malignant"].to_pylist() == (found.target_names[found.target] == "malignant").tolist()
    )
    assert table.column_names[:-1] == list(found.feature_names)


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_odd_names_are_kept_and_ignored_by_their_whole_name(tmp_path, ending):
    path = tmp_path / f"größe & co.{ending}"
    frame = pd.DataFrame([[1] * len(ODD_NAMES)], columns=ODD_NAMES)
    frame.to_csv(path, index=False) if ending == "csv" else write_parquet(path, frame)

    assert read_table(path).column_names == ODD_NAMES
    assert read_table(path, ignore=["a"]).column_names == [ODD_NAMES[0], *ODD_NAMES[2:]]
    assert read_table(path, ignore=["a.b"]).column_names == ODD_NAMES[1:]


def test_a_folder_gives_its_partitions_as_columns(tmp_path):
    for city in ("Bern", "Oslo"):
        folder = tmp_path / "run=7" / f"city={city}"
        folder.mkdir(parents=True)
        write_parquet(folder / "part.parquet", pd.DataFrame({"x": [1, 2]}))

    table = read_table(tmp_path / "run=7")

    assert table.column_names == ["x", "city"]
    assert table["city"].to_pylist() == ["Bern", "Bern", "Oslo", "Oslo"]


def test_whole_numbers_and_fractions_in_files_of_one_folder_become_fractions(tmp_path):
    write_parquet(tmp_path / "1.parquet", pd.DataFrame({"x": [1, 2]}))
    write_parquet(tmp_path / "2.parquet", pd.DataFrame({"x": [0.5]}))

    assert read_table(tmp_path)["x"].to_pylist() == [1.0, 2.0, 0.5]


def test_pandas_own_types_are_read_by_their_values():
    frame = pd.DataFrame(
        {
            "nullable": pd.array([1, None], dtype="Int64"),
            "flag": pd.array([True, None], dtype="boolean"),
            "text": pd.array(["a", None], dtype="str"),
            "arrow": pd.array(["a", None], dtype="string[pyarrow]"),
            "category": pd.Categorical(["b", None], categories=["z", "b"]),
            "object": pd.Series(["c", None], dtype=object),
            7: [1, 2],
        }
    )

    table = read_table(frame)

    assert [column[1].as_py() for column in table.columns[:-1]] == [None] * 6
    assert [column[0].as_py() for column in table.columns] == [1, True, "a", "a", "b", "c", 1]
    assert table.column_names[-1] == "7"


def test_a_frame_is_left_as_it_is():
    frame = FRAME.copy()

    read_table(frame, ignore=["city"])

    pd.testing.assert_frame_equal(frame, FRAME)


def test_a_csv_keeps_quoted_line_breaks_and_the_text_na(tmp_path):
    path = write_bytes(tmp_path / "t.csv", b'\xef\xbb\xbfcode,note\r\nNA,"two\nlines"\r\nCH,""\r\n')

    assert read_table(path).to_pydict() == {"code": ["NA", "CH"], "note": ["two\nlines", ""]}


def test_line_breaks_in_quotes_are_kept_where_a_large_file_is_read_in_blocks(tmp_path):
    path = write_bytes(tmp_path / "t.csv", b"note,n\n" + b'"a\n\nb",1\n' * 300_000)

    assert read_table(path)["note"].unique().to_pylist() == ["a\n\nb"]


def test_a_csv_column_of_digits_is_text_where_asked_for(tmp_path):
    path = write_bytes(tmp_path / "t.csv", b"zip\n123\n")

    assert read_table(path)["zip"].to_pylist() == [123]
    assert read_table(path, strings=["zip", "absent"])["zip"].to_pylist() == ["123"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"", "is empty"),
        ("t.csv", b"\n\n", "is empty"),
        ("t.csv", b"a,b\n", "has no rows"),
        ("t.csv", b"a,a\n1,2\n", "has more than one column called 'a'"),
        ("t.csv", b"a,b\n1,2,3\n", "cannot be read: CSV parse error: Expected 2 columns, got 3"),
        ("t.csv.gz", b"a,b\n1,2\n", "cannot be read"),
        ("t.parquet", b"", "cannot be read"),
        ("t.parquet", b"PAR1 not really PAR1", "cannot be read"),
        ("t.xlsx", b"x", "known endings: .parquet, .csv, .csv.gz"),
    ],
)
def test_a_file_that_is_not_as_it_must_be_is_one_clear_line(tmp_path, name, content, message):
    path = write_bytes(tmp_path / name, content)

    with fails(message) as raised:
        read_table(path)

    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_parquet_file_cut_short_is_refused(tmp_path):
    path = write_parquet(tmp_path / "t.parquet")
    write_bytes(path, path.read_bytes()[:-20])

    with fails("cannot be read"):
        read_table(path)


def test_duplicate_columns_are_refused_from_parquet_and_frames(tmp_path):
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    pq.write_table(twice, tmp_path / "t.parquet")

    for source in (tmp_path / "t.parquet", pd.DataFrame([[1, 2]], columns=["a", "a"])):
        with fails("more than one column called 'a'"):
            read_table(source)


def test_no_rows_are_refused_from_parquet_frames_and_folders(tmp_path):
    write_parquet(tmp_path / "t.parquet", FRAME[:0])

    for source in (tmp_path / "t.parquet", FRAME[:0], tmp_path):
        with fails("has no rows"):
            read_table(source)


def test_a_missing_file_names_its_neighbours(tmp_path):
    write_parquet(tmp_path / "customers.parquet")

    with fails("did you mean 'customers.parquet'?"):
        read_table(tmp_path / "custmers.parquet")
    with fails("its folder does not exist"):
        read_table(tmp_path / "absent" / "t.csv")


def test_a_misspelled_embedded_table_names_the_right_one():
    with fails("did you mean 'breast_cancer'? Embedded tables: breast_cancer, diabetes, wine"):
        read_table("brest_cancer")


def test_a_folder_without_parquet_or_with_unlike_files_is_refused(tmp_path):
    with fails("has no file that ends in .parquet"):
        read_table(tmp_path)
    write_parquet(tmp_path / "1.parquet", pd.DataFrame({"x": [1], "y": [2]}))
    write_parquet(tmp_path / "2.parquet", pd.DataFrame({"x": [1]}))
    with fails("'2.parquet' has no column 'y', which other files have"):
        read_table(tmp_path)


def test_an_unknown_column_to_ignore_names_the_nearest():
    with fails("no column 'agee' (to ignore); did you mean 'age'? Columns: 'age', 'city', 'n'"):
        read_table(FRAME, ignore=["agee"])


def test_a_frame_column_of_mixed_values_is_named_unless_it_is_ignored():
    frame = FRAME.assign(mixed=pd.Series([1, "x", True], dtype=object))

    with fails("column 'mixed' of the DataFrame cannot be read"):
        read_table(frame)
    assert "mixed" not in read_table(frame, ignore=["mixed"]).column_names
