"""Schedulers that are told the past, and the rungs of ASHA."""

import pytest

from tune_jobs.engine import ASHA, MedianStopping
from tune_jobs.engine.resume.past import PastTrial
from tune_jobs.engine.resume.replay import replay


def test_a_scheduler_that_would_have_stopped_a_trial_earlier_hears_no_more_of_it() -> None:
    scheduler = MedianStopping(grace_period=1, min_samples=3)(9)
    scheduler.set_search_properties("loss", "min")
    curves = [[(epoch, 0.1) for epoch in (1, 2, 3)]] * 4 + [[(1, 5.0), (2, 5.0), (3, 5.0)]]
    past = [
        PastTrial(number, {}, True, curve[-1][1], 3, curve, number)
        for number, curve in enumerate(curves, 1)
    ]
    replay(scheduler, past, "loss")  # Ray asserts that nothing comes after a stop


@pytest.mark.parametrize(
    ("max_epochs", "rungs"),
    [
        (1, [1]),
        (9, [1, 3, 9]),
        (27, [1, 3, 9, 27]),
        (81, [3, 9, 27, 81]),
        (270, [10, 30, 90, 270]),
    ],
)
def test_asha_chooses_its_rungs_from_the_budget(max_epochs, rungs) -> None:
    assert ASHA().rungs(max_epochs) == rungs
    assert ASHA(resume=True).rungs(max_epochs) == rungs


def test_what_a_job_says_of_its_rungs_holds() -> None:
    assert ASHA(grace_period=2).rungs(81) == [2, 6, 18, 54]
    assert ASHA(reduction_factor=9).rungs(81) == [3, 27]
