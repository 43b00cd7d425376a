"""When a run has to end."""

import time

import pytest

from tune_jobs.engine.deadline import NO_DEADLINE, Deadline, deadline_after
from tune_jobs.engine.errors import JobError


def test_a_deadline_follows_from_the_hours() -> None:
    assert deadline_after(1.5).left == pytest.approx(5400, abs=5)
    assert deadline_after(None) == NO_DEADLINE


@pytest.mark.parametrize("hours", [0, -1, float("nan")])
def test_hours_that_are_not_above_0_are_refused(hours) -> None:
    with pytest.raises(JobError, match="max_hours must be above 0, got"):
        deadline_after(hours)


def test_a_deadline_is_ahead_until_its_moment() -> None:
    now = time.monotonic()
    ahead, past = Deadline(now + 60), Deadline(now - 60)

    assert (ahead.is_past, past.is_past, NO_DEADLINE.is_past) == (False, True, False)
    assert ahead.left == pytest.approx(60, abs=5)
    assert past.left == 0
    assert NO_DEADLINE.left is None


def test_a_clock_that_is_set_moves_no_deadline(monkeypatch) -> None:
    deadline = deadline_after(1)
    monkeypatch.setattr(time, "time", lambda: 4e9)

    assert not deadline.is_past
    assert deadline.left == pytest.approx(3600, abs=5)


def test_a_share_counts_from_the_beginning() -> None:
    assert Deadline(200.0, began=100.0).share(0.75) == Deadline(175.0, began=100.0)
    assert NO_DEADLINE.share(0.75) == NO_DEADLINE


def test_what_is_at_least_granted_moves_a_near_deadline_only() -> None:
    now = time.monotonic()
    near, far = Deadline(now - 1), Deadline(now + 1000)

    assert near.at_least(120).left == pytest.approx(120, abs=5)
    assert far.at_least(120) == far
    assert NO_DEADLINE.at_least(120) == NO_DEADLINE
