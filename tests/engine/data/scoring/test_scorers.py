import cloudpickle
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes, load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import get_scorer, get_scorer_names

from tune_jobs.engine import Evaluation, JobError, images, table
from tune_jobs.engine.data.scoring.outputs import Meaning, Unit
from tune_jobs.engine.data.scoring.scorers import Scorer


def profit(estimator, rows, truth):
    return float((estimator.predict(rows) == truth).sum())


def load(source="breast_cancer", target="malignant", **options):
    evaluation = Evaluation(**options)
    return evaluation.apply(evaluation.arrange(table(source, target=target))(0), 0)


def fit_estimator(task):
    """A fitted estimator, its features and truth, and its outputs as a Keras model gives them."""
    if task == "regression":
        x, y = load_diabetes(return_X_y=True)
        fitted = Ridge().fit(x, y)
        outputs = ((fitted.predict(x) - 150) / 70).astype("float32")[:, np.newaxis]
        return fitted, x, y, ((y - 150) / 70).astype("float32"), outputs
    x, y = load_wine(return_X_y=True)
    y = (y > 0).astype(int) if task == "binary" else y
    # Of several classes, a linear model's decision function does not rank as its probabilities do.
    fitted = RandomForestClassifier(20, max_depth=2, random_state=0).fit(x, y)
    if task == "binary":
        fitted = LogisticRegression(C=1e-3, max_iter=5000).fit(x, y)
    outputs = fitted.predict_proba(x).astype("float32")
    return fitted, x, y, y.astype("float32"), outputs[:, 1:] if task == "binary" else outputs


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
@pytest.mark.filterwarnings("ignore")  # scikit-learn's, for scorers that suit no such task
def test_every_scorer_says_of_outputs_what_it_says_of_an_estimator_with_such_outputs(task):
    fitted, x, y, truth, outputs = fit_estimator(task)
    classes = {"binary": 2, "multiclass": 3, "regression": 0}[task]
    scale = {"mean": 150.0, "scale": 70.0} if task == "regression" else {}
    compared = 0
    for name in get_scorer_names():
        scorer = Scorer(name, get_scorer(name), Meaning(task, classes), Unit(**scale))
        try:
            expected = get_scorer(name)(fitted, x, y)
        except (ValueError, AttributeError):
            with pytest.raises(JobError, match=f"scorer '{name}': "):
                scorer(truth, outputs)
            continue
        assert scorer(truth, outputs) == pytest.approx(expected, rel=1e-4, nan_ok=True), name
        compared += np.isfinite(expected)

    assert compared > 20


def test_a_scorer_may_ask_for_some_rows_only():
    def of_every_second(estimator, rows, truth):
        return profit(estimator, rows[::2], truth[::2])

    scorer = Scorer("second", of_every_second, Meaning("binary", 2))
    assert scorer(np.array([0, 0, 1, 1.0]), np.array([[0.1], [0.9], [0.6], [0.4]])) == 2


def test_a_job_gives_its_scorers_to_the_trainable_by_name():
    training = load(scoring=["average_precision", profit]).training
    scorers = cloudpickle.loads(cloudpickle.dumps(training)).scorers
    truth = training.y_validation

    assert list(scorers) == ["average_precision", "profit"]
    assert scorers["profit"](truth, truth[:, np.newaxis]) == len(truth)
    assert scorers["average_precision"](truth, truth[:, np.newaxis]) == 1


def test_numbers_are_scored_in_the_units_of_the_target():
    training = load("diabetes", "progression", scoring="neg_mean_absolute_error").training
    score = training.scorers["neg_mean_absolute_error"]
    off = training.y_validation[:, np.newaxis] + 1  # by one standard deviation

    assert score(training.y_validation, off) == pytest.approx(-77, abs=5)


def test_images_have_scorers_too():
    evaluation = Evaluation(scoring="roc_auc_ovr", folds=3)
    training = evaluation.apply(images("digits")(0), 0).training
    perfect = np.eye(10)[training.y_validation]

    assert training.scorers["roc_auc_ovr"](training.y_validation, perfect) == 1


@pytest.mark.parametrize(
    ("scoring", "message"),
    [
        (3, "scoring has 3, but must have names of scikit-learn's scorers or callables"),
        (["roc_auc", "roc_auc"], "two scorers called 'roc_auc'; rename one"),
        (["profit", profit], "two scorers called 'profit'"),
        (lambda *_: 1.0, "which has no name to report it under; define a function"),
    ],
    ids=["a number", "twice", "twice mine", "no name"],
)
def test_what_is_no_scorer_is_refused_at_once(scoring, message):
    with pytest.raises(JobError, match=message):
        Evaluation(scoring=scoring)


def test_a_scorer_that_scikit_learn_does_not_have_is_named_with_the_nearest():
    with pytest.raises(JobError, match=r"no scorer 'average_precison'; did you mean 'average_prec"):
        load(scoring="average_precison")


def no_number(estimator, rows, truth):
    return float("nan")


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (("diabetes", "progression"), {"scoring": "roc_auc"}, "on the validation set, scorer 'ro"),
        (("wine", "cultivar"), {"scoring": "f1", "folds": 3}, "on fold 1, scorer 'f1': Target is"),
        ((), {"scoring": no_number}, "'no_number' gives nan on the validation set, which has 114"),
    ],
)
def test_a_scorer_that_cannot_score_the_data_is_refused_before_any_trial(data, options, message):
    with pytest.raises(JobError, match=message):
        load(*data, **options)


def test_a_fold_without_a_class_that_a_scorer_needs_is_refused_before_any_trial():
    rows = np.arange(300)
    # The third class ends before the last fifth of the rows begins.
    kinds = np.where((rows < 150) & (rows % 5 == 0), 2, rows % 2)
    frame = pd.DataFrame({"day": rows, "x": rows % 7, "kind": kinds})

    with pytest.raises(JobError, match="on the validation set, scorer 'roc_auc_ovr': "):
        load(frame, "kind", scoring="roc_auc_ovr", order="day")


def test_outputs_that_are_no_probabilities_are_refused():
    scorer = Scorer("roc_auc", get_scorer("roc_auc"), Meaning("binary", 2))

    with pytest.raises(JobError, match="outputs go from -2 to 3, but must be probabilities"):
        scorer(np.array([0, 1.0]), np.array([[-2.0], [3.0]]))


def test_an_evaluation_shows_its_scorers_by_name_and_what_it_was_not_given_it_does_not_show():
    shown = repr(Evaluation(folds=5, scoring=["roc_auc", profit], order="day"))

    assert shown == "Evaluation(folds=5, repeats=1, scoring=['roc_auc', 'profit'], order='day')"
    assert repr(Evaluation()) == "Evaluation(folds=1, repeats=1)"
    assert Evaluation(scoring=profit).metrics == ("val_profit",)


@pytest.mark.parametrize("name", ["roc_auc", "average_precision", "f1_macro", "accuracy"])
def test_scorers_of_several_labels_see_them_together(name):
    random = np.random.default_rng(0)
    truth = (random.random((60, 3)) > 0.5).astype("float32")
    believed = 0.3 * random.random((60, 3)) + 0.6 * truth
    scorer = Scorer(name, get_scorer(name), Meaning("binary", 2, 3))

    assert scorer(truth, truth * 0.9) == 1.0
    assert 0.5 < scorer(truth, np.where(random.random((60, 3)) < 0.1, 1 - believed, believed)) < 1
    with pytest.raises(JobError, match=r"shape \(2,\), but there are 3 labels"):
        scorer(truth, truth[:, :2])


def test_the_scorers_of_data_with_several_labels_are_tried_before_any_trial():
    x = np.random.default_rng(0).normal(size=(200, 2))
    frame = pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "c": x[:, 0] > 0, "d": x[:, 1] > 0})
    found = load(frame, ["c", "d"], scoring="roc_auc", folds=3)

    assert found.training.scorers["roc_auc"].meaning == Meaning("binary", 2, 2)
    with pytest.raises(JobError, match="scorer 'matthews_corrcoef': multilabel"):
        load(frame, ["c", "d"], scoring="matthews_corrcoef")
