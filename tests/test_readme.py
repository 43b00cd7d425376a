"""What the README tells a new user to type works as it stands."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("tune-jobs ") and "gpu_cluster" not in line  # tests/cluster has a cluster
]
SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
SMALL_SEARCH = ["--num-samples", "2", "--max-epochs", "2", "--profile", "one_worker.yaml"]
SMALL_RETEST = ["--num-samples", "3", "--finalists", "1", "--scores", "2", "--max-epochs", "2"]
SMALL_RETEST += ["--profile", "one_worker.yaml"]
SMALL = [*SMALL_SEARCH, "--set", "finalists.scores=2"]
SMALL_SEARCH += ["--finalists", "0"]
WITHOUT_FINALS = ("june", "nightly")  # nobody asks for their winners


@pytest.fixture(scope="module")
def here(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("new_user")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "age": rng.uniform(18, 90, 200),
            "plan": rng.choice(["free", "pro", None], 200),
            "churned": rng.choice(["no", "yes"], 200),
        }
    )
    (folder / "one_worker.yaml").write_text("max_concurrent_trials: 1")
    frame.to_parquet(folder / "customers.parquet")
    frame.drop(columns="churned").to_parquet(folder / "new_customers.parquet")
    return folder


def test_the_readme_shows_the_commands_of_a_whole_session() -> None:
    assert [command.split()[1] for command in COMMANDS] == [
        "check",
        "run",
        "show",
        "predict",
        "export",
        "report",
        "run",
        "run",
        "run",
        "run",
        *("run", "retest", "schedule", "ls", "ls", "compare", "clean"),
    ]


def test_every_command_of_the_readme_works_in_turn(here) -> None:
    for command in COMMANDS:
        words = shlex.split(command.replace("--extend 50", "--extend 1"))[1:]
        small = SMALL_SEARCH if any(name in command for name in WITHOUT_FINALS) else SMALL
        words += {"run": small, "retest": SMALL_RETEST}.get(words[0], [])
        ran = subprocess.run(
            [sys.executable, "-m", "tune_jobs", *words], capture_output=True, text=True, cwd=here
        )
        assert ran.returncode == 0, f"{command}\n{ran.stdout}{ran.stderr}"
        assert ran.stdout, command
    assert len(pd.read_parquet(here / "predictions.parquet")) == 200
    assert len(pd.read_parquet(here / "results/churn/trials.parquet")) == 3


def test_the_python_of_the_readme_works(here) -> None:
    (snippet,) = [code for code in SNIPPETS if "run(job)" in code]
    small = snippet.replace("num_samples=20", "num_samples=2, max_epochs=2")
    free = "import sys\nassert not {'keras', 'tensorflow'} & sys.modules.keys()\n"
    small = small.replace("result.best_model()", free + "result.best_model()")
    assert "num_samples=2" in small
    assert free in small
    checks = "assert len(result.trials) == 2\nassert result.best_model().count_params() > 0\n"
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", small + checks],
        capture_output=True,
        text=True,
        cwd=here,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_job_of_the_readme_with_the_trainable_of_the_readme(here) -> None:
    (job,) = [code for code in SNIPPETS if "JOB = Job(" in code]
    (trainable,) = [code for code in SNIPPETS if "def build" in code]
    (here / "linear.py").write_text(trainable)
    (here / "wine.py").write_text(job)
    space = '{"learning_rate": tune.loguniform(1e-3, 1e-1)}'
    (here / "mine.py").write_text(
        "from ray import tune\nimport linear\nfrom tune_jobs.engine import Job, table\n"
        f"JOB = Job(trainable=linear.train, space={space},\n"
        "          data=table('breast_cancer', target='malignant'))\n"
    )
    for name, words in (("wine", ["check", "wine.py"]), ("mine", ["run", "mine.py", *SMALL])):
        ran = subprocess.run(
            [sys.executable, "-m", "tune_jobs", *words], capture_output=True, text=True, cwd=here
        )
        assert ran.returncode == 0, f"{name}\n{ran.stdout}{ran.stderr}"
    assert "best.keras" in ran.stdout


def test_the_exit_codes_of_the_readme_are_those_of_the_engine() -> None:
    from tune_jobs.engine.outcome import EXIT_CODES, OVERDUE, VERDICT_CODES

    told = {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)}
    assert told == {*EXIT_CODES.values(), *VERDICT_CODES.values(), OVERDUE}
