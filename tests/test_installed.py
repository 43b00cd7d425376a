"""The package works as a wheel in another project's environment, far from a clone."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).parent.parent
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A project whose ``.venv`` has the wheel; what that depends on is that of the tests."""
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("project")
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    for name in ("tune_jobs", "trainables"):
        skipped = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, ignore=skipped)
    run(source, sys.executable, "-W", "ignore", "-c", BUILD, folder)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / ".venv", with_pip=False)
    python = folder / ".venv" / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-compile")
    run(folder, *pip, "--no-deps", "--no-index", wheel)
    (installed,) = (folder / ".venv" / "lib").glob("python*/site-packages")
    (installed / "others.pth").write_text(sysconfig.get_path("purelib"))
    make_customers(folder / "customers.csv")
    return folder


def make_customers(path: Path) -> None:
    random = np.random.default_rng(0)
    age = random.integers(18, 90, 80)
    plan = random.choice(["basic", "plus"], 80)
    churned = np.where(age + 20 * (plan == "plus") > 55, "Yes", "No")
    pd.DataFrame({"age": age, "plan": plan, "churned": churned}).to_csv(path, index=False)


def run(folder: Path, *words: str | Path) -> str:
    """Run a program in a folder, without the path of the tests, and return what it printed."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ran = subprocess.run(words, cwd=folder, env=kept, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_a_job_is_written_scheduled_and_read_by_the_projects_own_python(project) -> None:
    python, tune_jobs = (project / ".venv" / "bin" / name for name in ("python", "tune-jobs"))
    run(project, tune_jobs, "new", "job.py", "--data", "customers.csv", "--target", "churned")
    planned = run(project, tune_jobs, "schedule", "job.py", "--every", "day", "--for", "cron")
    code = "import job; print(job.__file__); print(job.JOB.load_data().describe())"
    where, *said = run(project, python, "-c", code).splitlines()

    assert str(project) in planned
    assert where == str(project / "job.py")
    assert any("2 codes, 0 for others and missing" in line for line in said)


def test_a_page_is_written_from_the_files_in_the_wheel(project) -> None:
    tune_jobs = project / ".venv" / "bin" / "tune-jobs"
    shutil.copytree(ROOT / "tests" / "fixtures" / "experiment_0_1", project / "results" / "wine")

    run(project, tune_jobs, "report", "wine")
    assert "<h2>Verdict</h2>" in (project / "results" / "wine" / "report.html").read_text()


@pytest.mark.slow
def test_check_trains_a_batch_with_the_installed_package(project) -> None:
    tune_jobs = project / ".venv" / "bin" / "tune-jobs"
    run(project, tune_jobs, "new", "churn.py", "--data", "customers.csv", "--target", "churned")
    said = run(project, tune_jobs, "check", "churn.py")

    assert "80 rows (48 to train, 16 to validate, 16 to test)" in said
    assert "one batch trained, saved and read in a fresh process" in said
