"""Schedulers that are told the past."""

from tune_jobs.engine import MedianStopping
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
