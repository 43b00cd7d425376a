"""What a search takes: columns, groups, weights, folds, scorers; and what it refuses."""

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
import sklearn
from ray import tune
from ray.exceptions import ActorDiedError
from scipy import stats
from sklearn.base import clone
from sklearn.metrics import accuracy_score, get_scorer, make_scorer
from sklearn.model_selection import GroupKFold, KFold, ShuffleSplit

from tests.scikit_learn.builds import build, build_nothing
from tune_jobs.engine import Profile
from tune_jobs.sklearn import SearchCV
from tune_jobs.sklearn.features import encode_columns, encode_numbers
from tune_jobs.sklearn.first_build import check_build_in_worker
from tune_jobs.sklearn.inputs import cut
from tune_jobs.sklearn.scoring import FoldScorer, find_scorers
from tune_jobs.sklearn.searching import Search
from tune_jobs.sklearn.targets import find_task, read_target

ROOT = Path(__file__).parents[2]
SPACE = {"units": tune.choice([8])}


@pytest.mark.parametrize(
    ("y", "task"),
    [
        (np.array([0, 1, 1]), "classification"),
        (np.array(["a", "b", "b"]), "classification"),
        (np.array([0.5, 1.25, 2.0]), "regression"),
        (np.arange(21), "regression"),
        (np.arange(20), "classification"),
    ],
)
def test_the_target_says_what_is_to_be_predicted(y: Any, task: str) -> None:
    assert find_task(y, None) == task
    assert find_task(y, "regression") == "regression"


def test_texts_are_classes_and_scorers_see_them_as_they_came() -> None:
    y = np.array(["no", "yes", "no", "yes"])
    target = read_target(y, "classification")
    outputs = np.array([[0.2], [0.9], [0.6], [0.7]])
    scorer = make_scorer(sklearn.metrics.f1_score, pos_label="no")

    score = FoldScorer("f1", scorer, target)(target.encoded, outputs, np.arange(4))

    assert score == sklearn.metrics.f1_score(y, ["no", "yes", "yes", "yes"], pos_label="no")


@pytest.mark.parametrize("name", ["r2", "neg_mean_absolute_error", "neg_root_mean_squared_error"])
def test_numbers_are_scored_in_their_own_unit_and_precision(name: str) -> None:
    y = 1e9 + np.arange(6.0)
    outputs = y[::-1].reshape(-1, 1)
    target = read_target(y, "regression")
    rows = np.array([0, 2, 5])

    score = FoldScorer(name, get_scorer(name), target)(None, outputs[rows], rows)

    class Known:
        def predict(self, x: Any) -> Any:
            return outputs[rows, 0]

    assert score == get_scorer(name)._score_func(y[rows], outputs[rows, 0]) * get_scorer(name)._sign


def test_the_folds_are_those_of_scikit_learn() -> None:
    x, y = np.zeros((12, 1)), np.arange(12) % 2
    given = [(np.arange(6), np.arange(6, 12)), (np.arange(12) > 3, np.arange(12) <= 3)]

    for cv in (3, KFold(4, shuffle=True, random_state=1), ShuffleSplit(2, random_state=0)):
        expected = list(sklearn.model_selection.check_cv(cv, y, classifier=True).split(x, y))
        found = cut(cv, x, y, is_classifier=True, params={})
        assert all(map(np.array_equal, sum(found, ()), sum(expected, ())))

    assert [len(train) for train, _ in cut(iter(given), x, y, is_classifier=True, params={})] == [
        6,
        8,
    ]
    groups = np.arange(12) // 4
    for train, held in cut(GroupKFold(3), x, y, is_classifier=True, params={"groups": groups}):
        assert not set(groups[train]) & set(groups[held])


def test_raw_columns_are_encoded_in_each_fold_by_its_training_rows() -> None:
    frame = pd.DataFrame(
        {"size": [1.0, 3.0, 100.0, np.nan], "colour": pd.Categorical(["a", "b", "c", "a"])}
    )
    folds = [(np.array([0, 1]), np.array([2, 3])), (np.array([1, 2]), np.array([0, 3]))]

    found = encode_columns(frame, folds)

    assert found.x.shape == (8, 3)  # two blocks: the number, whether it is missing, the code
    first, second = found.x[:4], found.x[4:]
    assert list(first[:2, 0]) == [-1.0, 1.0]  # mean 2 and deviation 1 of the first two rows
    assert list(second[1:3, 0]) == pytest.approx([-1.0, 1.0])
    assert list(first[:, 1]) == [0, 0, 0, 1]
    assert first[2, 2] == 0 and second[0, 2] == 0  # never seen in training
    assert [list(train) for train, _ in found.folds] == [[0, 1], [5, 6]]
    assert found.encoder.encode(frame[:2]).shape == (2, 3)


def test_plain_numbers_of_a_frame_and_of_an_array_are_the_same() -> None:
    x = np.arange(6.0).reshape(3, 2)
    folds = [(np.array([0, 1]), np.array([2]))]

    assert np.array_equal(encode_numbers(pd.DataFrame(x).to_numpy(), folds).x, x)


ROWS = np.random.default_rng(0).normal(size=(20, 2))
CLASSES = np.arange(20) % 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"build": 3}, "build is 3, but must be a function build(config)"),
        ({"n_iter": 0}, "n_iter is 0, but must be an integer >= 1"),
        ({"epochs": 1.5}, "epochs is 1.5, but must be an integer >= 1"),
        ({"patience": 0}, "patience is 0, but must be an integer >= 1"),
        ({"space": {}}, "space is {}, but must be a dict of name -> domain, not empty"),
        (
            {"space": {"units": 8, "rate": 0.1}},
            "space has no hyperparameter to search, only constants (units, ",
        ),
        ({"space": {"units": [4, 8]}}, "space has a list for 'units'; write tune.choice([4, 8])"),
        ({"space": {"rate": stats.uniform(0, 1)}}, "space has a distribution of scipy for 'rate'"),
        (
            {"scoring": "accurancy"},
            "scikit-learn has no scorer 'accurancy'; did you mean 'accuracy'",
        ),
        ({"scoring": ["accuracy", "f1"]}, "refit is True, but with several scorers must name"),
        ({"scoring": {}}, "scoring is {}, but must be None, the name of a scorer"),
        ({"task": "clustering"}, "task is 'clustering', but must be one of classification"),
        ({"cv": []}, "cv gives no folds"),
        ({"callbacks": 3}, "callbacks is 3, but must be a list of Keras callbacks"),
        ({"profile": "laptop"}, "profile is 'laptop', but must be a Profile"),
        ({"name": "a/b"}, "experiment name 'a/b' must be at most 100 letters"),
        ({"error_score": "nan"}, "error_score is 'nan', but must be a number or 'raise'"),
    ],
)
def test_a_wrong_setting_is_refused_before_anything_starts(
    options: dict[str, Any], said: str
) -> None:
    search = SearchCV(build, SPACE).set_params(**options)

    with pytest.raises(ValueError, match=r".") as caught:
        search.fit(ROWS, CLASSES)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("y", "params", "said"),
    [
        (CLASSES[:19], {}, "inconsistent numbers of samples: [20, 19]"),
        (None, {}, "requires y to be passed"),
        (np.zeros(20, int), {}, "y has only 1 class"),
        (CLASSES, {"sample_weight": np.ones(3)}, "sample_weight.shape == (3,)"),
        (CLASSES, {"sample_weight": -np.ones(20)}, "Negative values in data passed"),
    ],
)
def test_wrong_data_are_refused(y: Any, params: Any, said: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        SearchCV(build, SPACE, task="classification").fit(ROWS, y, **params)
    assert said in str(caught.value)


def test_an_unknown_argument_of_fit_names_the_nearest() -> None:
    with pytest.raises(TypeError, match=r"'sample_weigth'; did you mean 'sample_weight'\?"):
        SearchCV(build, SPACE).fit(ROWS, CLASSES, sample_weigth=np.ones(20))


def test_scorers_by_name_function_list_and_dict() -> None:
    assert list(find_scorers(None, "r2")) == ["score"]
    assert list(find_scorers("f1", "r2")) == ["score"]
    assert list(find_scorers(["f1", "accuracy"], "r2")) == ["f1", "accuracy"]
    assert find_scorers({"mine": lower_half}, "r2") == {"mine": lower_half}


def lower_half(estimator: Any, x: Any, y: Any) -> float:
    return float(accuracy_score(y, estimator.predict(x))) / 2


def build_uncompiled(config: dict[str, Any]) -> Any:
    return keras.Sequential([keras.Input(tuple(config["input_shape"])), keras.layers.Dense(1)])


def build_relu(config: dict[str, Any]) -> Any:
    model = keras.Sequential(
        [keras.Input(tuple(config["input_shape"])), keras.layers.Dense(1, "relu")]
    )
    model.compile("adam", "binary_crossentropy")
    return model


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (build_nothing, "build(config) returned None, but must return a compiled model"),
        (build_uncompiled, "build(config) returned a model that is not compiled"),
        (build_relu, "the model ends in 'relu'"),
    ],
)
@pytest.mark.parametrize("has_keras", [True, False])
def test_a_build_that_returns_no_model_to_train_is_refused_before_any_trial(
    function: Any, said: str, has_keras: bool, tmp_path: Path, monkeypatch: Any
) -> None:
    if has_keras:
        monkeypatch.setattr(Search, "connected", lambda _: pytest.fail("Ray is started"))
    else:  # of a program that leaves it to the workers; theirs is there in any case
        monkeypatch.setattr("tune_jobs.sklearn.searching.check_build", lambda *_: False)
    search = SearchCV(
        function, SPACE, task="classification", profile=Profile(storage=str(tmp_path))
    )

    with pytest.raises(ValueError, match=r".") as caught:
        search.fit(ROWS, CLASSES)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_what_a_worker_cannot_say_of_a_build_is_left_to_the_trials(monkeypatch: Any) -> None:
    def die(*_: Any, **__: Any) -> None:
        raise ActorDiedError

    monkeypatch.setattr("tune_jobs.sklearn.first_build.call_in_worker", die)
    check_build_in_worker(build, {}, Profile())


def test_an_unknown_setting_names_the_nearest_and_the_signature_is_that_of_init() -> None:
    with pytest.raises(TypeError, match=r"no setting 'epoch'; did you mean 'epochs'\?"):
        SearchCV(build, SPACE, epoch=3)  # type: ignore[call-arg]

    with pytest.raises(ValueError, match=r"no setting 'epoch'; did you mean 'epochs'\?$"):
        SearchCV(build, SPACE).set_params(epoch=3)

    parameters = list(inspect.signature(SearchCV).parameters)
    assert parameters == [*inspect.signature(SearchCV.__init__).parameters][1:]
    assert sorted(parameters) == SearchCV._get_param_names()
    assert clone(SearchCV(build, SPACE, epochs=3)).epochs == 3


def test_the_import_brings_no_tensorflow_and_starts_no_ray() -> None:
    code = (
        "import sys, tune_jobs.sklearn\n"
        "print({'keras', 'tensorflow'} & set(sys.modules))\n"
        "import ray; print(ray.is_initialized())"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert ran.stdout.split("\n")[:2] == ["set()", "False"], ran.stderr
