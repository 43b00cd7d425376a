"""The recipe of a dataset from one table."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet as pq

from tune_jobs.engine.data.splitting import split_rows
from tune_jobs.engine.data.table import table
from tune_jobs.engine.errors import JobError


def fails(message: str):
    return pytest.raises(JobError, match=re.escape(message))


def customers(rows=200, **other):
    draw = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "age": np.where(draw.random(rows) < 0.1, np.nan, draw.normal(40, 10, rows)),
            "city": draw.choice(["Bern", "Oslo", "Rom"], rows),
            "größe/€": draw.integers(0, 9, rows),
            "churned": draw.random(rows) < 0.25,
        }
        | other
    )


def with_target(values) -> pd.DataFrame:
    return pd.DataFrame({"x": np.arange(len(values), dtype=float), "y": values})


def test_a_dataset_has_the_shapes_and_types_that_its_signature_says():
    dataset = table(customers(), "churned")(0)
    training = dataset.training

    assert dataset.signature == {
        "task": "binary",
        "input_shape": [4],
        "outputs": 1,
        "rows": 120,
        "categories": [4],
    }
    assert training.x_train.shape == (120, 4)
    assert training.x_validation.shape == dataset.x_test.shape == (40, 4)
    assert {part.dtype for part in (training.x_train, training.y_train)} == {np.dtype("float32")}
    assert dataset.preprocessing["target"] == {
        "name": "churned",
        "task": "binary",
        "classes": [False, True],
    }
    assert json.loads(json.dumps(dataset.preprocessing)) == dataset.preprocessing
    assert json.loads(json.dumps(dataset.signature)) == dataset.signature


def test_what_other_rows_hold_changes_neither_the_preprocessing_nor_the_training_part():
    frame = customers()
    classes = frame["churned"].to_numpy().astype(int)
    split = split_rows(len(frame), 7, validation=0.2, test=0.2, classes=classes)
    others = np.concatenate([split.validation, split.test])
    changed = frame.copy()
    changed.loc[others, "age"] = 1e6
    changed.loc[others, "city"] = "Ulm"

    first, second = table(frame, "churned")(7), table(changed, "churned")(7)

    assert first.preprocessing == second.preprocessing
    np.testing.assert_array_equal(first.training.x_train, second.training.x_train)
    assert not np.array_equal(first.x_test, second.x_test)
    assert first.fingerprint != second.fingerprint


def test_each_row_is_in_one_part_with_its_own_target():
    frame = pd.DataFrame({"x": np.arange(100.0), "y": np.arange(100.0) * 2})
    dataset = table(frame, "y")(0)
    training, learnt = dataset.training, dataset.preprocessing
    column, target = learnt["columns"][0], learnt["target"]

    x = np.concatenate([training.x_train, training.x_validation, dataset.x_test])[:, 0]
    y = np.concatenate([training.y_train, training.y_validation, dataset.y_test])

    x, y = x * column["scale"] + column["mean"], y * target["scale"] + target["mean"]
    np.testing.assert_allclose(np.sort(x), frame["x"], atol=1e-4)
    np.testing.assert_allclose(y, 2 * x, atol=1e-3)


def test_a_seed_repeats_the_split_and_another_draws_another():
    recipe = table(customers(), "churned")
    first, again, other = recipe(1), recipe(1), recipe(2)

    np.testing.assert_array_equal(first.training.x_train, again.training.x_train)
    np.testing.assert_array_equal(first.x_test, again.x_test)
    assert not np.array_equal(first.x_test, other.x_test)
    assert first.fingerprint == again.fingerprint == other.fingerprint


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.integers(8, 40), min_size=2, max_size=5),  # fewer leave a part without a class
    st.floats(0.15, 0.3),
    st.floats(0.15, 0.3),
    st.integers(0, 2**31 - 1),
)
def test_the_parts_hold_every_row_once_and_every_class_in_proportion(
    counts, validation, test, seed
):
    classes = np.repeat(np.arange(len(counts)), counts)
    rows = len(classes)

    split = split_rows(rows, seed, validation=validation, test=test, classes=classes)

    parts = {"train": 1 - validation - test, "validation": validation, "test": test}
    assert sorted(np.concatenate([getattr(split, part) for part in parts])) == list(range(rows))
    for part, share in parts.items():
        found = np.bincount(classes[getattr(split, part)], minlength=len(counts))
        assert (np.abs(found - share * np.array(counts)) <= 2.5).all()


def test_raw_test_is_the_test_part_as_the_exported_model_takes_it():
    dataset = table(customers(6_000), "churned")(0)

    assert {values.shape for values in dataset.raw_test.values()} == {(1200, 1)}
    age = dataset.preprocessing["columns"][0]
    raw = np.where(np.isnan(dataset.raw_test["age"]), age["fill"], dataset.raw_test["age"])
    encoded = ((raw - age["mean"]) / age["scale"]).astype(np.float32)
    np.testing.assert_array_equal(encoded[:, 0], dataset.x_test[:, 0])


def test_the_test_part_of_a_sorted_table_begins_with_all_classes():
    dataset = table(with_target(np.repeat([0, 1, 2], 4000)), "y")(0)

    assert np.bincount(dataset.y_test[:1000]).min() > 250


@pytest.mark.parametrize(
    ("values", "task", "found", "classes"),
    [
        ([True, False], None, "binary", [False, True]),
        (["yes", "no"], None, "binary", ["no", "yes"]),
        ([5, 3], None, "binary", [3, 5]),
        (["c", "a", "b"], None, "multiclass", ["a", "b", "c"]),
        (list(range(20)), None, "multiclass", list(range(20))),
        (list(range(21)), None, "regression", None),
        (list(range(21)), "multiclass", "multiclass", list(range(21))),
        ([0.5, 1.5, 2.5], None, "regression", None),
        ([1.0, 0.0], "binary", "binary", [0, 1]),
        ([0, 1], "multiclass", "multiclass", [0, 1]),
        ([0, 1], "regression", "regression", None),
        ([True, False], "regression", "regression", None),
        (pd.Categorical(["b", "a"], categories=["z", "b", "a"]), None, "binary", ["a", "b"]),
        (pd.array([1, 2], dtype="Int64"), None, "binary", [1, 2]),
    ],
)
def test_the_task_is_found_from_the_target_or_given(values, task, found, classes):
    frame = pd.concat([with_target(values)] * 10, ignore_index=True).assign(
        x=range(len(values) * 10)
    )
    dataset = table(frame, "y", task=task)(0)
    target = dataset.preprocessing["target"]

    assert dataset.signature["task"] == target["task"] == found
    assert target.get("classes") == classes
    assert dataset.signature["outputs"] == (len(classes) if found == "multiclass" else 1)
    assert dataset.training.y_train.dtype == (np.int32 if found == "multiclass" else np.float32)


def test_codes_are_the_places_of_the_classes():
    values = np.array(["b", "c", "a"] * 10)
    frame = pd.DataFrame({"x": np.char.add("is ", values), "y": values})
    dataset = table(frame, "y")(0)

    np.testing.assert_array_equal(dataset.x_test[:, 0] - 1, dataset.y_test)


def test_a_regression_target_is_standardised_by_the_training_part():
    dataset = table("diabetes", "progression")(0)

    y = dataset.training.y_train
    assert abs(y.mean()) < 1e-6 and abs(y.std() - 1) < 1e-6
    assert abs(dataset.y_test.mean()) > 1e-4


def test_a_fractional_target_of_two_values_is_warned_about():
    dataset = table(with_target([0.0, 1.0] * 100), "y")(0)

    assert dataset.warnings == (
        "target 'y' has 2 values, but is taken as a number; see task='binary'",
    )


@pytest.mark.parametrize(
    ("values", "task", "message"),
    [
        ([None] * 9, None, "target 'y' has no value in any of the 9 rows"),
        ([""] * 9, None, "target 'y' has no value in any of the 9 rows"),
        ([np.nan] * 9, None, "target 'y' has no value in any of the 9 rows"),
        ([1.0] * 8 + [None], None, "target 'y' has no value in 1 of 9 rows; leave them out"),
        (["a"] * 7 + ["", None], None, "target 'y' has no value in 2 of 9 rows; leave them out"),
        ([7] * 9, None, "target 'y' is 7 in all rows"),
        ([0.5] * 9, None, "target 'y' is 0.5 in all rows"),
        (["a"] * 9, None, "target 'y' is 'a' in all rows"),
        ([True] * 9, None, "target 'y' is True in all rows"),
        (["a"] * 8 + ["b"], None, "class 'b' of target 'y' has 1 row, but each class needs 3"),
        ([0] * 7 + [1] * 2, None, "if it is a quantity, give task='regression'"),
        (list("abcdefghi"), None, "has 1 row (and 8 other classes too few)"),
        ([0.5, np.inf] + [1.0] * 7, None, "target 'y' has 1 of 9 values that are infinite"),
        ([0.5, 1.0, 2.0] * 3, "multiclass", "has fractions, but task='multiclass' needs classes"),
        (["a", "b", "c"] * 3, "binary", "has 3 classes, but task='binary' needs 2"),
        (["a", "b", "c"] * 3, "regression", "is text, but task='regression' needs numbers"),
        (pd.date_range("2026", periods=9), None, "target 'y' has the type timestamp"),
    ],
)
def test_a_target_that_cannot_be_learnt_is_refused(values, task, message):
    with fails(message):
        table(with_target(values), "y", task=task)(0)


def test_a_target_that_varies_only_outside_the_training_part_is_refused():
    values = np.full(50, 0.5)
    values[split_rows(50, 0, validation=0.2, test=0.2).test[0]] = 1

    with fails("target 'y' is 0.5 in all training rows"):
        table(with_target(values), "y")(0)


def test_a_table_too_small_to_split_is_refused():
    with fails("cannot be split in two"):
        table(with_target([0.5, 1.5]), "y")(0)


def test_a_table_of_one_row_is_refused_in_one_line():
    with fails("target 'y' is 0.5 in all rows"):
        table(with_target([0.5]), "y")(0)


def test_too_few_rows_for_the_classes_are_refused():
    with fails("9 rows cannot be split in two with 3 classes in each"):
        table(with_target(["a", "b", "c"] * 3), "y")(0)


def test_an_unknown_target_names_the_nearest():
    with fails("no column 'chrned' (the target); did you mean 'churned'? Columns: 'age', 'city'"):
        table(customers(), "chrned")(0)


def test_ignored_columns_are_not_learnt_from_whatever_they_hold():
    frame = customers(id=np.arange(200), joined=pd.date_range("2020", periods=200))

    assert len(table(frame, "churned")(0).preprocessing["columns"]) == 5
    dataset = table(frame, "churned", ignore=["id", "joined"])(0)
    assert dataset.fingerprint == table(customers(), "churned")(0).fingerprint


def test_every_source_gives_one_dataset_and_one_fingerprint(tmp_path):
    frame = customers()
    frame.to_csv(tmp_path / "c.csv", index=False)
    pq.write_table(pa.Table.from_pandas(frame), tmp_path / "c.parquet", row_group_size=30)

    made = [
        table(source, "churned")(4)
        for source in (frame, tmp_path / "c.csv", tmp_path / "c.parquet")
    ]

    assert len({dataset.fingerprint for dataset in made}) == 1
    for dataset in made[1:]:
        assert dataset.preprocessing == made[0].preprocessing
        np.testing.assert_array_equal(dataset.training.x_train, made[0].training.x_train)


def test_the_user_s_frame_is_left_as_it_is():
    frame = customers()

    table(frame, "churned", ignore=["age"])(0)

    pd.testing.assert_frame_equal(frame, customers())


def test_the_breast_cancer_table_is_ready_to_train_on():
    dataset = table("breast_cancer", "malignant")(0)

    assert dataset.signature["input_shape"] == [30] and dataset.warnings == ()
    shares = [part.mean() for part in (dataset.training.y_train, dataset.y_test)]
    np.testing.assert_allclose(shares, 212 / 569, atol=0.01)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"validation": 0}, "validation is 0, but must be a fraction between 0 and 1"),
        ({"test": "0.2"}, "test is '0.2', but must be a fraction between 0 and 1"),
        ({"validation": 0.5, "test": 0.5}, "validation=0.5 and test=0.5 leave nothing to train on"),
        ({"task": "regresion"}, "no task 'regresion'; did you mean 'regression'? Tasks: binary"),
        ({"ignore": "churned"}, "ignore names 'churned', which is the target"),
        ({"max_categories": 0}, "max_categories is 0, but must be an integer >= 1"),
        ({"target": ""}, "target is '', but must be the name of a column"),
        ({"source": 7}, "source is 7, but must be a path or a DataFrame"),
        ({"source": ""}, "source is '', but must be a path or a DataFrame"),
    ],
)
def test_a_wrong_argument_is_refused_before_anything_is_read(fields, message):
    with fails(message):
        table(**({"source": "absent.csv", "target": "churned"} | fields))


def test_a_frame_is_shown_by_its_size():
    assert repr(table(customers(), "churned")) == (
        "table('<DataFrame (200, 4)>', target='churned')"
    )
    assert repr(table("a.csv", "y")) == "table('a.csv', target='y')"


def test_making_a_recipe_reads_nothing_and_imports_neither_pandas_nor_scikit_learn():
    code = (
        "import sys; from tune_jobs.engine.data.table import table;"
        "from tune_jobs.engine.data.images import images;"
        "table('absent.csv', 'y'); images('absent.npz');"
        "assert not {'pandas', 'sklearn', 'ray', 'keras', 'tensorflow'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_number_to_predict_is_standardised_and_its_unit_is_in_the_signature() -> None:
    frame = with_target(1000.0 + 7.5 * np.arange(100))
    dataset = table(frame, "y")(0)
    fitted, truth = dataset.preprocessing["target"], dataset.training.y_train

    assert abs(float(truth.mean())) < 1e-6
    assert dataset.signature["target_mean"] == fitted["mean"] > 1000
    assert dataset.signature["target_scale"] == fitted["scale"] > 100


def test_a_job_may_want_the_target_as_it_is() -> None:
    frame = with_target(1000.0 + 7.5 * np.arange(100))
    recipe = table(frame, "y", scale_target=False)
    dataset = recipe(0)

    assert repr(recipe) == "table('<DataFrame (100, 2)>', target='y', scale_target=False)"
    assert dataset.training.y_train.min() >= 1000
    assert dataset.preprocessing["target"] == {
        "name": "y",
        "task": "regression",
        "mean": 0.0,
        "scale": 1.0,
    }
    assert not dataset.signature.keys() & {"target_mean", "target_scale"}
    with fails("scale_target is 'no', but must be True or False"):
        table(frame, "y", scale_target="no")


def labels(rows=120):
    x = np.random.default_rng(0).normal(size=(rows, 2))
    return pd.DataFrame(
        {"a": x[:, 0], "b": x[:, 1], "hot": x[:, 0] > 0, "kind": np.where(x[:, 1] > 0, "no", "yes")}
    ).assign(price=1000 + 50 * x[:, 0], weight=x[:, 1])


def test_several_targets_of_two_classes_are_labels() -> None:
    recipe = table(labels(), target=["hot", "kind"], ignore=["price", "weight"])
    dataset = recipe(0)

    assert dataset.signature["task"] == "binary"
    assert (dataset.signature["input_shape"], dataset.signature["outputs"]) == ([2], 2)
    assert dataset.training.y_train.shape == (72, 2)
    assert dataset.preprocessing["target"] == {
        "name": "hot, kind",
        "names": ["hot", "kind"],
        "task": "binary",
        "classes": [[False, True], ["no", "yes"]],
    }
    raw = dataset.raw_test
    expected = np.stack([raw["a"][:, 0] > 0, raw["b"][:, 0] <= 0], axis=1)
    assert np.array_equal(dataset.y_test, expected)
    assert repr(table("x.csv", target=["a", "b"])) == "table('x.csv', target=['a', 'b'])"


def test_several_numbers_are_standardised_each_by_itself() -> None:
    ignore = ["hot", "kind"]
    dataset = table(labels(), target=["price", "weight"], ignore=ignore)(0)
    fitted, y = dataset.preprocessing["target"], dataset.training.y_train

    np.testing.assert_allclose(y.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(y.std(axis=0), 1, atol=1e-5)
    assert fitted["mean"] == dataset.signature["target_mean"]
    assert fitted["mean"][0] > 900 > fitted["mean"][1]
    assert json.loads(json.dumps(dataset.preprocessing)) == dataset.preprocessing


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (["hot", "price"], "'hot' is binary and 'price' is regression, but several targets must"),
        (["hot", "hot"], "target is ['hot', 'hot'], but must be several columns, each once"),
        (["hot"], "target is ['hot'], but must be several columns, each once"),
        ([], "target is [], but must be several columns, each once"),
        (["hot", 3], "but must be the name of a column, or several names"),
        (["hot", "gone"], "no column 'gone' (the target)"),
    ],
)
def test_targets_that_do_not_go_together_are_refused(target, message) -> None:
    with fails(message):
        table(labels(), target=target)(0)


def test_classes_take_an_order() -> None:
    frame = with_target(["low", "middle", "high"] * 20)
    natural = table(frame, "y")(0).preprocessing["target"]["classes"]
    dataset = table(frame, "y", classes=["low", "middle", "high"])(0)

    assert natural == ["high", "low", "middle"]
    assert dataset.preprocessing["target"]["classes"] == ["low", "middle", "high"]
    raw = dataset.raw_test["x"][:, 0].astype(int)
    assert dataset.y_test.tolist() == (raw % 3).tolist()
    with fails("classes=('low', 'high') does not name 'middle' of target 'y'"):
        table(frame, "y", classes=["low", "high"])(0)
    with fails("names, but no row has, 'top' of target 'y'"):
        table(frame, "y", classes=["low", "middle", "high", "top"])(0)
