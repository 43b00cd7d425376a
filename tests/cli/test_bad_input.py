"""Bad input of every kind: one line that names it, and exit code 2; nothing was started."""

import json
import os
import sqlite3
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import optuna
import pytest
from click.testing import CliRunner

from tune_jobs.cli.main import main
from tune_jobs.engine import JobError
from tune_jobs.engine.job.modules import find_job
from tune_jobs.engine.resume.warm_start import read_results

LONG = "x" * 300
JOB = """
import threading
from ray import tune
from tune_jobs.engine import Job, table
def train(config, data): ...
def nested(depth):
    part = tune.uniform(0, 1)
    for _ in range(depth):
        part = {{"x": part}}
    return part
def raises(seed):
    raise RuntimeError("the file is locked")
JOB = Job(train, {space}, metric="loss", num_samples=1, max_epochs=1, {more})
"""
SPACE = '{"x": tune.uniform(0, 1)}'


def invoke(*arguments: str):
    return CliRunner().invoke(main, list(arguments), catch_exceptions=False)


def check(*arguments: str) -> str:
    """Run a command that has to fail with one line; return it."""
    ran = invoke(*arguments)
    assert ran.exit_code == 2, ran.output
    assert "Traceback" not in ran.output
    [line] = ran.stderr.splitlines()
    assert line.startswith("error: ")
    return line


def write_job(space: str = SPACE, more: str = "") -> str:
    Path("job.py").write_text(JOB.format(space=space, more=more))
    return "job.py"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("folder.csv").mkdir()
    Path("folder.py").mkdir()
    Path("folder.yaml").mkdir()
    for name in ("loop.csv", "loop.py", "loop.yaml", "loop"):
        Path(name).symlink_to(name)
    return tmp_path


@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf", "true", "1e400", "'1'", "[1]", "{}"])
@pytest.mark.parametrize(
    "key",
    [
        *("cpus_per_trial", "gpus_per_trial", "max_failures", "max_silence_minutes"),
        *("min_free_gb", "max_checkpoint_gb", "max_concurrent_trials"),
    ],
)
def test_a_profile_wants_finite_numbers(key, value) -> None:
    Path("profile.yaml").write_text(f"{key}: {value}\n")
    line = check("check", write_job(), "--profile", "profile.yaml")
    assert f"profile.yaml: {key} is " in line


@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize(
    "arguments",
    [
        *(["check", LONG], ["check", f"{LONG}.py"], ["check", f"tune_jobs.{LONG}"]),
        *(["check", f"{LONG}/{LONG}.py"], ["check", "job.py", "--profile", LONG]),
        *(["check", "job.py", "--profile", f"{LONG}.yaml"], ["show", LONG], ["report", LONG]),
        *(["show", "y", f"{LONG}/y"][::2], ["ls", "--storage", LONG], ["compare", LONG, LONG]),
        *(["predict", LONG, LONG, LONG], ["export", LONG, f"{LONG}.keras"], ["retest", LONG]),
        *(["run", "job.py", "--name", LONG], ["run", "job.py", "--storage", f"{LONG}/{LONG}"]),
        ["run", "job.py", "--name", "x", "--warm-start", LONG],
        ["run", "job.py", "--name", "x", "--warm-start", f"{LONG}.csv"],
        ["check", "breast_cancer_tpe", "--data", f"{LONG}.csv", "--target", "y"],
        ["check", "breast_cancer_tpe", "--data", f"{LONG}/{LONG}.csv", "--target", "y"],
        ["check", "digits_cnn_asha", "--data", f"{LONG}.npz"],
        [
            "schedule",
            "breast_cancer_tpe",
            "--for",
            "cron",
            "--every",
            "day",
            "--write",
            f"{LONG}/{LONG}",
        ],
        *(["clean", "--storage", LONG], ["cluster", "lint", LONG]),
    ],
    ids=lambda words: " ".join(word.replace(LONG, "LONG") for word in words),
)
def test_names_of_more_than_255_characters(arguments) -> None:
    write_job()
    ran = invoke(*arguments)
    assert ran.exit_code in ((0, 2) if arguments[0] in ("ls", "clean") else (2,))
    assert ran.stderr.count("\n") <= 1
    assert len(ran.stderr) < 2500


@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize(
    "arguments",
    [
        *(["check", "folder.py"], ["check", "loop.py"], ["check", "loop/job.py"]),
        *(["check", "job.py", "--profile", f"{x}.yaml"] for x in ("folder", "loop")),
        *(["run", "job.py", "--name", "x", "--warm-start", f"{x}.csv"] for x in ("folder", "loop")),
        *(
            ["check", "breast_cancer_tpe", "--data", f"{x}.csv", "--target", "y"]
            for x in ("folder", "loop", "loop/x")
        ),
        *(["check", "digits_cnn_asha", "--data", f"{x}.npz"] for x in ("folder", "loop")),
        *(["show", "loop"], ["show", "loop/x"], ["run", "job.py", "--storage", "loop"]),
        *(["ls", "--storage", "loop"], ["clean", "--storage", "loop"]),
        ["run", "job.py", "--storage", "loop/x"],
        ["schedule", "breast_cancer_tpe", "--for", "cron", "--every", "day", "--write", "loop"],
        *(["cluster", "lint", "loop.yaml"], ["cluster", "lint", "loop/x.yaml"]),
    ],
    ids=" ".join,
)
def test_a_folder_or_a_loop_of_links_is_no_file(arguments) -> None:
    write_job()
    Path("folder.npz").mkdir()
    Path("loop.npz").symlink_to("loop.npz")
    ran = invoke(*arguments)
    assert ran.exit_code == 2, ran.output
    assert ran.stderr.count("\n") == 1


def test_a_table_is_written_to_no_folder(tmp_path) -> None:
    Path("results/x").mkdir(parents=True)
    Path("results/x/experiment.json").write_text('{"metric": "loss", "mode": "min"}')
    with zipfile.ZipFile("results/x/best.keras", "w") as file:
        for name in ("config.json", "metadata.json", "model.weights.h5"):
            file.writestr(name, "{}")
    Path("folder.keras").mkdir()
    assert "folder.keras" in check("export", "x", "folder.keras")


@pytest.mark.parametrize(
    ("space", "more", "message"),
    [
        (SPACE, "finalists=5", "or None; write Finalists(count=5)"),
        (
            SPACE,
            "finalists=0",
            "must be Finalists(...) or None; None is no finals",
        ),
        (SPACE, "finalists=True", "finalists is True, but must be Finalists(...) or None"),
        (SPACE, "evaluation=5, data=print", "evaluation is 5, but must be Evaluation(...) or None"),
        (SPACE, "stages=5", "stages is 5"),
        (SPACE, "stages=[5]", "stages[0] is 5, but must be Stage(...)"),
        (SPACE, "points_to_evaluate=5", "points_to_evaluate is 5"),
        (SPACE, "stop_when_done='no'", "stop_when_done is 'no', but must be True or False"),
        (SPACE, "data=raises", "the data cannot be read: RuntimeError: the file is locked"),
        (SPACE, "data=lambda seed: 'digits'", "data(seed) returned a str, but must return"),
        (SPACE, "data=lambda: 1", "the data cannot be read: TypeError"),
        ('{"x": nested(900)}', "", "nested"),
        ('{"x": tune.choice([nested(900)])}', "", "nested"),
        ('{"x": threading.Lock()}', "", "x: lock cannot be sent to the workers"),
        ('{"x": tune.choice([threading.Lock(), 1])}', "", "x: lock cannot be sent to the workers"),
    ],
)
def test_a_job_of_wrong_parts(space, more, message) -> None:
    assert message in check("check", write_job(space, more))


def test_an_npz_file_of_a_negative_shape() -> None:
    np.savez("bad.npz", x_train=np.zeros((4, 2, 2)), y_train=[0, 1, 0, 1])
    with zipfile.ZipFile("bad.npz") as file:
        parts = {name: file.read(name) for name in file.namelist()}
    parts["x_test.npy"] = parts["x_train.npy"].replace(b"(4, 2, 2)", b"(-4,2, 2)")
    parts["y_test.npy"] = parts["y_train.npy"]
    with zipfile.ZipFile("bad.npz", "w") as file:
        for name, part in parts.items():
            file.writestr(name, part)
    assert "x_test cannot be read" in check("check", "digits_cnn_asha", "--data", "bad.npz")


def test_a_trainable_that_holds_a_lock() -> None:
    source = JOB.format(space=SPACE, more="").replace("): ...", "): LOCK", 1)
    Path("job.py").write_text(f"import threading\nLOCK = threading.Lock()\n{source}")
    message = "trainable: function cannot be sent to the workers: cannot pickle '_thread.lock'"
    assert message in check("check", "job.py")
    assert message in check("run", "job.py", "--name", "x")


@pytest.mark.parametrize("place", ["/proc/ray", "folder.csv/full"])
def test_a_folder_of_ray_that_cannot_be_used(place, monkeypatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", place)
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    full = SimpleNamespace(f_bavail=1, f_frsize=4096, f_files=100, f_favail=90)
    monkeypatch.setattr("os.statvfs", lambda _: full)
    line = check("run", write_job(), "--name", "x")
    assert place in line
    assert "set RAY_TMPDIR to another folder" in line


def test_a_pipe_is_no_data(local_ray) -> None:
    os.mkfifo("pipe.csv")
    os.mkfifo("pipe.npz")
    os.mkfifo("pipe.py")
    os.mkfifo("pipe.yaml")
    write_job()
    table = ["check", "breast_cancer_tpe", "--target", "y", "--data", "pipe.csv"]
    assert "pipe.csv" in check(*table)
    assert "pipe.npz" in check("check", "digits_cnn_asha", "--data", "pipe.npz")
    assert "pipe.py" in check("check", "pipe.py")
    assert "pipe.yaml" in check("check", "job.py", "--profile", "pipe.yaml")
    assert "pipe.csv" in check("run", "job.py", "--name", "x", "--warm-start", "pipe.csv")


def test_a_csv_file_with_a_cell_of_3_mb(tmp_path) -> None:
    rows = "".join(f"{n},{'yes' if n % 2 else 'no'},{'z' * 3_000_000}\n" for n in range(12))
    Path("wide.csv").write_text(f"age,churned,text\n{rows}")
    command = ["check", "breast_cancer_tpe", "--data", "wide.csv", "--target", "churned"]
    ran = invoke(*command)
    assert ran.exit_code == 2
    assert "'text'" in ran.stderr
    assert "block" not in ran.stderr


def test_a_warm_start_from_s3(local_ray, monkeypatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    uri = "s3://bucket/a.csv?endpoint_override=127.0.0.1:9&scheme=http"
    line = check("run", write_job(), "--name", "x", "--warm-start", uri)
    assert "storage s3://bucket" in line
    secret = "s3://AKIA:hunter2@bucket/a.csv"
    line = check("run", write_job(), "--name", "x", "--warm-start", secret)
    assert "contains credentials" in line
    assert "hunter2" not in line


@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize(
    "uri",
    [
        *("s3://b/x.parquet?secret_key=hunter2", "https://u:hunter2@host/x.csv"),
        *("https://host/x.csv?sas=hunter2", "postgres://host/db?password=hunter2"),
        *("abfs://c@a.dfs.core.windows.net/x.csv?sig=hunter2", "host/x.csv?sas=hunter2"),
        *("https://host/x.csv?Pwd=hunter2&a=b", "https://host/x.csv?api_key=hunter2"),
    ],
)
@pytest.mark.parametrize(
    "command",
    [
        ["check", "breast_cancer_tpe", "--target", "y", "--data"],
        ["check", "digits_cnn_asha", "--data"],
        ["run", "job.py", "--name", "x", "--warm-start"],
        *(["show"], ["ls", "--storage"], ["run", "job.py", "--storage"], ["retest"]),
        *(["check", "job.py", "--profile"], ["check"]),
    ],
    ids=" ".join,
)
def test_passwords_are_not_repeated(command, uri) -> None:
    if "--storage" in command and "://" not in uri:
        return  # a folder may have any name
    write_job()
    assert "hunter2" not in check(*command, uri)


def test_a_warm_start_reads_a_table_at_a_uri(tmp_path) -> None:
    job = find_job(write_job()).job
    Path("earlier.csv").write_text("x,loss\n0.5,1.0\n7,2.0\n0.25,\n")
    for place in (f"file://{tmp_path}/earlier.csv", "earlier.csv"):
        known, left_out = read_results(place, job, "results", {})
        assert [(each.config, each.score) for each in known] == [({"x": 0.5}, 1.0)]
        assert len(left_out) == 1
    Path("earlier.csv").write_text("x,loss\n0.5,good\n")
    with pytest.raises(JobError, match="loss must be a number in each row, got 'good'"):
        read_results("earlier.csv", job, "results", {})


def _no_number(trial: dict) -> None:
    trial["score"] = "good"


def _no_values(trial: dict) -> None:
    trial["hyperparameters"]["values"] = 3


@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize(
    ("damage", "said"),
    [(_no_number, "must be a number"), (_no_values, "is not a KerasTuner trial")],
)
def test_a_warm_start_from_a_damaged_project_of_keras_tuner(damage, said) -> None:
    trial = {"score": 0.5, "hyperparameters": {"values": {"x": 0.5}}}
    damage(trial)
    Path("project/trial_00").mkdir(parents=True)
    Path("project/trial_00/trial.json").write_text(json.dumps(trial))

    line = check("run", write_job(), "--name", "x", "--warm-start", "project")

    assert line.startswith("error: project/trial_00/trial.json")
    assert said in line


@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize(
    "statement",
    [
        "delete from study_directions",
        "drop table trials",
        "update trial_params set distribution_json = '{'",
    ],
)
def test_a_warm_start_from_a_damaged_database_of_optuna(statement) -> None:
    study = optuna.create_study(storage="sqlite:///study.db", study_name="s")
    distribution = optuna.distributions.FloatDistribution(0, 1)
    trial = optuna.trial.create_trial(
        params={"x": 0.5}, distributions={"x": distribution}, value=1.0
    )
    study.add_trial(trial)
    with sqlite3.connect("study.db") as database:
        database.execute(statement)

    line = check("run", write_job(), "--name", "x", "--warm-start", "study.db")

    assert "study.db" in line
