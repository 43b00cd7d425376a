"""Columns: what is learnt from the training rows, and the matrix made of it."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tune_jobs.engine.data import column_kinds, columns, sources
from tune_jobs.engine.data.columns import (
    count_codes,
    encode,
    fingerprint,
    fit_columns,
    raw_inputs,
    string_columns,
)
from tune_jobs.engine.data.scoring.outputs import meaning_of_outputs
from tune_jobs.engine.data.sources import read_table
from tune_jobs.engine.data.target import prediction_table
from tune_jobs.engine.errors import JobError

FLOATS = st.none() | st.floats(-1e9, 1e9, width=32)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=4)
ROWS = st.lists(
    st.tuples(FLOATS, st.none() | st.booleans(), st.none() | st.sampled_from(["", "a", "b", "水"])),
    min_size=4,
    max_size=30,
)


def fails(message: str):
    return pytest.raises(JobError, match=re.escape(message))


def fit(table, train=None, most=50):
    rows = np.arange(table.num_rows) if train is None else np.asarray(train)
    return fit_columns(table, rows, most)


def only(values, arrow=None, **options):
    """The one column that is learnt from these values, with another beside it."""
    columns, _ = fit(pa.table({"x": pa.array(values, arrow)}), **options)
    return columns[0]


def mixed_table(rows) -> pa.Table:
    number, flag, text = zip(*rows, strict=True)
    return pa.table(
        {
            "city": pa.array(text, pa.string()),
            "age": pa.array(number, pa.float64()),
            "flag": pa.array(flag, pa.bool_()),
            "row": pa.array(range(len(rows))),
        }
    )


def by_pandas(frame: pd.DataFrame, train: np.ndarray) -> np.ndarray:
    """The matrix by a plain computation of its own: numbers, indicators, codes."""
    parts: dict[str, list] = {"numbers": [], "indicators": [], "codes": []}
    for name in frame.columns:
        if name == "city":
            text = frame[name].fillna("")
            known = sorted(set(text.iloc[train]) - {""})
            if known and text.iloc[train].nunique() > 1:
                parts["codes"].append(
                    text.map(lambda value, k=known: k.index(value) + 1 if value in k else 0)
                )
            continue
        number = frame[name].astype("float64")
        learnt = number.iloc[train]
        if learnt.notna().sum() and learnt.nunique(dropna=False) > 1:
            scale = learnt.std(ddof=0) or 1
            parts["numbers"].append((number.fillna(learnt.median()) - learnt.mean()) / scale)
            if learnt.isna().any():
                parts["indicators"].append(number.isna())
    return np.column_stack([column for kind in parts.values() for column in kind])


@given(ROWS, st.data())
def test_the_matrix_is_what_pandas_computes(rows, data):
    table = mixed_table(rows)
    train = np.array(sorted(data.draw(st.sets(st.integers(0, len(rows) - 1), min_size=2))))

    columns, _ = fit(table, train)
    (matrix,) = encode(table, columns, [np.arange(len(rows))])

    assert matrix.dtype == np.float32 and np.isfinite(matrix).all()
    np.testing.assert_allclose(
        matrix, by_pandas(table.to_pandas(types_mapper=pd.ArrowDtype), train), rtol=1e-4, atol=1e-4
    )


@given(ROWS, ROWS)
def test_nothing_is_learnt_from_other_rows_than_the_training_ones(learnt, others):
    train = np.arange(len(learnt))

    assert fit(mixed_table(learnt))[0] == fit(mixed_table([*learnt, *others]), train)[0]


@given(ROWS)
def test_a_table_made_of_its_raw_inputs_is_encoded_alike(rows):
    table = mixed_table(rows)
    columns, _ = fit(table)
    raw = raw_inputs(table, {"columns": columns})
    everything = [np.arange(len(rows))]
    again = pa.table(
        {name: pa.array(values[:, 0], from_pandas=True) for name, values in raw.items()}
    )

    np.testing.assert_array_equal(
        encode(again, columns, everything)[0], encode(table, columns, everything)[0]
    )


@given(st.lists(NAMES, min_size=1, max_size=5, unique=True))
def test_any_column_name_is_kept(names):
    table = pa.table({name: [1.0, 2.0] for name in names})
    columns, _ = fit(table)

    assert [column["name"] for column in columns] == names
    assert list(raw_inputs(table, {"columns": columns})) == names


@pytest.mark.parametrize("most", [1, 2, 3, 4])
def test_the_most_frequent_categories_are_kept_and_ties_go_by_name(most):
    words = ["d", "c", "c", "b", "b", "b", "a", "a"]

    kept = only(words, most=most)["categories"]

    assert kept == sorted(["b", "a", "c", "d"][:most])


def test_a_rare_missing_or_unseen_category_has_the_code_0():
    table = pa.table({"x": ["b", "b", "a", "c", "", None, "new"]})
    columns, _ = fit(table, train=[0, 1, 2, 3], most=1)

    assert encode(table, columns, [np.arange(7)])[0].ravel().tolist() == [1, 1, 0, 0, 0, 0, 0]


def test_parts_are_encoded_in_the_order_of_their_rows():
    table = pa.table({"x": [0.0, 1.0, 2.0]})
    columns = [
        {"name": "x", "kind": "numeric", "mean": 0, "scale": 1, "fill": 0, "indicator": False}
    ]

    parts = encode(table, columns, [np.array([2, 0]), np.array([], int), np.array([1])])

    assert [part.tolist() for part in parts] == [[[2], [0]], [], [[1]]]


def test_a_number_missing_outside_the_training_part_is_filled_without_an_indicator():
    table = pa.table({"x": pa.array([1.0, 2.0, 6.0, None])})
    columns, _ = fit(table, train=[0, 1, 2])

    assert columns[0]["indicator"] is False
    assert encode(table, columns, [np.array([3])])[0] == np.float32((2 - 3) / np.std([1, 2, 6]))


@pytest.mark.parametrize(
    ("values", "arrow", "kind"),
    [
        ([1, 2], pa.int8(), "numeric"),
        ([1, 2**64 - 1], pa.uint64(), "numeric"),
        ([1, 2**53 + 1], pa.int64(), "numeric"),
        ([1, 2], pa.float16(), "numeric"),
        ([1, 2], pa.decimal128(9, 2), "numeric"),
        ([1, 2], pa.dictionary(pa.int8(), pa.int64()), "numeric"),
        ([True, False], pa.bool_(), "boolean"),
        (["1", "02"], pa.string(), "categorical"),
        (["1", "02"], pa.large_string(), "categorical"),
        (["1", "02"], pa.string_view(), "categorical"),
        (["1", "02"], pa.dictionary(pa.int8(), pa.string()), "categorical"),
    ],
)
def test_kinds_follow_from_arrow_types(values, arrow, kind):
    column = only(values, arrow)

    assert column["kind"] == kind
    assert column.get("categories", ["02", "1"]) == ["02", "1"]


def test_recent_timestamps_as_numbers_keep_their_precision():
    seconds = 1.7e9 + np.arange(1000)
    table = pa.table({"x": seconds})
    columns, _ = fit(table)

    (matrix,) = encode(table, columns, [np.arange(1000)])

    assert abs(matrix.mean()) < 1e-6 and abs(matrix.std() - 1) < 1e-6
    np.testing.assert_allclose(np.diff(matrix[:, 0]), 1 / np.arange(1000).std(), rtol=1e-3)


@pytest.mark.parametrize("values", [[1e-200, 2e-200], [3e38, -3e38], [0.1, 0.1 + 1e-17, 0.2]])
def test_tiny_and_huge_numbers_make_finite_features(values):
    table = pa.table({"x": values})
    columns, _ = fit(table)

    assert columns[0]["scale"] > 0
    assert np.isfinite(encode(table, columns, [np.arange(len(values))])[0]).all()


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([None, None, None, 1.0], "it has no value in the training set"),
        ([None, None, None, "a"], "it has no value in the training set"),
        (["", "", None, "a"], "it has no value in the training set"),
        ([None] * 4, "it has no value in the training set"),
        ([5, 5, 5, 6], "it is 5 in the whole training set"),
        ([True, True, True, False], "it is 1 in the whole training set"),
        (["a", "a", "a", "b"], "it is 'a' in the whole training set"),
    ],
)
def test_a_column_without_information_in_training_is_dropped_with_a_warning(values, reason):
    table = pa.table({"x": values, "kept": [1, 2, 3, 4]})

    columns, warnings = fit(table, train=[0, 1, 2])

    assert [column["name"] for column in columns] == ["kept"]
    assert warnings == [f"column 'x' is dropped: {reason}"]


def test_one_value_that_is_sometimes_missing_is_information():
    table = pa.table({"x": [7.0, None, 7.0], "y": ["yes", None, "yes"]})
    columns, warnings = fit(table)

    assert not warnings
    assert encode(table, columns, [np.arange(3)])[0].tolist() == [[0, 0, 1], [0, 1, 0], [0, 0, 1]]


def test_text_that_is_nearly_always_distinct_is_warned_about():
    table = pa.table({"id": [f"customer {i}" for i in range(30)], "city": ["Bern", "Oslo"] * 15})

    _, warnings = fit(table)

    (warning,) = warnings
    assert warning == (
        "column 'id' looks like an identifier: 30 distinct values in 30 rows; "
        "leave it out with ignore=('id',) (--ignore 'id'), "
        "or keep it beside the predictions (--id 'id')"
    )


def test_a_table_whose_columns_are_all_dropped_is_refused():
    with fails("no column is left to learn from: column 'x' is dropped: it is 1 in the whole"):
        fit(pa.table({"x": [1, 1]}))


@pytest.mark.parametrize("value", [float("inf"), -float("inf"), 1e39])
def test_infinite_numbers_are_refused_wherever_they_are(value):
    table = pa.table({"x": [1.0, 2.0, value]})

    with fails("column 'x' has 1 of 3 values that are infinite or beyond 3.4e+38"):
        fit(table, train=[0, 1])


def test_a_number_that_overflows_when_standardised_is_refused():
    table = pa.table({"x": [0.0, 1e-30, 1e20]})
    columns, _ = fit(table, train=[0, 1])

    with fails("column 'x' has values too far from the training set's mean"):
        encode(table, columns, [np.arange(3)])


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        (datetime.time(1), "a time: make it a number"),
        (datetime.timedelta(1), "a time: make it a number"),
        ([1, 2], "not a number, boolean or text"),
        ({"a": 1}, "not a number, boolean or text"),
        (b"raw", "not a number, boolean or text"),
    ],
)
def test_a_type_without_a_kind_is_refused_with_advice(value, advice):
    with fails("or leave it out with ignore=('x',)") as raised:
        fit(pa.table({"x": [value], "y": [1]}))

    assert advice in str(raised.value)


def test_pandas_types_make_the_same_columns_as_plain_ones():
    plain = pd.DataFrame(
        {"n": [1.0, None, 3.0], "b": [1.0, None, 0.0], "s": ["x", None, "y"], "c": ["x", "y", "y"]}
    )
    typed = pd.DataFrame(
        {
            "n": pd.array([1, None, 3], dtype="Int64"),
            "b": pd.array([True, None, False], dtype="boolean"),
            "s": pd.array(["x", None, "y"], dtype="string"),
            "c": pd.Categorical(["x", "y", "y"], categories=["z", "y", "x"]),
        }
    )
    rows = [np.arange(3)]
    first, second = read_table(plain), read_table(typed)

    assert [column["kind"] for column in fit(second)[0]] == ["numeric", "boolean"] + [
        "categorical"
    ] * 2
    np.testing.assert_array_equal(
        encode(first, fit(first)[0], rows)[0], encode(second, fit(second)[0], rows)[0]
    )


def test_raw_inputs_are_columns_of_floats_and_texts():
    table = pa.table(
        {"n": pa.array([1, None]), "b": [None, True], "s": [None, "x"], "other": [b"", b""]}
    )
    columns = [{"name": name, "kind": kind} for name, kind in (("n", "numeric"), ("b", "boolean"))]
    columns.append({"name": "s", "kind": "categorical", "categories": ["x"]})

    raw = raw_inputs(table, {"columns": columns})

    assert {name: values.shape for name, values in raw.items()} == dict.fromkeys("nbs", (2, 1))
    np.testing.assert_array_equal(raw["n"], [[1], [np.nan]])
    np.testing.assert_array_equal(raw["b"], [[np.nan], [1]])
    assert raw["s"].tolist() == [[""], ["x"]]
    assert string_columns({"columns": columns}) == ["s"]


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        ("numeric", ["1"], "column 'age' is string, but was numeric when the model was trained"),
        ("numeric", [True], "column 'age' is bool, but was numeric"),
        ("categorical", [1], "column 'age' is int64, but was categorical"),
        ("boolean", [1], "column 'age' is int64, but was boolean"),
        ("numeric", [datetime.date(2026, 1, 1)], "column 'age' is date32[day], but was numeric"),
        ("numeric", [float("inf")], "column 'age' has 1 of 1 values that are infinite"),
    ],
)
def test_a_new_table_with_another_kind_of_column_is_refused(kind, values, message):
    with fails(message):
        raw_inputs(pa.table({"age": values}), {"columns": [{"name": "age", "kind": kind}]})


def test_a_new_table_may_have_a_column_empty_but_not_absent():
    columns = {
        "columns": [{"name": "age", "kind": "numeric"}, {"name": "city", "kind": "categorical"}]
    }

    raw = raw_inputs(pa.table({"age": pa.nulls(1), "city": pa.nulls(1)}), columns)

    assert np.isnan(raw["age"]).all() and raw["city"].tolist() == [[""]]
    with fails("no column 'age' (which the model was trained with); did you mean 'Age'?"):
        raw_inputs(pa.table({"Age": [1.0], "city": ["x"]}), columns)


@pytest.mark.parametrize("classes", [[False, True], ["no", "yes"], [0, 1]])
def test_a_binary_prediction_is_the_second_class_above_one_half(classes):
    target, second = {"task": "binary", "classes": classes}, np.float32([[0.25], [0.5], [0.75]])
    for outputs in (second, np.hstack([1 - second, second])):
        found = predictions(outputs, target)

        assert found == {
            "prediction": [classes[0], classes[0], classes[1]],
            f"probability_{classes[0]}": [0.75, 0.5, 0.25],
            f"probability_{classes[1]}": [0.25, 0.5, 0.75],
        }


def test_other_predictions_are_the_likeliest_class_and_the_number():
    classes = {"task": "multiclass", "classes": ["a", "b", "c"]}
    outputs = np.float32([[0.25, 0.5, 0.25], [0.75, 0.25, 0]])

    assert predictions(outputs, classes) == {
        "prediction": ["b", "a"],
        "probability_a": [0.25, 0.75],
        "probability_b": [0.5, 0.25],
        "probability_c": [0.25, 0.0],
    }
    assert predictions(np.float32([[1.5]]), {"task": "regression"}) == {"prediction": [1.5]}


def test_quantiles_and_labels_have_a_column_each():
    quantiles = predictions(np.float32([[1, 2, 3]]), {"task": "regression"})
    assert quantiles == {"prediction_1": [1.0], "prediction_2": [2.0], "prediction_3": [3.0]}

    labels = {"task": "binary", "classes": [0, 1]}
    for outputs in ([0.25, 0.75], [0.25, 0.75, 0.5]):
        rows = np.float32([outputs, np.ones(len(outputs))])
        found = predictions(rows, labels, len(outputs))
        assert found["probability_2"] == [0.75, 1.0]
        assert found["prediction_1"] == [0, 1]


@pytest.mark.parametrize(
    ("target", "outputs"),
    [
        ({"task": "binary", "classes": [0, 1]}, [[0.2, 0.3, 0.5]]),
        ({"task": "multiclass", "classes": ["a", "b", "c"]}, [[0.5]]),
    ],
)
def test_outputs_that_do_not_go_with_the_classes_are_refused(target, outputs):
    with pytest.raises(JobError, match="the model has outputs of shape"):
        predictions(np.float32(outputs), target)


def predictions(outputs, target, count=None):
    constants = {} if count is None else {"outputs": count}
    meaning = meaning_of_outputs(outputs, target, constants)
    return prediction_table(outputs, target, meaning).to_pydict()


def test_the_fingerprint_follows_the_content_and_not_how_it_is_stored():
    whole = pa.table({"x": [1.0, None, 3.0], "s": ["a", None, "b"]})
    parts = pa.concat_tables([whole[:1], whole[1:]])
    coded = whole.set_column(1, "s", whole["s"].dictionary_encode())
    others = [whole[:2], whole.rename_columns(["y", "s"]), whole.take([2, 1, 0])]
    others.append(whole.set_column(1, "s", pa.array(["a", None, "c"])))

    assert fingerprint(whole) == fingerprint(parts) == fingerprint(coded)
    assert len({fingerprint(whole), *map(fingerprint, others)}) == 5


@dataclass(frozen=True)
class Weekdays:
    """Dates as days of the week: all that a new kind of column takes."""

    name: str = "weekday"
    is_text: bool = False
    is_quantity: bool = False

    def takes(self, arrow):
        return pa.types.is_date(arrow)

    def count_missing(self, values):
        return values.null_count

    def content(self, name, values):
        return [str(value) for value in values.to_pylist()]

    def fit(self, name, values, train, max_categories):
        return column_kinds.Fitted({"name": name, "kind": self.name})

    def features(self, column):
        return ["code", "number"]

    def count_codes(self, column):
        return [7]

    def encode(self, column, values):
        days = np.array([value.weekday() for value in values.to_pylist()])
        return [days, days / 6]

    def read_raw(self, name, values):
        return np.array([str(value) for value in values.to_pylist()], dtype=object)


def test_a_new_kind_of_column_is_one_class(monkeypatch):
    monkeypatch.setattr(column_kinds, "KINDS", (Weekdays(), *column_kinds.KINDS))
    monday = datetime.date(2026, 1, 5)
    days = [monday + datetime.timedelta(days=number) for number in (0, 5, 6)]
    whole = pa.table({"day": days, "x": [1.0, 2.0, 3.0], "city": ["a", "b", "a"]})

    columns, _ = fit(whole)
    (matrix,) = encode(whole, columns, [np.arange(3)])

    assert [column["kind"] for column in columns] == ["numeric", "weekday", "categorical"]
    assert matrix[:, 1:].tolist() == [
        [0, 0, 1],
        pytest.approx([5 / 6, 5, 2]),
        [1, 6, 1],
    ]
    assert count_codes(columns) == [7, 3]
    assert raw_inputs(whole, {"columns": columns})["day"].ravel().tolist() == [*map(str, days)]
    assert fingerprint(whole) != fingerprint(whole.take([1, 0, 2]))


def test_a_wide_table_is_read_by_one_list_of_its_columns(monkeypatch):
    """Each list of the names takes time for every column, so there is none for each column."""
    listed = []
    real = sources.find_column
    monkeypatch.setattr(columns, "find_column", lambda *a: listed.append(a) or real(*a))
    monkeypatch.setattr(sources, "find_column", lambda *a: listed.append(a) or real(*a))
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(20, 300)))
    frame.columns = [f"g{place}" for place in range(300)]
    whole = sources.read_table(frame, ignore=[f"g{place}" for place in range(100)])
    fitted, _ = columns.fit_columns(whole, np.arange(10), 50)
    counted = CountedNames(whole)
    raw = columns.raw_inputs(counted, {"columns": fitted})

    assert len(raw) == 200
    assert listed == []
    assert counted.lists <= 1


class CountedNames:
    """A table that counts how often all of its columns are listed."""

    def __init__(self, whole):
        self.whole, self.lists = whole, 0

    def __getitem__(self, name):
        return self.whole[name]

    @property
    def schema(self):
        self.lists += 1
        return self.whole.schema

    @property
    def column_names(self):
        self.lists += 1
        return self.whole.column_names
