import json

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tune_jobs.engine.analysis.usage import PURPOSES, measure_usage


def make_trials(*rows):
    columns = ["worker", "began", "ended", "spent"]
    return pd.DataFrame([(*row[:3], json.dumps(row[3])) for row in rows], columns=columns)


def test_the_time_of_two_workers_is_divided_by_what_they_did():
    trials = make_trials(
        ("a", 10.0, 14.0, {"training": 3.0, "building": 0.5}),
        ("b", 12.0, 16.0, {"training": 4.0}),
        ("a", 15.0, 18.0, {"training": 2.0, "compiling": 1.0}),
    )
    usage = measure_usage(trials, 2, began=0.0, searched=20.0, ended=25.0)

    assert usage.useful == pytest.approx(9 / 50)
    assert usage.seconds == {
        "training": 9.0,
        "compiling": 1.0,
        "building": 0.5,
        "checkpoints": 0.0,
        "reporting": 0.0,
        "starting": 22.0,
        "handing over": 0.5,
        "waiting": 7.0,
        "ending": 10.0,
    }


@given(
    st.lists(st.tuples(st.floats(0, 10), st.floats(0, 10)), min_size=1, max_size=20),
    st.integers(1, 4),
)
def test_the_purposes_sum_up_to_the_wall_time_of_all_workers(trials, workers):
    clock, rows = 5.0, []
    for wait, spent in trials:
        rows.append(("a", clock + wait, clock + wait + spent, {"training": spent}))
        clock += wait + spent
    usage = measure_usage(make_trials(*rows), workers, 0.0, clock, clock + 1)

    assert set(usage.seconds) == set(PURPOSES)
    assert sum(usage.seconds.values()) == pytest.approx(workers * (clock + 1), abs=0.1)


def test_trials_that_do_not_say_what_they_spent_are_unknown():
    trials = make_trials(("a", 0.0, 1.0, {})).assign(spent=None)

    assert measure_usage(trials, 1, 0.0, 1.0, 2.0) is None
