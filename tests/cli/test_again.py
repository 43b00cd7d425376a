"""A command line that continues an experiment takes missing options from the original one."""

import json
from pathlib import Path

import pytest

from tune_jobs.cli.again import KINDS, check_named, command_of, fill_in
from tune_jobs.cli.options import REMEMBERED
from tune_jobs.engine import JobError

ORIGINAL = {"num_samples": 9, "sets": ["seed=3"], "finalists": 0, "ensemble": True, "data": None}


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def begin(folder: Path, **command: object) -> None:
    folder.mkdir(parents=True)
    about = {"metric": "loss", "mode": "min", "command": command}
    (folder / "experiment.json").write_text(json.dumps(about))


def asked(**options: object) -> dict[str, object]:
    none = {"name": "x", "resume": True, "extend": None, "storage": None, "profile": None}
    given = {"num_samples": None, "sets": (), "finalists": None, "ensemble": False, "data": None}
    return {**none, **given, **options}


def test_what_is_not_given_comes_from_the_original_command() -> None:
    filled = fill_in(asked(), ORIGINAL)

    assert {name: filled[name] for name in ORIGINAL} == ORIGINAL


def test_what_is_given_stands() -> None:
    filled = fill_in(asked(num_samples=20, sets=("seed=4",), finalists=0), {**ORIGINAL})
    assert (filled["num_samples"], filled["sets"]) == (20, ("seed=4",))
    assert fill_in(asked(finalists=0), {"finalists": 5})["finalists"] == 0
    assert fill_in(asked(ensemble=True), {"ensemble": False})["ensemble"] is True


def test_the_job_comes_from_the_experiment(here) -> None:
    begin(here / "results/x", job="mine.py", **ORIGINAL)

    job, options = command_of(None, asked())

    assert (job, options["num_samples"], options["ensemble"]) == ("mine.py", 9, True)
    assert command_of("other.py", asked()) == ("other.py", asked())


def test_the_jobs_file_is_the_one_that_began_the_experiment(here, monkeypatch) -> None:
    for folder in ("a", "b"):
        (here / folder).mkdir()
        (here / folder / "mine.py").touch()
    begin(here / "results/x", job="mine.py", cwd=str(here / "a"))
    monkeypatch.chdir(here / "b")

    asks = asked(storage=str(here / "results"))
    assert command_of(None, asks)[0] == str(here / "a/mine.py")

    (here / "a/mine.py").unlink()  # it moved, as a folder that was uploaded does
    assert command_of(None, asks)[0] == "mine.py"


@pytest.mark.parametrize(
    ("command", "options", "message"),
    [
        ({}, {"name": None}, "or add --name to continue an experiment: tune-jobs run --name NAME"),
        ({}, {"resume": False}, "or add --resume or --extend to continue"),
        ({}, {}, "experiment 'x' does not record its job; give JOB"),
        (
            {"job": "a.py", "retest_of": "/r/y"},
            {},
            "continue it with: tune-jobs retest /r/y --name",
        ),
    ],
)
def test_without_a_job_to_take_it_says_what_to_do(here, command, options, message) -> None:
    begin(here / "results/x", **command)
    with pytest.raises(JobError, match=message):
        command_of(None, asked(**options))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "--resume needs --name, the experiment to continue or start; the latest"),
        ({"resume": False, "extend": 5}, "--extend needs --name, the experiment to extend; the"),
    ],
)
def test_an_experiment_that_is_continued_has_to_be_named(here, options, message) -> None:
    for name in ("job-20261128-230000", "job-20261129-010000", "job-retest-20261201-000000"):
        begin(here / "results" / name)

    with pytest.raises(JobError, match=message) as caught:
        check_named(asked(name=None, slot=None, **options), "job", "results")

    assert str(caught.value).endswith("the latest with the default name is job-20261129-010000")


def test_without_an_earlier_experiment_only_the_rule_is_shown(here) -> None:
    with pytest.raises(JobError, match=r"^--resume needs --name, [a-z ]+$"):
        check_named(asked(name=None, slot=None), "job", "results")


@pytest.mark.parametrize(
    "options", [{"name": "x"}, {"slot": "daily"}, {"slot": "daily", "extend": 5}, {"resume": False}]
)
def test_a_name_a_slot_or_a_new_experiment_need_no_other_name(here, options) -> None:
    check_named(asked(**{"name": None, "slot": None, **options}), "job", "results")


def test_all_that_an_experiment_remembers_has_a_type() -> None:
    assert set(KINDS) == {"job", "cwd", *REMEMBERED}
