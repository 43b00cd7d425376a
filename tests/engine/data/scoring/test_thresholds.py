"""The threshold of predicted classes: chosen on held-out rows, and kept only if it helps others."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn import metrics

from tune_jobs.engine import JobError
from tune_jobs.engine.data.scoring.outputs import HALF, Meaning
from tune_jobs.engine.data.scoring.scorers import make_scorers
from tune_jobs.engine.data.scoring.thresholds import Choice, HeldOut, short

BINARY = Meaning("binary", 2)
TRUTH = np.arange(200) % 10 == 0
BY_HAND = {
    "accuracy": metrics.accuracy_score,
    "balanced_accuracy": metrics.balanced_accuracy_score,
    "f1": metrics.f1_score,
    "matthews_corrcoef": metrics.matthews_corrcoef,
}


def choice(metric, meaning=BINARY) -> Choice:
    return Choice(f"val_{metric}", meaning, make_scorers([metric], meaning, {}))


def unbalanced(seed: int, *, rows: int = 300, strength: float = 1.5) -> HeldOut:
    """Return rows of which a tenth is of the second class, with well calibrated outputs."""
    draw = np.random.default_rng(seed)
    truth = (draw.random(rows) < 0.1).astype(float)
    truth[:2] = 0.0, 1.0
    evidence = strength * (truth - 0.5) + draw.normal(0, 1, rows)
    likely = 1 / (1 + np.exp(-(strength * evidence + np.log(0.1 / 0.9))))
    return HeldOut(truth, likely[:, None].astype("float32"))


def score_by_hand(metric, folds, threshold) -> float:
    return np.mean([BY_HAND[metric](f.truth, f.outputs[:, 0] > threshold) for f in folds])


@pytest.mark.parametrize("metric", BY_HAND)
@pytest.mark.parametrize("strength", [0.0, 1.5])
def test_on_its_folds_a_threshold_is_never_worse_than_a_half(metric, strength) -> None:
    for seed in range(12 if metric == "accuracy" else 2):  # scikit-learn takes its time
        folds = [unbalanced(4 * seed + each, rows=30, strength=strength) for each in range(4)]
        found = choice(metric).choose(folds)

        at_half = score_by_hand(metric, folds, HALF)
        assert score_by_hand(metric, folds, found.value) >= at_half - 1e-12
        assert found.at_half == pytest.approx(at_half)
        assert (found.folds, found.rows) == (4, 120)
        assert found.value == HALF or found.score > found.at_half


@pytest.mark.parametrize("metric", ["balanced_accuracy", "f1"])
def test_on_other_rows_it_is_better_than_a_half(metric) -> None:
    found = choice(metric).choose([unbalanced(seed) for seed in range(4)], ["No", "Yes"])
    fresh = [unbalanced(seed) for seed in range(100, 110)]

    gain = score_by_hand(metric, fresh, found.value) - score_by_hand(metric, fresh, HALF)
    assert gain > 0.1
    assert found.score - found.at_half == pytest.approx(gain, abs=0.1)
    assert found.sentence.startswith(
        f"Threshold {short(found.value)} for 'Yes': {metric} {found.score:.4g} on 4 validation "
        f"folds, {found.at_half:.4g} at 0.5."
    )
    assert found.in_search == "at a threshold of 0.5"
    assert replace(found, value=HALF).in_search == ""


def test_one_that_only_its_own_fold_likes_is_not_used() -> None:
    truth = np.repeat([0, 1], 20)
    low, high = (
        np.where(truth, above, below)[:, None] for below, above in [(0.2, 0.4), (0.6, 0.8)]
    )
    found = choice("balanced_accuracy").choose([HeldOut(truth, low), HeldOut(truth, high)])

    assert (found.value, found.score, found.at_half) == (HALF, 0.5, 0.5)
    assert found.sentence == (
        "Threshold 0.5: no other has a better balanced_accuracy on 2 validation folds."
    )


@pytest.mark.parametrize(
    ("metric", "meaning", "looks"),
    [
        ("f1", BINARY, True),
        ("recall", BINARY, True),
        ("roc_auc", BINARY, False),
        ("average_precision", BINARY, False),
        ("neg_log_loss", BINARY, False),
        ("accuracy", Meaning("multiclass", 3), False),
        ("f1_macro", Meaning("binary", 2, 2), False),
        ("r2", Meaning("regression"), False),
    ],
)
def test_only_a_metric_of_two_predicted_classes_depends_on_a_threshold(
    metric, meaning, looks
) -> None:
    assert choice(metric, meaning).depends_on_it(TRUTH) is looks
    assert not Choice("val_loss", BINARY, {}).depends_on_it(TRUTH)
    assert Choice("val_accuracy", BINARY, {}).depends_on_it(TRUTH)


@pytest.mark.parametrize("metric", ["recall", "precision"])
def test_a_metric_that_sees_one_kind_of_mistake_leaves_it_at_a_half(metric) -> None:
    found = choice(metric).choose([unbalanced(seed) for seed in range(4)])

    assert (found.value, found.score) == (HALF, None)
    assert f"{metric} sees only one kind of mistake" in found.sentence


def test_a_scorer_of_the_job_weighs_mistakes_as_it_likes() -> None:
    def profit(estimator, rows, truth) -> float:
        sent = estimator.predict(rows)
        return float((20 * truth * sent - sent).sum())

    folds = [unbalanced(seed) for seed in range(4)]
    found = Choice("val_profit", BINARY, make_scorers([profit], BINARY, {})).choose(folds)
    assert found.value < 0.15  # a letter costs 1, and an answer brings 20


def test_a_single_validation_set_is_cut_and_two_outputs_are_read_as_one() -> None:
    whole = unbalanced(0, rows=900)
    both = np.concatenate([1 - whole.outputs, whole.outputs], axis=1)
    found = choice("f1").choose([whole])

    assert (found.folds, found.rows) == (4, 900)
    assert found.value < 0.4
    assert choice("f1").choose([HeldOut(whole.truth, both)]).value == pytest.approx(
        found.value, rel=1e-5
    )


@pytest.mark.parametrize(
    ("outputs", "truth", "message"),
    [
        (np.full((200, 1), np.nan), TRUTH, "not all finite"),
        (np.full((200, 1), 0.3), np.arange(200) == 7, "a class has a single row"),
    ],
)
def test_rows_that_cannot_be_scored_are_refused(outputs, truth, message) -> None:
    with pytest.raises(JobError, match=message):
        choice("balanced_accuracy").choose([HeldOut(truth.astype(float), outputs)])


def test_a_threshold_has_three_digits_also_near_one() -> None:
    shown = [short(value) for value in (0.5, 0.123456, 0.0012345, 0.99987654, 0.0, 1.0)]
    assert shown == ["0.5", "0.123", "0.00123", "0.999877", "0", "1"]
