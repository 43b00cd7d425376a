"""The command line: a mistake is one line and exit code 2, and nothing was started."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pandas as pd
import pytest
import ray
from click.testing import CliRunner

from tune_jobs.cli.main import main
from tune_jobs.engine import Profile
from tune_jobs.engine.job.modules import list_jobs

ROOT = Path(__file__).parents[2]

GRID = '''"""A grid of 2,000 points."""
from ray import tune
from tune_jobs.engine import Job, as_grid
def train(config, data): ...
JOB = Job(trainable=train, num_samples=1,
          space=as_grid({"x": tune.randint(0, 2000)}))
'''


def invoke(*arguments: str):
    return CliRunner().invoke(main, list(arguments), catch_exceptions=False)


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    frame = pd.DataFrame(
        {
            "age": np.arange(60.0),
            "city": ["Bern", "Oslo", None] * 20,
            "churned": [True, False] * 30,
            "null": [None] * 60,
            "same": ["x"] * 60,
            "rare": ["a"] * 59 + ["b"],
            "amount": np.linspace(0, 1, 60),
        }
    )
    frame.to_parquet("customers.parquet")
    frame.assign(age=np.inf).to_parquet("infinite.parquet")
    frame.head(0).to_csv("empty.csv", index=False)
    frame.assign(when="03/04/2026").to_parquet("dates.parquet")
    Path("twice.csv").write_text("a,a,churned\n1,2,0\n")
    Path("torn.parquet").write_bytes(Path("customers.parquet").read_bytes()[:500])
    Path("notes.txt").write_text("x")
    Path("grid.py").write_text(GRID)
    Path("huge.yaml").write_text("cpus_per_trial: 4000")
    Path("gpu.yaml").write_text("gpus_per_trial: 64")
    Path("results").mkdir()
    Path("results/taken").mkdir()
    Path("results/taken/experiment.json").write_text("{}")
    return tmp_path


TABLE = ("breast_cancer_tpe", "--data")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["brest_cancer"], "no job named 'brest_cancer'; did you mean 'breast_cancer"),
        (["nowhere.py"], "no such job file: 'nowhere.py'"),
        ([*TABLE, "customer.parquet", "--target", "churned"], "did you mean 'customers.parquet'"),
        ([*TABLE, "notes.txt", "--target", "churned"], "notes.txt"),
        ([*TABLE, "customers.parquet", "--target", "chured"], "did you mean 'churned'"),
        ([*TABLE, "customers.parquet", "--target", "null"], "no value in any of the 60 rows"),
        ([*TABLE, "customers.parquet", "--target", "same"], "'x' in all rows"),
        ([*TABLE, "customers.parquet", "--target", "rare"], "class 'b' of target 'rare' has 1 row"),
        ([*TABLE, "infinite.parquet", "--target", "churned"], "'age'"),
        ([*TABLE, "dates.parquet", "--target", "churned"], "'when'"),
        ([*TABLE, "twice.csv", "--target", "churned"], "'a'"),
        ([*TABLE, "torn.parquet", "--target", "churned"], "torn.parquet"),
        ([*TABLE, "empty.csv", "--target", "churned"], "empty.csv"),
        (["mnist_dense"], "mnist.npz"),
        (
            ["digits_cnn_asha", "--target", "y"],
            "--target does not apply: the data set of the job has no target",
        ),
        (["breast_cancer_tpe", "--num-samples", "0"], "num_samples is 0"),
        (
            ["breast_cancer_tpe", "--max-epochs", "1"],
            "grace_period is 2 epochs but max",
        ),
        (["breast_cancer_tpe", "--seed", "-1"], "seed is -1"),
        (["breast_cancer_grid", "--stop-when-done"], "stop_when_done does not apply: no model"),
        (["breast_cancer_tpe", "--max-hours", "0"], "max_hours must be above 0, got 0"),
        (["breast_cancer_tpe", "--set", "searcher.gama=0.3"], "did you mean 'gamma'"),
        (
            ["breast_cancer_tpe", "--set", "searcher.gamma=x"],
            "must be a number, got 'x'",
        ),
        (["breast_cancer_tpe", "--profile", "labtop"], "did you mean 'laptop'"),
        (
            ["breast_cancer_tpe", "--profile", "huge.yaml"],
            "cpus_per_trial is 4000, but this",
        ),
        (["breast_cancer_tpe", "--profile", "gpu.yaml"], "gpus_per_trial is 64, but this machine"),
        (["breast_cancer_tpe", "--name", "a/b"], "experiment name 'a/b' must be"),
        (["--extend", "5"], "give a JOB (see tune-jobs list), or add --name to continue"),
        (["breast_cancer_tpe", "--extend", "5"], "--extend needs --name, the experiment to ext"),
        (["breast_cancer_tpe", "--resume"], "--resume needs --name, the experiment to continue or"),
        (["--extend", "5", "--name", "nothing"], "no experiment 'nothing' in results"),
        (["breast_cancer_tpe", "--extend", "5", "--name", "new"], "cannot extend 'new': no "),
        (
            ["breast_cancer_tpe", "--default", "x"],
            "must have the form name=value, got",
        ),
        (["breast_cancer_tpe", "--name", "taken"], "experiment 'taken' already exists"),
        (["breast_cancer_tpe", "--storage", "notes.txt"], "cannot write to"),
        (["grid.py"], "the grid has 2,000 points, more than 1,000; add --yes"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_input_is_one_line_and_starts_nothing(here, arguments, message) -> None:
    before = sorted(path.name for path in Path("results").iterdir())
    running = ray.is_initialized()

    ran = invoke("run", *arguments)

    assert ran.exit_code == 2
    assert ran.stderr.startswith("error: ")
    assert message in ran.stderr
    assert ran.stderr.count("\n") == 1
    assert ran.stdout == ""
    assert sorted(path.name for path in Path("results").iterdir()) == before
    assert ray.is_initialized() == running


@pytest.mark.parametrize("job", ["breast_cancer_tpe", "digits_cnn_asha"])
def test_check_says_what_a_run_would_do(job) -> None:
    ran = invoke("check", job)

    assert ran.exit_code == 0
    assert re.search(r"at most [\d,]+ epochs in all$", ran.stdout, re.MULTILINE)
    assert "parameters" in ran.stdout


def test_check_says_that_a_search_may_be_shorter() -> None:
    ran = invoke("check", "breast_cancer_tpe", "--searcher", "gp", "--stop-when-done")

    assert "epochs in all; fewer if more are not worth it" in ran.stdout
    assert "GaussianProcess(" in ran.stdout


def test_check_finds_the_option_that_cannot_be_built() -> None:
    ran = invoke("check", "breast_cancer_tpe", "--set", "space.kernel_initializer=he_norml")
    assert ran.exit_code == 2
    assert "he_norml" in ran.stderr
    assert ran.stderr.count("\n") == 1


def test_the_program_ends_without_a_search_for_garbage() -> None:
    code = (
        "import atexit, gc, sys; from tune_jobs.cli.main import main; sys.argv[1:] = ['list']\n"
        "atexit.register(lambda: print('frozen', gc.get_freeze_count() > 0))\nmain()"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert (ran.returncode, ran.stdout.splitlines()[-1]) == (0, "frozen True")


def test_list_names_every_job_with_its_first_line() -> None:
    lines = invoke("list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(list_jobs())
    assert all(line.endswith(".") for line in lines)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "nothing"], "no experiment 'nothing' in results"),
        (["show", "take"], "did you mean 'taken'"),
        (["predict", "nothing", "a.csv", "b.csv"], "no experiment 'nothing' in results"),
        (["export", "nothing", "model.h5"], "TARGET must end in .keras, got 'model.h5'"),
        (
            ["export", "nothing", "no/where/model.keras"],
            "'no/where/model.keras': its folder",
        ),
    ],
)
def test_an_experiment_that_is_not_there_is_said_so(here, arguments, message) -> None:
    ran = invoke(*arguments)
    assert ran.exit_code == 2
    assert message in ran.stderr


def test_the_machine_readable_help_of_click_knows_every_command() -> None:
    here = {"list", "new", "check", "run", "show", "report", "predict", "export"}
    around = {"retest", "ls", "compare", "clean", "schedule"}
    there = {"submit", "status", "logs", "stop", "doctor", "cluster"}
    assert set(main.commands) == here | around | there


def every_command(group: click.Group = main) -> list[click.Command]:
    inner = [each for each in group.commands.values() if isinstance(each, click.Group)]
    return [*group.commands.values(), *(each for one in inner for each in every_command(one))]


@pytest.mark.parametrize(
    "command",
    every_command(),
    ids=lambda command: command.name,
)
def test_every_help_text_is_a_sentence(command) -> None:
    options = [each for each in command.params if isinstance(each, click.Option)]
    for text in (str(command.help).strip(), *(str(option.help) for option in options)):
        assert text[0].isupper()
        assert text.endswith(".")
        assert "default:" not in text.lower()  # click says it


def test_the_help_of_run_shows_each_option_once_in_its_section() -> None:
    said = invoke("run", "--help").stdout
    titles = re.findall(r"^([A-Z][a-z ]+):$", said, re.MULTILINE)

    assert titles == [
        *("Examples", "Data", "Search", "Experiment", "Limits", "Earlier results"),
        *("Scheduled runs", "Output", "Options"),
    ]
    shown = re.findall(r"^  (?:-., )?(--[a-z-]+)", said, re.MULTILINE)
    declared = [each.opts[0] for each in main.commands["run"].params if each.opts[0][0] == "-"]
    assert sorted(shown) == sorted([*declared, "--help"])


def test_the_help_lists_every_command_in_its_section() -> None:
    said = invoke("--help").stdout
    shown = re.findall(r"^  ([a-z]+)  ", said, re.MULTILINE)
    assert sorted(shown) == sorted(main.commands)


def test_no_summary_of_a_command_is_cut_off_at_80_columns() -> None:
    said = CliRunner().invoke(main, ["--help"], terminal_width=80).stdout
    lines = [line for line in said.splitlines() if re.match("  [a-z]+  ", line)]

    assert len(lines) == len(main.commands)
    assert all(line.endswith(".") and not line.endswith("...") for line in lines)


@pytest.mark.parametrize("command", every_command(), ids=lambda command: command.name)
def test_the_examples_of_a_command_can_be_typed(command) -> None:
    if isinstance(command, click.Group):
        return
    assert command.examples
    for example in command.examples:
        context, words = click.Context(main), shlex.split(example)
        group: click.Group = main
        while isinstance(inner := group.commands[words.pop(0)], click.Group):
            group = inner
        assert inner is command
        inner.make_context(str(inner.name), words, parent=context)
        assert len(f"  tune-jobs {example}") <= 80


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("shwo june", "no command 'shwo'; did you mean 'show'?"),
        ("cluster lnt", "no command 'lnt'; did you mean 'lint'?"),
        ("run --nam x", "no option --nam; did you mean '--name'?"),
        ("run --foo", "no option --foo; see tune-jobs run --help"),
        (
            "run a --num-samples abc",
            "--num-samples must be an integer, got 'abc'; see tune-jobs run --help",
        ),
        ("run a --max-hours x", "--max-hours must be a number, got 'x'; see tune-jobs run --help"),
        ("run a --finalists -1", "--finalists must be at least 0, got -1; see tune-jobs run"),
        ("run a --extend 1.5", "--extend must be an integer, got '1.5'; see tune-jobs run"),
        ("run a --searcher tp", "--searcher must be one of auto, tpe, gp, random, hyperopt, got"),
        ("run a --num-samples", "--num-samples needs a value"),
        ("run a b c", "unexpected extra arguments (b c); see tune-jobs run --help"),
        ("clean --yes=3", "--yes does not take a value"),
        ("show", "EXPERIMENT is missing; see tune-jobs show --help"),
        ("schedule a --for cron", "--every is missing; see tune-jobs schedule --help"),
    ],
)
def test_a_mistake_in_the_command_line_is_one_line_like_all_others(words, message) -> None:
    ran = invoke(*shlex.split(words))

    assert ran.exit_code == 2
    assert ran.stderr.startswith(f"error: {message}")
    assert ran.stderr.count("\n") == 1
    assert ran.stdout == ""


def test_a_command_without_arguments_shows_its_help() -> None:
    assert "Start:" in invoke().stderr
    assert "lint" in invoke("cluster").stderr


@pytest.mark.parametrize("command", ["show", "report", "predict", "export", "compare", "status"])
def test_an_experiment_is_found_in_the_storage_that_is_named(here, command) -> None:
    Path("elsewhere.yaml").write_text(f"storage: {here / 'there'}\n")
    words = {"predict": ["a.csv", "b.csv"], "export": ["m.keras"], "compare": ["june"]}

    for place in (["--storage", str(here / "there")], ["--profile", "elsewhere.yaml"]):
        ran = invoke(command, "june", *words.get(command, []), *place)
        assert ran.exit_code == 2
        assert f"no experiment 'june' in {here / 'there'}" in ran.stderr


def test_a_slot_is_submitted_by_its_name(here) -> None:
    profile = "address: auto\njobs_api: http://127.0.0.1:8265\nstorage: s3://bucket/results\n"
    Path("there.yaml").write_text(profile)
    words = ["submit", "breast_cancer_tpe", "--profile", "there.yaml", "--dry-run"]
    said = invoke(*words, "--slot", "2026-11-28", "--name", "nightly-{slot}").stdout

    assert "--submission-id nightly-2026-11-28-1 " in said
    assert "run breast_cancer_tpe --profile there.yaml --slot 2026-11-28" in said
    assert said.endswith("--name 'nightly-{slot}' --resume\n")


def test_the_default_profile_is_the_shipped_laptop() -> None:
    from tune_jobs.engine import load_profile

    assert load_profile(str(ROOT / "cluster/profiles/laptop.yaml")) == Profile()


def test_show_reads_a_copy_of_an_experiment(here) -> None:
    from tune_jobs.engine.experiments.history.records import Epoch, TrialStart
    from tune_jobs.engine.experiments.history.segments import SegmentWriter
    from tune_jobs.engine.storage.folder import open_folder

    folder = open_folder("results/dead")
    folder.create()
    folder.write_json("experiment.json", {"trainable": "x.train", "metric": "loss", "mode": "min"})
    history = SegmentWriter(folder)
    history.append(TrialStart(1, {"x": 1}))
    history.append(Epoch(1, 0, 1, 1.0, {"loss": 0.5}))
    history.flush()
    shutil.copytree("results/dead", "copy")

    ran = invoke("show", "copy")
    as_json = json.loads(invoke("show", "copy", "--json").stdout)

    assert "it was killed" in ran.stdout
    assert "best loss  0.5" in ran.stdout
    assert as_json["all_trials"][0]["value"] == 0.5
    assert as_json["exit_code"] is None


EXIT = '''"""Ends the process at {place}."""
import sys
from ray import tune
from tune_jobs.engine import Job
def leave(*_):
    sys.exit(0)
def train(config, data): ...
def build(config): leave()
JOB = Job(trainable=train, space={{"x": tune.uniform(0, 1)}}, metric="loss", {options})
'''


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("run", "data=leave"),
        ("run", "searcher=leave"),
        ("check", "data=leave"),
        ("check", ""),
        ("check", "scheduler=leave"),
    ],
)
def test_code_of_a_job_that_ends_the_process_is_a_mistake(here, command, options) -> None:
    Path("exits.py").write_text(EXIT.format(place=options, options=options))

    ran = invoke(command, "exits.py")

    assert ran.exit_code == 2
    assert "sys.exit(0) in exits.py, line 6, ends the process" in ran.stderr
    assert ran.stderr.count("\n") == 1
