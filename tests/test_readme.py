"""What the README and the pages behind it tell a new user to type works as it stands."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.shell import Shell, open_shell
from tune_jobs.engine import Job
from tune_jobs.engine.outcome import EXIT_CODES, NOT_BETTER, OVERDUE, VERDICT_CODES

ROOT = Path(__file__).parent.parent


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", read(page), re.DOTALL)


def commands(page: str) -> list[str]:
    """The ``tune-jobs`` lines of a page, without those of a cluster, which tests/cluster runs."""
    lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
    return [line for line in lines if line.startswith("tune-jobs ") and "gpu_cluster" not in line]


def snippet(page: str, words: str) -> str:
    (found,) = [code for code in blocks(page, "python") if words in code]
    return found


EPOCHS = ["--max-epochs", "2", "--profile", "one_worker.yaml"]
ONE_TRIAL = ["--num-samples", "1", *EPOCHS]
FINALS = ["--num-samples", "2", "--set", "finalists.scores=2", *EPOCHS]
RETEST = ["--num-samples", "2", "--finalists", "1", "--scores", "2", *EPOCHS]
NO_WINNER_NEEDED = ("june", "nightly", "mine.py")


def small(command: str) -> list[str]:
    """The words of a command behind ``tune-jobs``, with a budget of seconds."""
    words = shlex.split(command.replace("--extend 50", "--extend 1"))[1:]
    if words[0] == "run":
        without = any(part in command for part in NO_WINNER_NEEDED)
        return [*words, *([*ONE_TRIAL, "--finalists", "0"] if without else FINALS)]
    return [*words, *(RETEST if words[0] == "retest" else [])]


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
    (folder / "my_model.py").write_text(snippet("README.md", "def build"))
    return folder


@pytest.fixture(scope="module")
def shell(here) -> Iterator[Shell]:
    with open_shell(here) as shell:
        yield shell


def test_the_readme_shows_the_commands_of_a_whole_session() -> None:
    assert [command.split()[1] for command in commands("README.md")] == [
        *("check", "run", "show", "report", "predict", "export"),
        *("run", "run", "run"),
        *("check", "run"),
        *("run", "schedule", "retest", "ls", "ls", "compare", "clean"),
    ]


def test_every_command_of_the_readme_works_in_turn(shell, here) -> None:
    for command in commands("README.md"):
        ran = shell.run(*small(command))
        assert ran.code == 0, f"{command}\n{ran.stdout}{ran.stderr}"
        assert ran.stdout, command
    assert len(pd.read_parquet(here / "predictions.parquet")) == 200
    assert len(pd.read_parquet(here / "results/churn/trials.parquet")) == 3
    assert (here / "results/first/best.keras").exists()


def test_the_python_of_the_readme_works(here) -> None:
    code = snippet("README.md", "run(job)")
    profile = "Profile(max_concurrent_trials=1)"
    code = code.replace("num_samples=20", "num_samples=2, max_epochs=2, finalists=FINALISTS")
    code = code.replace("run(job)", f"run(job, profile={profile})")
    free = "import sys\nassert not {'keras', 'tensorflow'} & sys.modules.keys()\n"
    code = code.replace("result.best_model()", free + "result.best_model()")
    assert "FINALISTS" in code
    assert profile in code
    assert free in code
    names = "from tune_jobs.engine import Finalists, Profile\n"
    names += "FINALISTS = Finalists(count=1, scores=2)\n"
    checks = "assert len(result.trials) == 2\nassert result.best_model().count_params() > 0\n"
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", names + code + checks],
        capture_output=True,
        text=True,
        cwd=here,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_job_and_the_trainable_of_the_page_on_jobs(shell, here) -> None:
    (here / "wine.py").write_text(snippet("docs/writing-jobs.md", "JOB = Job(\n"))
    (here / "linear.py").write_text(snippet("docs/writing-jobs.md", "def build"))
    space = '{"learning_rate": tune.loguniform(1e-3, 1e-1)}'
    (here / "mine.py").write_text(
        "from ray import tune\nimport linear\nfrom tune_jobs.engine import Job, table\n"
        f"JOB = Job(trainable=linear.train, space={space},\n"
        "          data=table('breast_cancer', target='malignant'))\n"
    )
    for words in (["check", "wine.py"], small("tune-jobs run mine.py")):
        ran = shell.run(*words)
        assert ran.code == 0, f"{words}\n{ran.stdout}{ran.stderr}"
    assert "best.keras" in ran.stdout


@pytest.mark.parametrize("name", ["writing-jobs", "choosing", "continuing", "results"])
def test_every_command_of_the_pages_behind_the_readme_works_in_turn(shell, name) -> None:
    page = f"docs/{name}.md"
    assert commands(page)
    for command in commands(page):
        ran = shell.run(*small(command))
        assert ran.code == 0, f"{command}\n{ran.stdout}{ran.stderr}"
        assert ran.stdout, command


@pytest.mark.parametrize("number", range(3))
def test_the_jobs_of_the_page_on_choosing_can_be_built(number) -> None:
    code = blocks("docs/choosing.md", "python")[number]
    names: dict[str, Job] = {}
    exec(code, names)
    assert isinstance(names["JOB"], Job)


OPTUNA = "docs/from_optuna.md"


def test_the_programs_of_the_page_on_optuna_search_before_and_after(shell, here) -> None:
    before = snippet(OPTUNA, "import optuna").replace("n_trials=20", "n_trials=2")
    ran = subprocess.run([sys.executable, "-c", before], capture_output=True, text=True, cwd=here)
    assert ran.returncode == 0, ran.stderr
    assert "learning_rate" in ran.stdout
    (here / "program.py").write_text(snippet(OPTUNA, "trainable=train"))
    (command,) = commands(OPTUNA)
    after = shell.run(*shlex.split(command)[1:], *ONE_TRIAL, "--finalists", "0")

    assert after.code == 0, after.stdout + after.stderr
    assert "2 results of other searches known" in after.stdout + after.stderr
    assert "best.keras" in after.stdout


PAGES = [
    *("README.md", "CHANGELOG.md", "results/README.md", "cluster/README.md"),
    *sorted(str(page.relative_to(ROOT)) for page in ROOT.glob("docs/**/*.md")),
]


@pytest.mark.parametrize("page", PAGES)
def test_every_link_of_a_page_leads_somewhere(page) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", read(page)):
        if target.startswith("http"):
            continue
        name, _, anchor = target.partition("#")
        file = (ROOT / page).parent / name if name else ROOT / page
        assert file.exists(), target
        assert not anchor or anchor in list_anchors(file), target


def list_anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


def test_the_exit_codes_of_the_documents_are_those_of_the_engine() -> None:
    codes = re.findall(r"^\| (\d+) \|", read("docs/results.md"), re.MULTILINE)
    known = {*EXIT_CODES.values(), *VERDICT_CODES.values(), OVERDUE, NOT_BETTER}
    assert {int(code) for code in codes} == known
