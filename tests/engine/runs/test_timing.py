"""The shares of a run's time that search and export may use."""

import time

import pytest

from tune_jobs.engine.deadline import NO_DEADLINE, Deadline
from tune_jobs.engine.runs.timing import EXPORT_SECONDS, Timing


def test_a_search_leaves_a_quarter_of_the_time_to_its_finals() -> None:
    timing = Timing(began=1000.0, deadline=Deadline(1400.0))

    assert timing.search_deadline(has_finals=True) == Deadline(1300.0)
    assert timing.search_deadline(has_finals=False) == Deadline(1400.0)


def test_the_export_gets_two_minutes_however_late_it_is() -> None:
    began = time.time()
    late, early = (Timing(began, Deadline(began + hours * 3600)) for hours in (-1, 1))

    assert EXPORT_SECONDS == 120
    assert late.export_deadline.left == pytest.approx(120, abs=5)
    assert early.export_deadline == early.deadline


def test_without_a_limit_nothing_has_one() -> None:
    timing = Timing(time.time(), NO_DEADLINE)

    assert timing.search_deadline(has_finals=True) == timing.export_deadline == NO_DEADLINE
