"""The past of an experiment, read from its history."""

from tune_jobs.engine.experiments.history.records import Crash, TrialEnd
from tune_jobs.engine.resume.past import count_crashes


def test_crashes_count_since_a_trial_failed_for_good() -> None:
    lost = TrialEnd(1, "failed", "infrastructure", "lost")
    failed = TrialEnd(2, "failed", "configuration", "crashed")
    records = [Crash(1), Crash(2), lost, failed, Crash(1), Crash(2)]

    assert count_crashes(records) == {1: 2, 2: 1}
