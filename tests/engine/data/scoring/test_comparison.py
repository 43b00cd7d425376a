"""The winner beside simple models on the same test rows, with intervals."""

import re
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score, balanced_accuracy_score, roc_auc_score

from tune_jobs.engine.data.scoring.comparison import report_on, wilson
from tune_jobs.engine.data.scoring.outputs import Meaning
from tune_jobs.engine.data.scoring.scorers import make_scorers

BINARY, NUMBER = Meaning("binary", 2), Meaning("regression")
RANDOM = np.random.default_rng(0)
TRUTH = (RANDOM.random(300) < 0.3).astype(int)


def believe(strength: float, seed: int = 1) -> np.ndarray:
    """Return probabilities that know the truth as well as a strength says."""
    noise = np.random.default_rng(seed).normal(size=len(TRUTH))
    return 1 / (1 + np.exp(-(strength * (TRUTH - 0.5) * 2 + noise - 0.8)))[:, None]


def report(outputs, baselines, *, metric="val_loss", meaning=BINARY, truth=TRUTH, scoring=()):
    scorers = make_scorers(scoring, meaning, {})
    return report_on(meaning, truth, outputs, baselines, metric=metric, scorers=scorers)


@pytest.mark.parametrize("metric", ["val_loss", "val_accuracy", "val_auc", "val_f1", "val_profit"])
def test_a_better_model_is_better_a_like_one_is_not_and_a_worse_one_is_worse(metric) -> None:
    good, like, bad = believe(2.0), believe(2.0, seed=3), believe(0.1)

    def answer(first, second):
        found = report(first, {"linear model": second}, metric=metric)
        return found.answer, found.comparisons[0]

    assert answer(good, bad)[0] == "better"
    assert answer(bad, good)[0] == "worse"
    assert answer(good, like)[0] == "not distinguishable"
    assert answer(good, good)[1].interval == (0.0, 0.0)
    low, high = answer(good, bad)[1].interval
    assert low < answer(good, bad)[1].gain < high


def test_a_mean_has_the_interval_of_paired_differences() -> None:
    first, second = believe(2.0), believe(1.5)
    losses = [-np.log(np.where(TRUTH, p[:, 0], 1 - p[:, 0])) for p in (first, second)]
    expected = stats.ttest_rel(losses[1], losses[0]).confidence_interval(0.95)

    (found,) = report(first, {"linear model": second}).comparisons
    assert found.interval == pytest.approx((expected.low, expected.high))
    assert found.gain == pytest.approx(np.mean(losses[1] - losses[0]))
    assert found.winner == pytest.approx(np.mean(losses[0]))


def test_a_scorer_of_the_evaluation_is_what_the_comparison_is_by() -> None:
    first, second = believe(2.0), believe(0.5)
    found = report(
        first,
        {"linear model": second},
        metric="val_average_precision",
        scoring=["average_precision"],
    )

    assert (found.measure, found.mode) == ("average_precision", "max")
    assert [each.name for each in found.known] == ["average_precision", "accuracy", "ROC AUC"]
    assert found.known[0].value == found.comparisons[0].winner
    assert found.comparisons[0].winner == pytest.approx(average_precision_score(TRUTH, first[:, 0]))


def test_the_bootstrap_of_an_area_agrees_with_its_known_error() -> None:
    """Hanley and McNeil (1982): the standard error of an area under the ROC curve."""
    outputs = believe(1.0)
    area = roc_auc_score(TRUTH, outputs[:, 0])
    positive, negative = TRUTH.sum(), (1 - TRUTH).sum()
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    error = np.sqrt(
        (area * (1 - area) + (positive - 1) * (q1 - area**2) + (negative - 1) * (q2 - area**2))
        / (positive * negative)
    )

    known = {score.name: score for score in report(outputs, {}).known}
    low, high = known["ROC AUC"].interval
    assert known["ROC AUC"].value == pytest.approx(area)
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.25)


def test_the_hardest_baseline_decides_and_the_sentence_names_both() -> None:
    found = report(
        believe(2.0), {"majority class": np.full((300, 1), 0.3), "linear model": believe(2.0, 3)}
    )

    assert [each.answer for each in found.comparisons] == ["better", "not distinguishable"]
    assert found.answer == "not distinguishable"
    assert found.sentence.startswith(
        "By log loss on 300 test rows, the winner is better than the majority class (gain 0."
    )
    assert " and not distinguishable from a linear model (gain " in found.sentence


def test_numbers_are_compared_in_their_unit() -> None:
    truth = RANDOM.normal(100, 20, 200)
    near, far = truth[:, None] + RANDOM.normal(0, 5, (200, 1)), np.full((200, 1), 100.0)
    found = report(near, {"mean": far}, meaning=NUMBER, truth=truth, metric="val_mae")

    assert found.measure == "mean absolute error"
    assert found.answer == "better"
    known = {score.name: score for score in found.known}
    assert known["root mean squared error"].value == pytest.approx(5, rel=0.2)
    low, high = known["root mean squared error"].interval
    assert 4 < low < known["root mean squared error"].value < high < 6
    by_loss = report(near, {"mean": far}, meaning=NUMBER, truth=truth)
    assert by_loss.measure == "root mean squared error"
    assert by_loss.answer == "better"
    assert by_loss.comparisons[0].winner == pytest.approx(known["root mean squared error"].value)
    assert by_loss.comparisons[0].score == pytest.approx(20, rel=0.2)
    large = report(near * 100, {"mean": far * 100}, meaning=NUMBER, truth=truth * 100)
    assert re.search(r"gain 1,\d{3}, 95% CI 1,\d{3} to 1,\d{3}\)", large.sentence)


def test_what_cannot_be_scored_is_left_out() -> None:
    labels = report(np.ones((300, 2)), {}, meaning=Meaning("binary", 2, 2))
    quantiles = report(np.ones((300, 3)), {"mean": np.ones((300, 1))}, meaning=NUMBER)
    few = report(believe(2.0)[:9], {"linear model": 1 - believe(2.0)[:9]}, truth=TRUTH[:9])

    assert (labels.known, labels.comparisons, labels.rows) == ((), (), 300)
    assert (quantiles.known, quantiles.comparisons, quantiles.answer) == ((), (), None)
    assert (few.comparisons, few.sentence) == ((), "")


def test_equal_models_tie_with_a_gain_of_zero() -> None:
    found = report(believe(2.0), {"linear model": believe(2.0)})

    assert found.answer == "not distinguishable"
    assert found.sentence.endswith("gain 0, 95% CI 0 to 0).")


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("meaning", [BINARY, NUMBER])
def test_outputs_that_are_no_numbers_have_no_scores(meaning, value) -> None:
    outputs = np.where(np.arange(300)[:, None] == 7, value, 0.5)
    found = report(outputs, {"mean": np.full((300, 1), 0.5)}, meaning=meaning)

    assert (found.rows, found.known, found.comparisons, found.details) == (300, (), (), None)
    baseline = report(np.full((300, 1), 0.5), {"mean": outputs}, meaning=NUMBER)
    assert (len(baseline.known), baseline.comparisons) == (2, ())


def test_without_rows_there_is_nothing_to_say() -> None:
    assert report(np.ones((0, 1)), {}, truth=TRUTH[:0]).known == ()


def test_rows_of_one_class_have_an_accuracy_and_no_area() -> None:
    outputs, truth = believe(1.0)[:40], np.zeros(40, int)
    found = report(outputs, {"linear model": outputs}, truth=truth, metric="val_auc")

    assert [score.name for score in found.known] == ["accuracy"]
    assert (found.answer, found.comparisons) == (None, ())


def test_a_share_of_all_rows_has_an_interval_too() -> None:
    assert wilson(1.0, 20) == pytest.approx((0.839, 1.0), abs=1e-3)
    assert wilson(0.0, 20)[0] == 0.0


def test_each_model_predicts_classes_at_its_own_threshold() -> None:
    likely = believe(2.0)
    at_third = replace(BINARY, threshold=0.3)
    shifted = likely**2  # the same order of rows, so the same model at another threshold

    def compare(threshold):
        return report_on(
            at_third,
            TRUTH,
            likely,
            {"linear model": shifted},
            metric="val_balanced_accuracy",
            scorers=make_scorers(["balanced_accuracy"], BINARY, {}),
            thresholds={"linear model": threshold},
        )

    same, other = compare(0.09), compare(0.5)
    expected = balanced_accuracy_score(TRUTH, likely[:, 0] > 0.3)
    assert same.comparisons[0].winner == pytest.approx(expected)
    assert (same.comparisons[0].gain, same.answer) == (0.0, "not distinguishable")
    assert other.comparisons[0].gain > 0
    searched, accuracy, _ = same.known
    assert searched.value == pytest.approx(expected)
    assert accuracy.value == pytest.approx(np.mean((likely[:, 0] > 0.3) == TRUTH))
    assert accuracy.interval == wilson(accuracy.value, 300)
    right = np.trace(same.details.confusion)
    assert right == pytest.approx(300 * accuracy.value)
