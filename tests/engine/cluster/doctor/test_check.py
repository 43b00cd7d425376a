"""What a list of checks says, to people, to machines, and to a run that is about to begin."""

import json

import pytest

from tune_jobs.engine import JobError
from tune_jobs.engine.cluster.doctor import Check, as_dict, refuse, tell

GOOD = Check("clocks", "ok", "at most 0.1 s apart")
POOR = Check("clocks", "warning", "2 s behind: turn time synchronisation on")
BAD = Check("storage", "failure", "storage is not shared: mount it")
WORSE = Check("versions", "failure", "ray is 2.59.0 there: install 2.60.0")


def test_a_run_is_refused_with_the_first_failure_and_the_number_of_others() -> None:
    with pytest.raises(JobError, match=r"^storage is not shared: mount it$"):
        refuse([GOOD, POOR, BAD])
    with pytest.raises(JobError, match=r"mount it \(and 1 more; see tune-jobs doctor\)$"):
        refuse(iter([BAD, GOOD, WORSE]))


def test_warnings_let_a_run_begin() -> None:
    assert refuse(iter([GOOD, POOR])) == [GOOD, POOR]


def test_every_check_is_a_line_in_three_columns_told_as_it_comes() -> None:
    came = []
    lines = tell(came.append(check) or check for check in (GOOD, POOR, BAD))

    assert next(lines) == "ok       clocks       at most 0.1 s apart"
    assert came == [GOOD]
    assert list(lines) == [
        "warning  clocks       2 s behind: turn time synchronisation on",
        "FAILURE  storage      storage is not shared: mount it",
    ]


def test_for_machines_the_worst_state_comes_first() -> None:
    assert as_dict([])["state"] == as_dict([GOOD])["state"] == "ok"
    assert as_dict([POOR, GOOD])["state"] == "warning"
    found = json.loads(json.dumps(as_dict(iter([BAD, POOR]))))
    assert found["state"] == "failure"
    assert found["checks"][1] == {"name": POOR.name, "state": "warning", "text": POOR.text}
