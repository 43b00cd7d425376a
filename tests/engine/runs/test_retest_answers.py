"""Whether an incumbent has become worse, whichever way its metric gets better."""

import numpy as np
import pytest

from tune_jobs.engine.analysis.estimates import estimate
from tune_jobs.engine.goal import Goal
from tune_jobs.engine.runs.retest_answers import compare_with_before

SCORES = np.array([0.08, 0.09, 0.1, 0.1, 0.1, 0.1, 0.11, 0.12])


@pytest.mark.parametrize(
    ("mode", "change", "is_worse"),
    [
        ("min", 0.0, False),
        ("min", 0.1, True),
        ("min", -0.05, False),
        ("max", 0.0, False),
        ("max", 0.1, False),
        ("max", -0.05, True),
    ],
)
def test_an_incumbent_is_worse_if_its_metric_went_the_wrong_way(mode, change, is_worse) -> None:
    today, before = estimate(SCORES + change, 0.0), estimate(SCORES, 0.0)
    found = compare_with_before(today, before, Goal("score", mode), 0.95)

    assert found.is_worse == is_worse
    assert found.change == pytest.approx(change)
    said = "is worse than when" if is_worse else "is as good as when"
    assert found.sentence.startswith(f"the incumbent {said} it was chosen: score was 0.1 (95% CI ")
    assert found.sentence.endswith(f", now {0.1 + change:.4g}")


def test_what_chance_explains_is_not_worse() -> None:
    """Its mean lies beyond the earlier interval, but that of today is as wide as the distance."""
    today = estimate([0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.4], 0.0)
    before = estimate(SCORES, 0.0)

    assert today.mean > before.upper
    assert not compare_with_before(today, before, Goal("loss"), 0.95).is_worse


@pytest.mark.parametrize("missing", ["today", "before"])
def test_what_was_not_measured_cannot_be_worse(missing) -> None:
    both = {"today": estimate(SCORES, 0.0), "before": estimate(SCORES, 0.0), missing: None}
    found = compare_with_before(**both, goal=Goal("loss"), level=0.95)

    assert not found.is_worse
    assert found.before is None
