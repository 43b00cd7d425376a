"""What the report shows of the winner on the test set."""

from types import SimpleNamespace

import numpy as np
import pytest

from tune_jobs.engine.data.scoring.comparison import TestReport
from tune_jobs.engine.data.scoring.details import details_of
from tune_jobs.engine.data.scoring.outputs import Meaning
from tune_jobs.engine.report.finals_charts import on_test_charts, on_test_tables

RANDOM = np.random.default_rng(0)


def make_findings(details):
    report = TestReport(rows=200, details=details)
    return SimpleNamespace(summary=SimpleNamespace(on_test=report))


def test_two_classes_have_a_confusion_matrix_and_three_curves() -> None:
    truth = RANDOM.integers(0, 2, 200)
    likely = np.clip(0.3 * truth + 0.7 * RANDOM.random(200), 0, 1)[:, None]
    findings = make_findings(details_of(Meaning("binary", 2), truth, likely, ["No", "<b>"]))

    (table,) = on_test_tables(findings)
    assert table.heads == ["truth, predicted as", "No", "<b>"]
    assert sum(int(cell) for row in table.rows for cell in row[1:]) == 200
    charts = on_test_charts(findings)
    assert [chart.title for chart in charts] == [
        "ROC curve",
        "Precision and recall",
        "Calibration",
    ]
    for chart in charts:
        places = [place for mark in chart.marks for shape in mark.shapes for place in shape]
        assert all(0 <= x <= 1 and 0 <= y <= 1 for x, y in places)
        assert [text for _, text in chart.x][::5] == ["0.0", "1.0"]


def test_each_bin_of_the_calibration_has_its_rows_and_interval_and_few_rows_are_marked() -> None:
    likely = np.repeat([0.05, 0.55, 0.95], [60, 3, 40])
    truth = np.concatenate([np.arange(60) < 6, [1, 0, 1], np.arange(40) < 30]).astype(int)
    findings = make_findings(details_of(Meaning("binary", 2), truth, likely[:, None]))
    *_, chart = on_test_charts(findings)

    assert "Rows per bin, from the left: 60, 3, 40. Those with fewer than 10 say little." in (
        chart.words
    )
    drawn = {mark.look: mark.shapes for mark in chart.marks}
    assert [x for ((x, _),) in drawn["fresh"]] == pytest.approx([0.05, 0.95])
    assert drawn["hollow"] == [[(pytest.approx(0.55), pytest.approx(2 / 3))]]
    (_, low), (_, high) = drawn["spread"][0]
    assert (low, high) == pytest.approx((0.0466, 0.2014), abs=1e-3)  # Wilson's, 6 of 60


def test_a_number_has_the_quantiles_of_its_residuals() -> None:
    errors = np.arange(101.0) - 50
    details = details_of(Meaning("regression"), np.zeros(101), errors[:, None])
    (table,) = on_test_tables(make_findings(details))

    assert table.heads[:3] == ["predicted - true", "0%", "1%"]
    assert table.rows[0][6] == "0"
    assert on_test_charts(make_findings(details)) == []


@pytest.mark.parametrize("summary", [None, SimpleNamespace(on_test=None)])
def test_without_scores_nothing_is_shown(summary) -> None:
    findings = SimpleNamespace(summary=summary)

    assert on_test_tables(findings) == on_test_charts(findings) == []
