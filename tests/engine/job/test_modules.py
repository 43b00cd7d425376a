"""Jobs are found by name, by dotted name and by path; mistakes in them are one line."""

import pytest

from tune_jobs.engine import Job, JobError
from tune_jobs.engine.job.modules import find_job, list_jobs

GOOD = '''"""A search."""
from ray import tune
from neighbour import LIMIT
from tune_jobs.engine import Job
def train(config, data):
    tune.report({"loss": config["x"]})
JOB = Job(trainable=train, space={"x": tune.uniform(0, LIMIT)}, metric="loss")
'''


@pytest.mark.parametrize("name", list_jobs())
def test_every_shipped_job_loads_and_says_what_it_is(name) -> None:
    assert isinstance(find_job(name).job, Job)
    assert list_jobs()[name].endswith(".")


def test_files_that_start_with_an_underscore_are_not_jobs() -> None:
    assert "breast_cancer_tpe" in list_jobs()
    assert not any(name.startswith("_") for name in list_jobs())


def test_a_job_is_found_by_its_dotted_name() -> None:
    assert find_job("tune_jobs.mnist_dense").name == "mnist_dense"


def test_a_file_is_a_job_and_may_import_its_neighbours(tmp_path) -> None:
    (tmp_path / "neighbour.py").write_text("LIMIT = 2.0\n")
    path = tmp_path / "my-search.py"
    path.write_text(GOOD)

    found = find_job(str(path))

    assert found.name == "my-search"
    assert found.job.space["x"].upper == 2.0
    assert found.import_paths == (str(tmp_path),)


def test_a_module_may_build_its_tuner_itself(tmp_path) -> None:
    path = tmp_path / "own.py"
    path.write_text("def tuner(profile, name):\n    return (profile, name)\n")
    assert find_job(str(path)).job("p", "n") == ("p", "n")


def test_a_misspelled_name_shows_the_nearest() -> None:
    with pytest.raises(JobError, match="no job named 'brest_cancer_tpe'; did you mean 'breast_can"):
        find_job("brest_cancer_tpe")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("JOB = 3", "JOB is 3, but must be a Job"),
        ("x = 1", "defines neither JOB = Job"),
        ("import nowhere_to_be_found", "line 1: ModuleNotFoundError: No module named 'nowhere"),
        ("x = (", "line 1: '\\(' was never closed"),
        (
            "from ray import tune\n\ntune.loguniform(0, 1)",
            "line 3: ValueError: LogUniform requires",
        ),
        ("raise RuntimeError('a\\nb')", "line 1: RuntimeError: a b"),
        ("import sys\n\nsys.exit(0)", r"line 3: sys\.exit\(0\) in wrong\.py, line 3, ends the pro"),
        ("import os, sys\nsys.exit(os.EX_DATAERR)", r"line 2: sys\.exit\(65\) in wrong\.py"),
        ("raise SystemExit", r"line 1: sys\.exit\(\) in wrong\.py"),
        (
            "x = 1\nimport exits_early",
            r"line 2: sys\.exit\('a\\nb'\) in exits_early\.py, line 2, ends",
        ),
    ],
)
def test_a_mistake_in_a_job_file_is_one_line_with_its_place(tmp_path, text, message) -> None:
    path = tmp_path / "wrong.py"
    path.write_text(text)
    (tmp_path / "exits_early.py").write_text("import sys\nsys.exit('a\\nb')")

    with pytest.raises(JobError, match=message) as caught:
        find_job(str(path))

    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["nowhere.py", "tune_jobs.nowhere", "no.where"])
def test_a_module_that_is_not_there_is_said_so(name) -> None:
    with pytest.raises(JobError, match=r"no such job file|no module named"):
        find_job(name)


def test_an_interruption_while_a_job_is_imported_stays_one(tmp_path) -> None:
    (tmp_path / "slow.py").write_text("raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        find_job(str(tmp_path / "slow.py"))
