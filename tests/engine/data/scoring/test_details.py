"""What a model gets right and wrong, beside scikit-learn's."""

import numpy as np
import pytest
from sklearn import metrics
from sklearn.calibration import calibration_curve

from tune_jobs.engine.data.scoring.details import Details, details_of
from tune_jobs.engine.data.scoring.outputs import Meaning
from tune_jobs.engine.serialization import parse, serialize

RANDOM = np.random.default_rng(0)
TRUTH = (RANDOM.random(40) < 0.4).astype(int)
# Rounded, so that rows share a probability.
LIKELY = np.round(np.clip(0.35 * TRUTH + 0.6 * RANDOM.random(40), 0, 1), 1)[:, None]
BINARY = Meaning("binary", 2)


def test_two_classes_have_what_scikit_learn_computes() -> None:
    found = details_of(BINARY, TRUTH, LIKELY, ["No", "Yes"])

    assert found.classes == ("No", "Yes")
    assert np.array_equal(found.confusion, metrics.confusion_matrix(TRUTH, LIKELY[:, 0] > 0.5))
    rates = metrics.roc_curve(TRUTH, LIKELY[:, 0], drop_intermediate=False)[:2]
    assert np.transpose(found.roc) == pytest.approx(np.array(rates))
    precision, recall, _ = metrics.precision_recall_curve(TRUTH, LIKELY[:, 0])
    both = np.transpose([recall[-2::-1], precision[-2::-1]])
    assert np.array(found.precision_recall)[: len(both)] == pytest.approx(both)
    share, predicted = calibration_curve(TRUTH, LIKELY[:, 0] + 1e-9, n_bins=10)
    assert [each.share for each in found.calibration] == pytest.approx(share)
    assert [each.predicted for each in found.calibration] == pytest.approx(predicted, abs=1e-6)
    assert sum(each.rows for each in found.calibration) == 40


def test_several_classes_have_a_confusion_matrix_and_a_number_its_residuals() -> None:
    truth = np.array([0, 1, 2, 2])
    outputs = np.eye(3)[[0, 2, 2, 1]]
    found = details_of(Meaning("multiclass", 3), truth, outputs, ["a", "b", "c"])
    assert found.confusion == ((1, 0, 0), (0, 0, 1), (0, 1, 1))
    assert (found.roc, found.calibration) == ((), ())

    errors = np.arange(101.0) - 50
    number = details_of(Meaning("regression"), np.full(101, 7.0), 7 + errors[:, None])
    assert number.residuals == (-50, -49, -45, -40, -25, 0, 25, 40, 45, 49, 50)


def test_many_rows_have_few_points_and_all_of_it_can_be_written() -> None:
    truth, likely = RANDOM.integers(0, 2, 5000), RANDOM.random((5000, 1))
    found = details_of(BINARY, truth, likely)

    assert found.classes == ("0", "1")
    assert len(found.roc) == len(found.precision_recall) == 50
    assert (found.roc[0], found.roc[-1]) == ((0.0, 0.0), (1.0, 1.0))
    assert parse(Details, serialize(found)) == found


@pytest.mark.parametrize(
    ("meaning", "truth", "outputs"),
    [
        (Meaning("binary", 2, 2), np.ones((3, 2)), np.ones((3, 2))),
        (Meaning("regression"), np.ones(3), np.ones((3, 3))),
        (BINARY, np.ones(0), np.ones((0, 1))),
        (BINARY, np.ones(2), np.array([[-3.0], [5.0]])),
    ],
)
def test_what_is_no_prediction_has_none(meaning, truth, outputs) -> None:
    assert details_of(meaning, truth, outputs) is None


def test_rows_of_one_class_have_no_curves() -> None:
    found = details_of(BINARY, np.ones(3), np.array([[0.2], [0.7], [0.9]]))

    assert found.confusion == ((0, 0), (1, 2))
    assert found.roc == found.precision_recall == found.calibration == ()
