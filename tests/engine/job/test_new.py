"""``tune-jobs new`` writes a job that is found, built and searched as the shipped ones are."""

import ast
import shlex
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from tune_jobs import images, tabular
from tune_jobs.cli.main import main
from tune_jobs.engine.job.modules import find_job
from tune_jobs.engine.space.grid import extremes

PICTURES = {"x": np.ones((30, 8, 8), "uint8"), "y": np.arange(30) % 3}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frame = pd.DataFrame({"age": np.arange(60.0), "city": ["a", "b"] * 30, "paid": [0, 1] * 30})
    frame.to_csv("shop's.csv", index=False)
    sets = {f"{name}_{part}": rows for part in ("train", "test") for name, rows in PICTURES.items()}
    np.savez("digits.npz", **sets)
    return tmp_path


def new(*words: str):
    return CliRunner().invoke(main, ["new", *words])


def check_style(path: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--isolated", "--select=F,E9", path],
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout


@pytest.mark.parametrize(
    ("words", "shipped", "target"),
    [
        (("--data", "shop's.csv", "--target", "paid"), tabular.JOB, "paid"),
        (("--data", "shop's.csv", "--target", "paid, city"), tabular.JOB, ("paid", "city")),
        (("--data", "digits.npz", "--trainable", "image_cnn"), images.JOB, None),
    ],
)
def test_a_job_for_own_data_searches_the_space_of_the_shipped_one(
    here, words, shipped, target
) -> None:
    ran = new("mine.py", *words)
    assert ran.exit_code == 0, ran.stderr
    assert "tune-jobs check mine.py" in ran.stdout

    job = find_job(str(here / "mine.py")).job
    assert job.data.source == words[1]
    assert getattr(job.data, "target", None) == target
    assert job.trainable is shipped.trainable
    assert extremes(job.space) == extremes(shipped.space)
    assert (job.num_samples, job.max_epochs) == (shipped.num_samples, shipped.max_epochs)
    check_style("mine.py")


@pytest.mark.parametrize("name", ["mine.py", "my job.py", 'a"""b\\new.py', "it's \N{SNOWMAN}.py"])
@pytest.mark.parametrize(
    "target", ['"paid\\n"', "b\u00e9zahlt \N{GRINNING FACE}", "'''x", "{1} \\N"]
)
def test_names_stand_in_a_job_as_they_are(here, name, target) -> None:
    data = f"of {target}.csv"
    (here / data).write_text("x\n")
    ran = new(name, "--data", data, "--target", target)
    assert ran.exit_code == 0, ran.stderr

    tree = ast.parse((here / name).read_text(encoding="utf-8"))
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert {data, target} < texts
    written = ast.get_docstring(tree, clean=False).splitlines()
    assert written[0] == f"Tune a model on {data}."
    assert shlex.split(written[-1]) == ["tune-jobs", "run", name]
    assert shlex.split(ran.stdout.splitlines()[-1])[-1] == name


def test_a_name_in_other_bytes_leaves_no_file(here) -> None:
    (here / "\udcff.csv").write_text("x\n")
    ran = new("mine.py", "--data", "\udcff.csv", "--target", "x")

    assert (ran.exit_code, (here / "mine.py").exists()) == (2, False)
    assert "mine.py cannot be written: a name in it is not UTF-8" in ran.stderr


@pytest.mark.parametrize(
    ("words", "shipped"),
    [
        (("--data", "shop's.csv", "--target", "paid"), tabular.JOB),
        (("--data", "digits.npz"), images.JOB),
    ],
)
def test_a_model_to_edit_is_the_shipped_one(here, words, shipped) -> None:
    name = f"edited_{shipped.data.__class__.__name__.lower()}.py"
    assert new(name, *words, "--with-trainable").exit_code == 0
    check_style(name)

    job = find_job(str(here / name)).job
    assert job.trainable.__module__ != shipped.trainable.__module__
    constants = job.constants(job.load_data())
    for config in extremes(job.space)[:1]:
        sizes = [
            sys.modules[each.trainable.__module__].build({**config, **constants}).count_params()
            for each in (job, shipped)
        ]
        assert sizes[0] == sizes[1] > 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("mine", "--data", "shop's.csv"), "the job's file must end in .py, got 'mine'"),
        (("mine.py", "--data", "shop.csv", "--target", "a"), 'did you mean "shop\'s.csv"'),
        (("mine.py", "--data", "s3://shop/s.csv", "--target", "a"), "no file 's3://shop/s.csv'"),
        (("mine.py", "--data", "shop's.csv"), "--target is missing: the column of shop's.csv"),
        (("mine.py", "--data", "digits.npz", "--target", "a"), "--target does not apply"),
        (
            ("mine.py", "--data", "digits.npz", "--trainable", "tabular_mpl"),
            "no trainable 'tabular_mpl'; did you mean 'tabular_mlp'",
        ),
        (
            ("mine.py", "--data", "shop's.csv", "--trainable", "image_cnn"),
            "--data shop's.csv: image_cnn takes .npz",
        ),
        (("there.py", "--data", "digits.npz"), "there.py exists; add --force to overwrite it"),
    ],
)
def test_what_does_not_go_together_is_refused(here, words, message) -> None:
    (here / "there.py").write_text("x = 1\n")
    ran = new(*words)

    assert ran.exit_code == 2
    assert message in ran.stderr
    assert not (here / "mine.py").exists()
    assert (here / "there.py").read_text() == "x = 1\n"
