"""A list of experiments says how each stands, from small files, and whether a run is overdue."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from tune_jobs.cli.main import main
from tune_jobs.engine.experiments.lease import Lease, leased
from tune_jobs.engine.experiments.listing import Entry, find_in_time, lines, list_experiments
from tune_jobs.engine.formatting import NONE
from tune_jobs.engine.outcome import EXIT_CODES, OVERDUE
from tune_jobs.engine.storage.folder import open_folder

ROOT = Path(__file__).parents[3]
BEAT = 0.1
HOUR = 3600.0
HOLD = """
import sys, time
from tune_jobs.engine.experiments.lease import Lease
from tune_jobs.engine.storage.folder import open_folder
lease = Lease(open_folder(sys.argv[1]), 0.1)
lease.facts = {"states": {"complete": 2, "failed": 1}, "best": 0.5}
lease.acquire()
print("held", flush=True)
time.sleep(600)
"""

# A retest's answer, no more than it needs.
ANSWER: dict[str, Any] = {
    "answer": "keep",
    "reason": "it is as good",
    "name": "a",
    "folder": "a",
    "of": "b",
    "time": 1.0,
    "metric": "val_loss",
    "mode": "min",
    "level": 0.95,
    "incumbent": {"trial": 1, "config": {}},
    "fall": {"is_worse": False, "sentence": "as good"},
}


def begin(storage: Path, name: str, *, ago: float = 0.0) -> Path:
    """The folder of a run that has begun, and of which nothing else is known."""
    about = {"metric": "val_loss", "mode": "min", "started": time.time() - ago}
    open_folder(storage / name).create()
    open_folder(storage / name).write_json("experiment.json", about)
    return storage / name


def end(storage: Path, name: str, *, ago: float, outcome: str = "complete", **facts: Any) -> Path:
    """The folder of a run that has ended, with the summary that it writes."""
    folder = begin(storage, name, ago=ago + 60)
    ended = time.time() - ago
    summary = {
        "outcome": outcome,
        "attempt": 1,
        "workers": 2,
        "best": {"trial": 7, "epoch": 3, "value": 0.125, "config": {"x": 1}},
        "metric": "val_loss",
        "mode": "min",
        "trials": {"complete": 4},
        "began": ended - 60,
        "ended": ended,
        "seconds": 60.0,
        "worker_seconds": 120.0,
        **facts,
    }
    open_folder(folder).write_json("summary.json", summary)
    return folder


def claim(folder: Path, *, ago: float) -> None:
    """A claim of a run on another machine, written so many seconds ago."""
    then = time.time() - ago
    content = {"host": "elsewhere", "boot": "b", "pid": 7, "started": "1", "holds": True}
    (folder / "lease").mkdir()
    (folder / "lease" / "0.json").write_text(
        json.dumps(content | {"beats": 1, "time": then, "moved": then, "facts": {}})
    )


@contextmanager
def held(folder: Path, *, quiet: float = 0.0, **facts: Any) -> Iterator[Lease]:
    """A run of this process, as far as it says, that last moved so many seconds ago."""
    with leased(open_folder(folder), BEAT) as lease:
        lease.facts, lease.moved = facts, time.time() - quiet
        (path,) = (folder / "lease").glob("*.json")
        until = time.monotonic() + 30
        while json.loads(path.read_text())["moved"] != lease.moved and time.monotonic() < until:
            time.sleep(BEAT / 4)
        yield lease


def kill_one(folder: Path) -> int:
    """Start a run that holds a folder, kill it, and say which process it was."""
    run = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    with run:
        assert run.stdout is not None
        assert run.stdout.readline() == "held\n"
        run.kill()
    return run.pid


def look(storage: Path) -> dict[str, Entry]:
    return {entry.name: entry for entry in list_experiments(open_folder(storage))}


def ls(storage: Path, *words: str) -> Result:
    """List on the command line."""
    arguments = ["ls", *words, "--storage", str(storage)]
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


def status(storage: Path, *words: str) -> Result:
    """Ask for the status on the command line."""
    arguments = ["status", *words, "--storage", str(storage)]
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


def cells(line: str) -> list[str]:
    return re.split(r"\s{2,}", line.strip())


def test_one_that_ended_says_what_it_found_and_cost(tmp_path) -> None:
    states = {"complete": 30, "stopped": 8, "failed": 2}
    winner = {"trial": 3, "mean": 0.25, "interval": [0.2, 0.3]}
    end(tmp_path, "a", ago=300, outcome="some trials failed", trials=states, winner=winner)

    entry = look(tmp_path)["a"]

    assert (entry.state, entry.trials, entry.failed) == ("some trials failed", 40, 2)
    assert (entry.metric, entry.best, entry.fresh) == ("val_loss", 0.125, 0.25)
    assert entry.worker_hours == pytest.approx(120 / HOUR)
    assert entry.since == pytest.approx(time.time() - 300, abs=30)
    assert entry.who is None
    assert cells(ls(tmp_path).stdout.splitlines()[1]) == [
        *("a", "some trials failed", "5 min", "40 (2 failed)", "val_loss", "0.125", "0.25", "0.03")
    ]


def test_the_best_of_the_search_is_that_of_any_trial_not_of_the_winner(tmp_path) -> None:
    end(tmp_path, "a", ago=1, winner={"trial": 7, "mean": 0.25, "interval": [0.2, 0.3]})
    end(tmp_path, "b", ago=1, best_of_search=0.0625)

    found = look(tmp_path)
    assert (found["a"].best, found["b"].best) == (0.125, 0.0625)


def test_optimistic_and_fresh_scores_have_columns_of_their_own(tmp_path) -> None:
    end(tmp_path, "a", ago=1)
    end(tmp_path, "b", ago=9, winner={"trial": 3, "mean": 0.25, "interval": [0.2, 0.3]})

    head, a, b = ls(tmp_path).stdout.splitlines()

    assert cells(head)[5:7] == ["best of search", "fresh mean"]
    assert cells(a)[5:7] == ["0.125", NONE]
    assert cells(b)[5:7] == ["0.125", "0.25"]


@pytest.mark.parametrize("outcome", EXIT_CODES)
def test_the_state_of_one_that_ended_is_its_outcome(tmp_path, outcome) -> None:
    end(tmp_path, "a", ago=1, outcome=outcome)
    assert look(tmp_path)["a"].state == outcome


def test_one_that_broke_off_at_once_has_neither_best_nor_cost(tmp_path) -> None:
    folder = begin(tmp_path, "a")
    summary = {"outcome": "configuration error", "error": "units is -3", "ended": time.time()}
    open_folder(folder).write_json("summary.json", summary)

    (row,) = ls(tmp_path).stdout.splitlines()[1:]

    assert cells(row) == ["a", "configuration error", cells(row)[2], "0"]


def test_one_that_runs_says_how_far_it_is_and_who_writes_it(tmp_path) -> None:
    begin(tmp_path, "a", ago=5 * HOUR)
    with held(tmp_path / "a", states={"complete": 3, "failed": 1}, best=0.5) as lease:
        entry = look(tmp_path)["a"]
        (row,) = ls(tmp_path).stdout.splitlines()[1:]

    assert (entry.state, entry.trials, entry.failed, entry.best) == ("running", 4, 1, 0.5)
    assert entry.since == pytest.approx(lease.moved, abs=5)
    assert entry.who is not None
    assert (cells(row)[1], cells(row)[-1]) == ("running", entry.who)


def test_the_status_of_one_that_runs_says_trials_best_and_time_left(tmp_path) -> None:
    begin(tmp_path, "a", ago=HOUR)
    facts = {"states": {"complete": 3, "failed": 1}, "best": 0.5, "target": 40, "left": 900.0}
    with held(tmp_path / "a", **facts):
        ran, as_json = status(tmp_path, "a"), status(tmp_path, "a", "--json")
    said = json.loads(as_json.stdout)

    assert ran.exit_code == as_json.exit_code == 0
    assert ran.stdout.splitlines() == [
        "a  running",
        "  4 of 40 trials (1 failed), best val_loss 0.5, about 15 min left",
    ]
    assert {key: said[key] for key in ("status", "exit_code", "trials", "target", "best")} == {
        "status": "running",
        "exit_code": 0,
        "trials": 4,
        "target": 40,
        "best": 0.5,
    }
    assert said["left"] == pytest.approx(900, abs=30)


def test_the_status_of_finals_counts_fits(tmp_path) -> None:
    begin(tmp_path, "a", ago=HOUR)
    facts = {"states": {"complete": 8}, "target": 20, "in_finals": True, "left": 12.0}
    with held(tmp_path / "a", **facts):
        (_, line) = status(tmp_path, "a").stdout.splitlines()

    assert re.fullmatch(r"  finals: 8 of at most 20 fits, at most [\d.]+ s left", line)


@pytest.mark.parametrize(
    ("outcome", "code"), [("complete", 0), ("some trials failed", 3), ("budget used", 6)]
)
def test_the_status_of_one_that_ended_exits_as_its_run_did(tmp_path, outcome, code) -> None:
    winner = {"trial": 3, "mean": 0.25, "interval": [0.2, 0.3]}
    end(tmp_path, "a", ago=300, outcome=outcome, winner=winner)
    end(tmp_path, "b", ago=900)

    ran, everything = status(tmp_path, "a"), status(tmp_path)

    assert ran.exit_code == code
    assert ran.stdout.splitlines() == [
        f"a  {outcome}, 5 min ago",
        "  4 trials, best val_loss of the search 0.125, winner 0.25 on fresh scores",
    ]
    assert everything.exit_code == 0
    assert [line.split("  ")[0] for line in everything.stdout.splitlines()][::2] == ["a", "b"]


def test_the_status_of_one_that_was_killed_is_a_failure(tmp_path) -> None:
    begin(tmp_path, "a", ago=600)
    kill_one(tmp_path / "a")

    ran = status(tmp_path, "a")

    assert ran.exit_code == EXIT_CODES["unexpected error"]
    assert ran.stdout.startswith("a  killed, ")


def test_the_status_of_one_that_is_not_there_names_the_nearest(tmp_path) -> None:
    end(tmp_path, "june", ago=1)

    ran = status(tmp_path, "jume")

    assert ran.exit_code == 2
    assert ran.stderr == f"error: no experiment 'jume' in {tmp_path}; did you mean 'june'?\n"
    assert status(tmp_path / "nothing").stderr == f"no experiments in {tmp_path / 'nothing'}\n"


def test_one_that_runs_and_has_written_nothing_yet_is_listed(tmp_path) -> None:
    with held(tmp_path / "a"):
        assert look(tmp_path)["a"].state == "running"


def test_one_whose_process_lives_and_that_does_not_move_hangs(tmp_path) -> None:
    begin(tmp_path, "a", ago=9 * HOUR)
    with held(tmp_path / "a", quiet=3 * HOUR):
        entry = look(tmp_path)["a"]

    assert entry.state == "hung"
    assert entry.since == pytest.approx(time.time() - 3 * HOUR, abs=30)


def test_one_that_was_killed_says_which_process_it_was(tmp_path) -> None:
    begin(tmp_path, "a", ago=600)
    pid = kill_one(tmp_path / "a")

    entry = look(tmp_path)["a"]

    assert (entry.state, entry.trials, entry.failed, entry.best) == ("killed", 3, 1, 0.5)
    assert entry.who is not None
    assert entry.who.startswith(f"process {pid} on ")


def test_one_without_an_end_and_without_a_claim_was_killed(tmp_path) -> None:
    begin(tmp_path, "a", ago=2 * HOUR)

    entry = look(tmp_path)["a"]

    assert (entry.state, entry.who, entry.trials) == ("killed", None, None)
    assert entry.since == pytest.approx(time.time() - 2 * HOUR, abs=30)


@pytest.mark.parametrize(("ago", "state"), [(1, "running"), (HOUR, "killed")])
def test_one_on_another_machine_runs_as_long_as_it_says_so(tmp_path, ago, state) -> None:
    claim(begin(tmp_path, "a"), ago=ago)

    entry = look(tmp_path)["a"]

    assert (entry.state, entry.who) == (state, "process 7 on elsewhere")


def test_an_end_counts_even_where_a_claim_was_left_behind(tmp_path) -> None:
    end(tmp_path, "a", ago=HOUR)
    kill_one(tmp_path / "a")
    assert look(tmp_path)["a"].state == "complete"


def test_a_retest_has_its_answer_as_verdict(tmp_path) -> None:
    folder = end(tmp_path, "a", ago=1)
    open_folder(folder).write_json("retest.json", {**ANSWER, "answer": "replace"})

    assert look(tmp_path)["a"].verdict == "replace"
    head, row = ls(tmp_path).stdout.splitlines()
    assert dict(zip(cells(head), cells(row), strict=True))["verdict"] == "replace"


def test_the_latest_comes_first(tmp_path) -> None:
    for name, ago in (("a", 50), ("b", 10), ("c", 9000)):
        end(tmp_path, name, ago=ago)
    begin(tmp_path, "d", ago=500)

    assert list(look(tmp_path)) == ["b", "a", "d", "c"]
    assert [cells(row)[0] for row in ls(tmp_path).stdout.splitlines()[1:]] == ["b", "a", "d", "c"]


def test_a_pattern_chooses_by_name(tmp_path) -> None:
    for name in ("nightly-2026-11-27", "nightly-2026-11-28", "weekly-2026-11-28"):
        end(tmp_path, name, ago=1)

    found = list_experiments(open_folder(tmp_path), "nightly-*")
    series = list_experiments(open_folder(tmp_path), "nightly")
    nothing = ls(tmp_path, "hourly*")

    assert {entry.name for entry in found} == {"nightly-2026-11-27", "nightly-2026-11-28"}
    assert series == found
    assert (nothing.exit_code, nothing.stdout) == (0, "")
    assert "no experiments match 'hourly*'" in nothing.stderr


def test_only_experiments_are_listed(tmp_path) -> None:
    (tmp_path / "README.md").write_text("Experiments lie here.")
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "summary.md").write_text("x")
    end(tmp_path, ".retests", ago=1)
    end(tmp_path, ".hidden", ago=1)
    end(tmp_path, "a", ago=1)

    assert list(look(tmp_path)) == ["a"]


def test_a_storage_that_is_not_there_has_none(tmp_path) -> None:
    assert list_experiments(open_folder(tmp_path / "nothing")) == []


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\x00", b"[]", b'{"outcome": "great"}'])
def test_a_damaged_summary_says_nothing_of_the_end(tmp_path, content) -> None:
    (end(tmp_path, "a", ago=1) / "summary.json").write_bytes(content)
    end(tmp_path, "b", ago=1)

    assert {name: entry.state for name, entry in look(tmp_path).items()} == {
        "a": "damaged",
        "b": "complete",
    }


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\x00", b"[]", b"{}"])
def test_a_damaged_description_hides_no_other_experiment(tmp_path, content) -> None:
    (begin(tmp_path, "a") / "experiment.json").write_bytes(content)
    end(tmp_path, "b", ago=1)

    assert {name: entry.state for name, entry in look(tmp_path).items()} == {
        "a": "damaged",
        "b": "complete",
    }


def test_a_damaged_claim_is_none(tmp_path) -> None:
    folder = begin(tmp_path, "a")
    (folder / "lease").mkdir()
    (folder / "lease" / "0.json").write_bytes(b"{")

    assert look(tmp_path)["a"].state == "damaged"


DEEP = '{"a": ' * 3000
ODD = {
    "trials that are no object": ("summary.json", '{"outcome": "complete", "trials": 3}'),
    "a time that is no number": ("summary.json", '{"outcome": "complete", "ended": "now"}'),
    "a number of many digits": (
        "summary.json",
        f'{{"outcome": "complete", "worker_seconds": 1{"0" * 400}}}',
    ),
    "a summary of 3,000 levels": ("summary.json", DEEP),
    "a summary of 300 closed levels": ("summary.json", "[" * 300 + "]" * 300),
    "a description of 3,000 levels": ("experiment.json", DEEP),
    "a beginning that is no number": (
        "experiment.json",
        '{"metric": "loss", "mode": "min", "started": [1]}',
    ),
    "facts that are no object": ("lease/0.json", '{"host": "h", "pid": 1, "facts": 5}'),
    "states that are no numbers": (
        "lease/0.json",
        '{"host": "h", "pid": 1, "holds": true, "facts": {"states": {"complete": "x"}}}',
    ),
    "a process that is no number": ("lease/0.json", '{"host": "h", "pid": {}, "holds": true}'),
    "a claim of 3,000 levels": ("lease/0.json", DEEP),
    "a lease that is a file": ("lease", "x"),
}


def put_odd(storage: Path, case: str) -> None:
    """An experiment ``odd`` of which one file is not what it should be."""
    file, content = ODD[case]
    folder = begin(storage, "odd", ago=HOUR)
    (folder / file).parent.mkdir(exist_ok=True)
    (folder / file).write_text(content)


@pytest.mark.parametrize("case", ODD)
def test_an_odd_file_is_shown_as_damaged_and_hides_no_other(tmp_path, case) -> None:
    put_odd(tmp_path, case)
    end(tmp_path, "nightly-2026-11-28", ago=10)

    rows = ls(tmp_path).stdout.splitlines()[1:]

    assert [cells(row)[:2] for row in rows] == [
        ["nightly-2026-11-28", "complete"],
        ["odd", "damaged"],
    ]
    found = [json.loads(line) for line in ls(tmp_path, "--json").stdout.splitlines()]
    assert [entry["state"] for entry in found] == ["complete", "damaged"]
    assert cells(rows[1])[3] == NONE
    assert (found[1]["trials"], found[1]["failed"]) == (None, None)
    assert expect(tmp_path, "nightly", "26h")[0] == 0
    assert expect(tmp_path, "odd", "26h")[0] == OVERDUE
    assert "odd: damaged" in expect(tmp_path, "odd", "26h")[1]


@pytest.mark.parametrize("case", ODD)
def test_what_is_damaged_is_not_cleaned(tmp_path, case) -> None:
    put_odd(tmp_path, case)
    (tmp_path / "odd" / "best.keras").write_bytes(b"m")
    (tmp_path / "odd" / "trials").mkdir()
    words = ["clean", "--storage", str(tmp_path), "--keep-last", "0", "--older-than", "1s", "--yes"]

    ran = CliRunner().invoke(main, words, catch_exceptions=False)

    assert (ran.exit_code, ran.stdout) == (0, "nothing to free\n")
    assert (tmp_path / "odd" / "trials").exists()


@pytest.mark.parametrize("name", ["summary.json", "experiment.json", "lease/0.json"])
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path, name) -> None:
    folder = begin(tmp_path, "odd")
    (folder / "lease").mkdir()
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)

    assert look(tmp_path)["odd"].state == "damaged"


def test_an_end_that_is_no_moment_is_shown_as_none(tmp_path) -> None:
    end(tmp_path, "a", ago=1)
    end(tmp_path, "odd", ago=1)
    summary = tmp_path / "odd" / "summary.json"
    summary.write_text('{"outcome": "complete", "ended": NaN, "worker_seconds": Infinity}')

    listed = [
        json.loads(line, parse_constant=pytest.fail)
        for line in ls(tmp_path, "--json").stdout.splitlines()
    ]

    assert [(entry["name"], entry["since"] is None) for entry in listed] == [
        ("a", False),
        ("odd", True),
    ]
    assert cells(ls(tmp_path).stdout.splitlines()[2])[2] == NONE


@pytest.mark.parametrize(
    ("name", "series"),
    [
        ("nightly-2026-11-28", "nightly"),
        ("hourly-2026-11-28T03", "hourly"),
        ("hourly-2026-10-25T02b", "hourly"),
        ("breast_cancer_tpe-20261128-111019", "breast_cancer_tpe"),
        ("nightly-2026-11-28-retest-2026-11-28", "nightly-2026-11-28-retest"),
        ("try-2", "try-2"),
        ("nightly", "nightly"),
    ],
)
def test_the_series_is_the_name_without_slot_or_time(name, series) -> None:
    assert Entry(name, "complete").series == series


def expect(storage: Path, name: str, within: str, *words: str) -> tuple[int, str]:
    """The exit code, and what was said."""
    ran = ls(storage, "--expect", name, "--within", within, *words)
    return ran.exit_code, ran.stdout.strip()


@pytest.mark.parametrize("outcome", ["complete", "some trials failed"])
def test_a_run_that_came_to_a_good_end_in_time_is_all_that_was_expected(tmp_path, outcome) -> None:
    end(tmp_path, "nightly-2026-11-27", ago=26 * HOUR, outcome="unexpected error")
    end(tmp_path, "nightly-2026-11-28", ago=2 * HOUR, outcome=outcome)

    assert expect(tmp_path, "nightly", "26h") == (
        0,
        f"nightly-2026-11-28 ended 2 h ago: {outcome}",
    )


def test_a_later_failure_hides_no_good_end(tmp_path) -> None:
    end(tmp_path, "nightly-2026-11-27", ago=25 * HOUR)
    end(tmp_path, "nightly-2026-11-28", ago=HOUR, outcome="same error")
    assert expect(tmp_path, "nightly", "26h")[0] == 0


def test_a_run_that_is_too_old_is_overdue(tmp_path) -> None:
    end(tmp_path, "nightly-2026-11-26", ago=50 * HOUR)

    code, said = expect(tmp_path, "nightly", "26h")

    assert code == OVERDUE
    assert said.startswith("overdue: no run of nightly succeeded within 26 h; ")
    assert said.endswith("the last run, nightly-2026-11-26: complete, 2.1 days ago")


@pytest.mark.parametrize("outcome", sorted(EXIT_CODES.keys() - {"complete", "some trials failed"}))
def test_a_run_that_only_failed_is_overdue(tmp_path, outcome) -> None:
    end(tmp_path, "nightly-2026-11-28", ago=HOUR, outcome=outcome)

    code, said = expect(tmp_path, "nightly", "26h")

    assert code == OVERDUE
    assert said.endswith(f"the last run, nightly-2026-11-28: {outcome}, 60 min ago")


def test_one_that_still_runs_is_no_end(tmp_path) -> None:
    begin(tmp_path, "nightly-2026-11-28")
    with held(tmp_path / "nightly-2026-11-28"):
        code, said = expect(tmp_path, "nightly", "26h")

    assert code == OVERDUE
    assert "the last run, nightly-2026-11-28: running" in said


def test_where_there_is_no_run_at_all_it_is_overdue(tmp_path) -> None:
    assert expect(tmp_path, "nightly", "26h") == (
        OVERDUE,
        "overdue: no run of nightly succeeded within 26 h",
    )


def test_a_retest_is_no_run_of_the_series_that_it_tests(tmp_path) -> None:
    end(tmp_path, "nightly-2026-11-28-retest-2026-11-28", ago=HOUR)
    end(tmp_path, "nightly-of-others-2026-11-28", ago=HOUR)

    assert expect(tmp_path, "nightly", "26h")[0] == OVERDUE
    assert expect(tmp_path, "nightly-2026-11-28-retest", "26h")[0] == 0
    assert expect(tmp_path, "nightly-2026*", "26h")[0] == 0
    assert expect(tmp_path, "nightly-of-others-2026-11-28", "26h")[0] == 0


@pytest.mark.parametrize("words", [("--expect", "nightly"), ("--within", "26h")])
def test_expect_and_within_belong_together(tmp_path, words) -> None:
    ran = ls(tmp_path, *words)
    assert ran.exit_code == 2
    assert ran.stderr.startswith("error: --expect and --within need each other")
    assert ran.stderr.count("\n") == 1


@pytest.mark.parametrize("within", ["26", "a day", "-1h", ""])
def test_a_duration_that_is_none_is_refused(tmp_path, within) -> None:
    ran = ls(tmp_path, "--expect", "nightly", "--within", within)
    assert ran.exit_code == 2
    assert ran.stderr.count("\n") == 1


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["nightly", "weekly"]),
            st.sampled_from([*EXIT_CODES, "killed", "running", "hung"]),
            st.floats(0, 100) | st.none(),
        ),
        max_size=8,
    ),
    st.floats(1, 99),
)
def test_expected_is_found_where_any_run_ended_well_in_time(runs, hours) -> None:
    now = time.time()
    entries = [
        Entry(f"{series}-2026-11-{place + 1:02}", state, since=age and now - age * HOUR)
        for place, (series, state, age) in enumerate(runs)
    ]
    entries.sort(key=lambda entry: -(entry.since or 0))
    is_there = any(
        entry.series == "nightly"
        and entry.state in ("complete", "some trials failed")
        and entry.since
        and now - entry.since < hours * HOUR - 60
        for entry in entries
    )
    is_late = not any(
        entry.series == "nightly"
        and entry.state in ("complete", "some trials failed")
        and entry.since
        and now - entry.since < hours * HOUR + 60
        for entry in entries
    )

    came, said = find_in_time("nightly", entries, hours * HOUR)

    assert came or not is_there
    assert not (came and is_late)
    assert came != said.startswith("overdue: ")


def test_json_is_an_object_a_line(tmp_path) -> None:
    end(tmp_path, "a", ago=10)
    claim(begin(tmp_path, "b"), ago=1)

    b, a = map(json.loads, ls(tmp_path, "--json").stdout.splitlines())

    assert (b["name"], b["state"], b["who"]) == ("b", "running", "process 7 on elsewhere")
    assert (a["name"], a["state"], a["trials"], a["failed"]) == ("a", "complete", 4, 0)
    assert (a["metric"], a["best"], a["verdict"]) == ("val_loss", 0.125, None)
    assert a["worker_hours"] == pytest.approx(120 / HOUR)


def test_a_head_stands_above_the_columns(tmp_path) -> None:
    end(tmp_path, "a", ago=10)
    end(tmp_path, "nightly", ago=10, winner={"trial": 3, "mean": 0.25, "interval": [0.2, 0.3]})
    head, first, second = lines(list_experiments(open_folder(tmp_path)))
    assert cells(head) == [
        *("experiment", "state", "age", "trials", "metric"),
        *("best of search", "fresh mean", "worker hours"),
    ]
    assert head.index("state") == first.index("complete") == second.index("complete")


def test_a_narrow_terminal_gets_fewer_columns_and_no_broken_lines(tmp_path) -> None:
    winner = {"trial": 3, "mean": 0.25, "interval": [0.2, 0.3]}
    end(tmp_path, "nightly-2026-11-28", ago=10, winner=winner)
    entries = list_experiments(open_folder(tmp_path))

    heads = {width: cells(lines(entries, width)[0]) for width in (200, 90, 80)}

    assert heads[200] == cells(lines(entries)[0])
    assert heads[200][-1] == "worker hours"
    assert heads[90] == heads[80] == heads[200][:-1]
    assert all(len(line) <= 80 for line in lines(entries, 80))
    assert cells(lines(entries, 10)[0]) == [
        *("experiment", "state", "trials", "best of search", "fresh mean")
    ]


def test_listing_imports_nothing_heavy(tmp_path) -> None:
    folder = end(tmp_path, "a", ago=10)
    open_folder(folder).write_json("retest.json", ANSWER)
    claim(begin(tmp_path, "b"), ago=1)
    code = (
        "import sys\n"
        "from tune_jobs.cli.main import main\n"
        f"main(['ls', '--storage', {str(tmp_path)!r}], standalone_mode=False)\n"
        "print('loaded:', sorted({'ray', 'tensorflow', 'keras', 'pandas'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)

    assert ran.stdout.endswith("loaded: []\n"), ran.stdout + ran.stderr
    assert len(ran.stdout.splitlines()) == 4
