"""Predictions of tables and DataFrames, beside ids and other columns; the model is arithmetic."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from tune_jobs.engine import JobError, table
from tune_jobs.engine.data.predicting import Predictor, take_frames
from tune_jobs.engine.runs.predict import predict

ROWS = 60
FRAME = pd.DataFrame(
    {
        "customer": [f"{1000 + row:06}" for row in range(ROWS)],
        "zip": [f"{row % 7:05}" for row in range(ROWS)],
        "age": np.arange(ROWS) / ROWS,
        "note": ["x, y"] * ROWS,
        "bought": ["No", "Yes", "Yes"] * (ROWS // 3),
    }
)
RECIPE = table(FRAME, target="bought", ids=["customer"], ignore=["note"])


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return make_predictor(RECIPE)


def make_predictor(recipe) -> Predictor:
    dataset = recipe(0)
    return Predictor(
        model=None,
        call=lambda _, inputs: inputs["age"].reshape(-1, 1),
        preprocessing=dataset.preprocessing,
        constants=dataset.signature,
        name="shop",
    )


@pytest.fixture
def source(tmp_path):
    FRAME.drop(columns="bought").to_csv(tmp_path / "new.csv", index=False)
    return str(tmp_path / "new.csv")


def test_each_class_has_a_probability_and_ids_come_first(predictor, source) -> None:
    found = predictor.table(source)

    assert found.column_names == ["customer", "prediction", "probability_No", "probability_Yes"]
    assert found["customer"].to_pylist() == FRAME["customer"].tolist()
    assert found["probability_Yes"].to_numpy() == pytest.approx(FRAME["age"])
    total = found["probability_No"].to_numpy() + found["probability_Yes"].to_numpy()
    assert total == pytest.approx(1.0)


@pytest.mark.parametrize("threshold", [0.0, 0.25, 0.5, 0.9])
def test_the_second_of_two_classes_is_predicted_above_the_threshold(predictor, threshold) -> None:
    found = replace(predictor, threshold=threshold).frame(FRAME)

    assert found["prediction"].eq("Yes").tolist() == (FRAME["age"] > threshold).tolist()
    assert found["probability_Yes"].to_numpy() == pytest.approx(FRAME["age"])


@pytest.mark.parametrize(
    ("keep", "before"),
    [
        (("note", "zip", "note"), ["customer", "note", "zip"]),
        (("all",), ["customer", "zip", "age", "note"]),
        (("customer",), ["customer"]),
    ],
)
def test_columns_are_kept_as_they_are_written(predictor, source, keep, before) -> None:
    found = predictor.table(source, keep)

    assert found.column_names == [*before, "prediction", "probability_No", "probability_Yes"]
    for name in {*before} - {"age"}:
        assert found[name].to_pylist() == FRAME[name].tolist()


def test_a_frame_is_predicted_as_a_file_is_and_keeps_its_index(predictor, source) -> None:
    frame = FRAME.drop(columns="bought").set_index(np.arange(ROWS) + 7)
    found = predictor.frame(frame, ("zip",))

    assert found.index.tolist() == frame.index.tolist()
    assert found["zip"].tolist() == FRAME["zip"].tolist()
    expected = predictor.table(source).to_pandas()
    pd.testing.assert_frame_equal(
        found.drop(columns="zip").reset_index(drop=True), expected, check_dtype=False
    )


@pytest.mark.parametrize(
    ("rows", "keep", "message"),
    [
        (FRAME.drop(columns="customer"), (), "no column 'customer' \\(the id beside the"),
        (FRAME, ("zipp",), "no column 'zipp' \\(to keep\\); did you mean 'zip'"),
        (FRAME.assign(prediction=1), ("prediction",), "column 'prediction' cannot be kept"),
        (np.ones((3, 2)), (), "predicts a table or a DataFrame, not an array"),
    ],
)
def test_what_cannot_stand_beside_predictions_is_refused(predictor, rows, keep, message) -> None:
    with pytest.raises(JobError, match=message):
        predictor.frame(rows, keep)


def test_a_number_has_a_prediction_alone() -> None:
    numbers = FRAME.assign(bought=np.arange(ROWS) * 1.5)
    found = make_predictor(table(numbers, target="bought")).frame(numbers)

    assert found.columns.tolist() == ["prediction"]


def test_a_file_is_overwritten_only_by_force(predictor, source, tmp_path) -> None:
    experiment, target = SimpleNamespace(predictor=lambda: predictor), tmp_path / "out.csv"
    assert predict(experiment, source, str(target)) == ROWS
    before = target.read_bytes()
    with pytest.raises(JobError, match=r"out\.csv exists; add --force to overwrite it"):
        predict(experiment, source, str(target), keep=["zip"])

    assert target.read_bytes() == before
    predict(experiment, source, str(target), keep=["zip"], force=True)
    assert pd.read_csv(target, dtype=str)["zip"].tolist() == FRAME["zip"].tolist()


@pytest.mark.parametrize("target", ["new.csv", "link.csv", "folder/out.parquet"])
def test_what_is_read_is_never_overwritten(predictor, source, tmp_path, target) -> None:
    (tmp_path / "link.csv").symlink_to(source)
    (tmp_path / "folder").mkdir()
    read = source if target.endswith("csv") else str(tmp_path / "folder")
    experiment, before = SimpleNamespace(predictor=lambda: predictor), Path(source).read_bytes()
    with pytest.raises(JobError, match=r"TARGET '.*' is SOURCE, or in it"):
        predict(experiment, read, str(tmp_path / target), force=True)

    assert Path(source).read_bytes() == before


def test_columns_that_a_file_cannot_hold_leave_it_as_it_is(predictor, tmp_path) -> None:
    source, target = tmp_path / "new.parquet", tmp_path / "out.csv"
    FRAME.assign(tags=[["a", "b"]] * ROWS).to_parquet(source)
    target.write_text("earlier")
    experiment = SimpleNamespace(predictor=lambda: predictor)
    with pytest.raises(JobError, match=r"out\.csv cannot be written: Unsupported cast from list"):
        predict(experiment, str(source), str(target), keep=["tags"], force=True)

    assert target.read_text() == "earlier"


def test_the_predict_of_a_model_takes_a_frame_and_what_it_took_before(predictor) -> None:
    class Model:
        def predict(self, x, verbose=1):
            return x * 2, verbose

    model = Model()
    take_frames(model, lambda: predictor)

    assert model.predict(3, verbose=0) == (6, 0)
    assert model.predict(FRAME).columns.tolist()[1:] == [
        "prediction",
        "probability_No",
        "probability_Yes",
    ]


@pytest.mark.parametrize(
    ("separator", "decimal", "ending"),
    [(",", ".", ".csv"), (";", ",", ".csv"), ("|", ".", ".csv"), (";", ",", ".tsv")],
)
def test_predictions_are_written_as_the_rows_are(
    predictor, tmp_path, separator, decimal, ending
) -> None:
    source, target = tmp_path / "new.csv", tmp_path / f"out{ending}"
    rows = FRAME.assign(note='a "b"; c')
    rows.to_csv(source, index=False, sep=separator, decimal=decimal)
    predict(SimpleNamespace(predictor=lambda: predictor), str(source), str(target), keep=["note"])

    written = "\t" if ending == ".tsv" else separator
    found = pd.read_csv(target, sep=written, decimal=decimal, dtype={"customer": str})
    assert found.columns.tolist() == [
        *("customer", "note", "prediction", "probability_No", "probability_Yes")
    ]
    assert found["probability_Yes"].to_numpy() == pytest.approx(FRAME["age"])
    assert found[["customer", "note"]].equals(rows[["customer", "note"]])
    assert f"{written}0{decimal}98" in target.read_text()


def test_whole_numbers_between_semicolons_get_the_decimal_commas_of_training(tmp_path) -> None:
    training, source, target = (tmp_path / f"{name}.csv" for name in ("shop", "new", "out"))
    texts = FRAME.assign(age=[f"{1000 + row},5" for row in range(ROWS)])
    texts.to_csv(training, index=False, sep=";")
    FRAME.assign(age=0).to_csv(source, index=False, sep=";")
    predictor = replace(
        make_predictor(table(training, target="bought", ignore=["note", "customer"])),
        call=lambda _, inputs: np.full((len(inputs["age"]), 1), 0.25),
    )
    predict(SimpleNamespace(predictor=lambda: predictor), str(source), str(target))

    assert set(target.read_text().splitlines()[1:]) == {'"No";0,75;0,25'}


def test_new_rows_are_read_with_the_encoding_and_separator_of_training(tmp_path) -> None:
    path = tmp_path / "towns.csv"
    towns = FRAME.assign(zip=["\u0141\u00f3d\u017a", "Krak\u00f3w"] * (ROWS // 2))
    towns.drop(columns=["note", "customer"]).to_csv(path, index=False, sep="~", encoding="cp1250")
    dataset = table(path, target="bought", encoding="cp1250", separator="~")(0)
    seen = []
    predictor = Predictor(
        model=None,
        call=lambda _, inputs: seen.append(inputs) or inputs["age"].reshape(-1, 1),
        preprocessing=dataset.preprocessing,
        constants=dataset.signature,
        name="towns",
    )

    assert len(predictor.frame(str(path))) == ROWS
    assert seen[0]["zip"].reshape(-1).tolist() == towns["zip"].tolist()
