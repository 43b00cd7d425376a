"""Random input of every kind ends with a line and a documented exit code, in a bounded time."""

import itertools
import time
from pathlib import Path

import pytest

from tests.fuzz import fuzzing
from tests.fuzz.generators import GENERATORS

# Cases of each kind; of some each takes 0.3 s, of others a hundredth of that.
CASES = {"experiment": 30, "cluster file": 25, "earlier results": 40}


@pytest.mark.parametrize("kind", list(GENERATORS))
def test_random_input_ends_in_order(kind, capsys) -> None:
    faults = fuzzing.fuzz(iter(range(CASES.get(kind, 120))), [kind], time.monotonic() + 120)

    assert faults == [], capsys.readouterr().out


def test_a_fault_would_be_found(monkeypatch, capsys) -> None:
    def fail(*_: object) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr("tune_jobs.engine.job.profile._parse", fail)
    cases = itertools.islice(itertools.count(), 5)
    [fault] = fuzzing.fuzz(cases, ["profile"], time.monotonic() + 60)

    assert fault.command.startswith("exit code 1: ")
    assert "a bug" in fault.said
    assert f"--seed {fault.seed} --kind 'profile'" in capsys.readouterr().out


def test_a_command_that_never_ends_would_be_found(monkeypatch) -> None:
    monkeypatch.setattr(fuzzing, "LONGEST", 1)
    monkeypatch.setattr("tune_jobs.engine.job.profile._parse", lambda _: time.sleep(100))
    faults = fuzzing.fuzz(iter(range(1)), ["profile"], time.monotonic() + 60)

    assert [fault.said.splitlines()[0] for fault in faults] == ["took more than 1 s"]


def test_cases_of_one_seed_are_the_same(tmp_path, monkeypatch) -> None:
    found = []
    for place in ("one", "other"):
        folder = tmp_path / place
        folder.mkdir()
        monkeypatch.chdir(folder)
        words = GENERATORS["profile"](fuzzing.random.Random("profile 7"))
        found.append((words, Path("profile.yaml").read_bytes()))
    assert found[0] == found[1]
