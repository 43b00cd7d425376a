"""Data as a program has them: ``Job(data=(X, y))``, a DataFrame, sets that are given apart."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits, load_iris, load_linnerud

from tune_jobs.engine import Evaluation, Job, JobError, table
from tune_jobs.engine.data.apart import Apart
from tune_jobs.engine.data.predicting import Predictor, take_frames
from tune_jobs.engine.finals.rounds import check_rounds

X, Y = load_iris(return_X_y=True)
FRAME, SERIES = load_iris(return_X_y=True, as_frame=True)
IMAGES = load_digits().images[:200].astype("uint8"), load_digits().target[:200]


def make_job(data, **more):
    return Job(print, {"units": 4}, data=data, **more)


def predictor_of(dataset):
    """A predictor whose model returns the first of its inputs."""
    return Predictor(
        model=None,
        call=lambda _, inputs: next(iter(inputs.values())) if isinstance(inputs, dict) else inputs,
        preprocessing={**dataset.preprocessing, "target": {"task": "regression"}},
        constants={**dataset.signature, "outputs": 1, "task": "regression"},
        name="test",
    )


def test_arrays_are_the_columns_of_a_table():
    dataset = make_job((X, Y)).load_data()

    assert dataset.signature["task"] == "multiclass"
    names = [column["name"] for column in dataset.preprocessing["columns"]]
    assert names == ["x0", "x1", "x2", "x3"]
    assert dataset.preprocessing["target"] == {
        "name": "y",
        "task": "multiclass",
        "classes": [0, 1, 2],
    }
    assert abs(dataset.training.x_train.mean()) < 1e-6  # standardised
    assert json.loads(json.dumps(dataset.preprocessing))["array"] == 4
    same = table(pd.DataFrame(X, columns=names).assign(y=Y), "y")
    seed = make_job(same).load_data()
    assert np.array_equal(seed.training.x_train, dataset.training.x_train)
    assert seed.fingerprint == dataset.fingerprint


def test_a_frame_and_a_series_keep_their_names_and_kinds():
    people = pd.DataFrame({"age": [30, 41, 52] * 20, "city": ["Rom", "Oslo", None] * 20})
    names = pd.Series(["no", "yes", "no"] * 20, name="churned")
    dataset = make_job((people, names)).load_data()

    assert {column["name"]: column["kind"] for column in dataset.preprocessing["columns"]} == {
        "age": "numeric",
        "city": "categorical",
    }
    assert dataset.preprocessing["target"]["name"] == "churned"
    called = make_job((people, names.to_numpy()), target="left").load_data()
    assert called.preprocessing["target"]["name"] == "left"
    whole = make_job(people.assign(churned=names), target="churned").load_data()
    assert whole.fingerprint == dataset.fingerprint


def test_several_targets_are_a_frame_or_an_array():
    data = load_linnerud(as_frame=True)
    named = make_job((data.data, data.target)).load_data()
    numbered = make_job((data.data, data.target.to_numpy())).load_data()

    assert named.preprocessing["target"]["names"] == ["Weight", "Waist", "Pulse"]
    assert numbered.preprocessing["target"]["names"] == ["y0", "y1", "y2"]
    assert named.signature["outputs"] == numbered.signature["outputs"] == 3


def test_validation_and_test_rows_that_are_given_stay_apart():
    order = np.random.default_rng(0).permutation(150)
    train, held, drawn = np.split(order, [100, 130])
    pairs = tuple((X[rows], Y[rows]) for rows in (train, held, drawn))
    job = make_job(pairs)
    dataset = job.load_data()

    assert [len(y) for y in (dataset.training.y_train, dataset.training.y_validation)] == [100, 30]
    assert dataset.training.y_validation.tolist() == Y[held].tolist()
    assert dataset.y_test.tolist() == Y[drawn].tolist()
    assert dataset.raw_test["x2"][:, 0].tolist() == X[drawn, 2].tolist()
    assert dataset.fingerprint != make_job((X[order], Y[order])).load_data().fingerprint
    check_rounds(job, dataset)
    (fit, held_out), again = dataset.arrangement.fold(2, 0)
    assert (fit.tolist(), held_out.tolist()) == (list(range(100)), list(range(100, 130)))
    assert again[1] is held_out
    with pytest.raises(JobError, match="does not apply: the validation rows are given"):
        make_job(pairs, evaluation=Evaluation(folds=3)).load_data()


def test_without_a_test_set_a_fifth_of_the_training_rows_is_one():
    dataset = make_job(((X, Y), (X[:30], Y[:30]))).load_data()

    sizes = len(dataset.training.y_train), len(dataset.training.y_validation), len(dataset.y_test)
    assert sizes == (120, 30, 30)
    assert isinstance(dataset.arrangement, Apart)
    assert "23 rows of 30 in the validation set are in the training set" in dataset.warnings[0]


def test_files_name_the_validation_and_the_test_set_too(tmp_path):
    for name, rows in {"train": FRAME[::2], "held": FRAME[1::4], "test": FRAME[3::4]}.items():
        rows.assign(kind=SERIES).to_csv(tmp_path / f"{name}.csv", index=False)
    recipe = table(
        tmp_path / "train.csv", "kind", validation=tmp_path / "held.csv", test=tmp_path / "test.csv"
    )
    dataset = make_job(recipe).load_data()

    assert len(dataset.training.y_train) == 75
    assert (len(dataset.training.y_validation), len(dataset.y_test)) == (38, 37)
    assert "held.csv" in repr(recipe)
    with pytest.raises(JobError, match="the validation table has no column 'petal width"):
        make_job(
            table(tmp_path / "train.csv", "kind", validation=FRAME.iloc[:, :3].assign(kind=SERIES))
        ).load_data()
    with pytest.raises(JobError, match="the validation rows are given, so there is nothing to arr"):
        make_job(
            table(FRAME.assign(kind=SERIES), "kind", validation=FRAME),
            evaluation=Evaluation(groups="petal width (cm)"),
        ).load_data()


def test_arrays_of_more_sides_stay_arrays():
    dataset = make_job(IMAGES).load_data()

    assert dataset.signature == {
        "task": "multiclass",
        "input_shape": [8, 8, 1],
        "outputs": 10,
        "rows": 120,
        "maximum": 16.0,
    }
    assert dataset.training.x_train.dtype == np.uint8
    assert dataset.preprocessing["columns"] is None
    assert dataset.describe().startswith("rows: 120 to train, 40 to validate, 40 to test")
    series = make_job((np.zeros((60, 24, 2)), np.arange(60.0))).load_data()
    assert (series.signature["input_shape"], series.signature["task"]) == ([24, 2], "regression")
    given = make_job((IMAGES, (IMAGES[0][:40], IMAGES[1][:40]))).load_data()
    assert given.training.y_validation.tolist() == IMAGES[1][:40].tolist()


def test_an_array_is_predicted_as_the_table_that_it_was():
    table_like = predictor_of(make_job((X, Y)).load_data())
    images = predictor_of(make_job((IMAGES[0], IMAGES[1])).load_data())

    assert table_like.frame(X[:3])["prediction"].tolist() == X[:3, 0].tolist()
    model = SimpleNamespace(predict=lambda x: x)
    take_frames(model, lambda: table_like)
    assert model.predict(X[:3]).equals(table_like.frame(X[:3]))
    assert model.predict([1]) == [1]
    named = FRAME.set_axis(["x0", "x1", "x2", "x3"], axis=1)[:3]
    assert table_like.frame(named)["prediction"].tolist() == X[:3, 0].tolist()
    with pytest.raises(JobError, match=r"shape \(3, 2\), but must be \(rows, 4\) as in training"):
        table_like.frame(X[:3, :2])
    with pytest.raises(JobError, match=r"shape \(2, 5, 8\) .* numbers of shape \(rows, 8, 8, 1\)"):
        images.frame(np.zeros((2, 5, 8), "uint8"))
    with pytest.raises(JobError, match="predicts a table or a DataFrame, not an array"):
        predictor_of(make_job((FRAME, SERIES)).load_data()).frame(X)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ((X, Y[:3]), "X has 150 rows, but y has 3"),
        ((X[:0], Y[:0]), "X has no rows"),
        (((X, Y), (X[:5], Y[:4])), "X of the validation set has 5 rows, but y of the validation"),
        (((X, Y), (X[:5, :2], Y[:5])), "a row of X has the shape (4,), but of the validation set"),
        ((X.astype(object), Y), "X has the type object, but must be numbers; for texts"),
        ((X[:, 0], Y), "X has the shape (150,), but must have rows and columns"),
        (([[1, 2], [3]], [0, 1]), "X is no array: "),
        ((X, None), "y is None, but must have a target per row"),
        ((X, np.eye(3)[Y]), "y has a single 1 in each row, as one-hot classes have"),
        ((X, np.array([1, "a", 2.5] * 50, object)), "y has values of the types float, int, str"),
        ((X, np.where(Y == 1, np.nan, Y)), "target 'y' has no value in 50 of 150 rows"),
        ((np.full((60, 3, 2), np.nan), np.arange(60)), "X has 360 values infinite or not a number"),
        ((FRAME, SERIES.sample(frac=1, random_state=0)), "the same rows in another order"),
        ((FRAME.assign(y=1), Y), "X has a column 'y', as y is called; name y with target='...'"),
        (X, "data is a ndarray of shape (150, 4), but must be table(...)"),
        (FRAME, "data is <DataFrame (150, 4)>, of which no target is known; add target='...'"),
        ("iris.csv", "data is 'iris.csv', of which no target is known"),
        (3, "data is 3, but must be table(...)"),
    ],
)
def test_what_cannot_be_learnt_is_named_in_one_line(data, said):
    with pytest.raises(JobError) as caught:
        make_job(data).load_data()
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_sparse_matrix_says_how_to_make_it_an_array():
    from scipy.sparse import csr_matrix

    with pytest.raises(JobError, match=r"X is a sparse csr_matrix; give X\.toarray\(\)"):
        make_job((csr_matrix(X), Y))


def test_a_target_belongs_to_data_without_one():
    recipe = table(FRAME.assign(kind=SERIES))

    assert make_job(recipe, target="kind").load_data().preprocessing["target"]["name"] == "kind"
    with pytest.raises(JobError, match="target is 'a', but data has the target 'b'; give one"):
        make_job(table("x.csv", "b"), target="a")
    with pytest.raises(JobError, match="target is 'a', but data is print, which has no columns"):
        make_job(print, target="a")
    with pytest.raises(JobError, match=r"target names 2 columns, but y has 1"):
        make_job((X, Y), target=["a", "b"])
