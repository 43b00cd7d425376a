"""What workers import: modules beside a script come along; one that is missing is said once."""

import os
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest

from tune_jobs.engine import Job, JobError, Profile, open_experiment, run
from tune_jobs.engine.cluster.connection import ray_of

ROOT = Path(__file__).parents[2]

MODEL = """
from ray import tune
from tune_jobs.engine import Job

def preload():
    raise RuntimeError("a worker starts without it")

def train(config, data):
    for epoch in range(3):
        tune.report({"loss": config["x"] + epoch})

JOB = Job(train, {"x": tune.uniform(0, 1)}, metric="loss", num_samples=2, finalists=None)
"""
SCRIPT = """
from mymodel import JOB
from tune_jobs.engine import Profile, run

run(JOB, profile=Profile(storage="out"), name="x", listeners=[])
"""


PACKAGE = "tune-jobs run mine.search --name x --storage out"


@pytest.mark.parametrize("command", ["python code/script.py", PACKAGE])
def test_a_model_beside_a_script_or_in_a_package_is_imported_by_workers(tmp_path, command) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code/mymodel.py").write_text(MODEL)
    (tmp_path / "code/script.py").write_text(SCRIPT)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/__init__.py").touch()
    (tmp_path / "mine/model.py").write_text(MODEL)
    (tmp_path / "mine/search.py").write_text("from .model import JOB")

    ran = shell(tmp_path, command, timeout=90)

    assert ran.returncode == 0, ran.stdout + ran.stderr
    result = open_experiment(tmp_path / "out/x")
    assert result.summary.outcome == "complete"
    assert set(result.trials["state"]) == {"complete"}


@pytest.fixture
def only_here(tmp_path, monkeypatch) -> Job:
    """The job of a module that this process can import, and the workers of its Ray cannot."""
    (tmp_path / "only_here.py").write_text(MODEL)
    with ray_of(Profile(), []):  # a Ray that starts later would know the path
        monkeypatch.syspath_prepend(str(tmp_path))
        yield import_module("only_here").JOB
    del sys.modules["only_here"]


def test_a_module_that_workers_cannot_import_is_the_jobs_mistake(only_here, tmp_path) -> None:
    profile = Profile(storage=str(tmp_path / "out"))

    with pytest.raises(
        JobError, match="workers cannot import the trainable: ModuleNotFoundError: "
    ):
        run(replace(only_here, num_samples=20), profile=profile, name="x", listeners=[])

    result = open_experiment(tmp_path / "out/x")
    assert result.exit_code == 2
    assert "No module named 'only_here'" in result.summary.error
    assert not (result.trials["state"] == "failed").any()


KERAS = """
import keras
from ray import tune

from tune_jobs.engine import Job, Profile, TPE, run, table
from trainables.export import export, load, predict
from trainables.fitting import fit
from trainables.layers import features, make_inputs
from trainables.preload import preload

{layer}

def build(config):
    import keras

    inputs = make_inputs(config)
    x = features(inputs, config)
    x = keras.layers.Dense(config["units"], activation="relu")(x)
    {beside}
    x = keras.layers.Dense(1, activation="sigmoid")(x)
    model = keras.Model(inputs, x)
    model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
    return model


def train(config, data):
    return fit(build, config, data)


JOB = Job(
    train,
    {{"units": tune.choice([8, 16])}},
    data=table("data.csv", target="y"),
    searcher=TPE(),
    num_samples=2,
    max_epochs=2,
    finalists=None,
)
"""
LAYER = """
import keras

@keras.saving.register_keras_serializable("mine")
class {name}(keras.layers.Layer):
    def call(self, x):
        return 2.0 * x
"""
BESIDE = "from layers_beside import Triple; x = Triple()(Double()(x))"
RUN = 'print(run(JOB, profile=Profile(storage="out"), name="x", listeners=[]).best_model().name)'


def shell(folder: Path, command: str, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    program, *words = command.split()
    return subprocess.run(
        [str(Path(sys.executable).parent / program), *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@pytest.fixture
def project(tmp_path) -> Path:
    """A folder with data, a script with everything in it, and a job with layers of its own."""
    lines = [f"{x},{x * 7 % 5},{'yes' if x > 200 else 'no'}" for x in range(400)]
    (tmp_path / "data.csv").write_text("\n".join(["a,b,y", *lines]))
    (tmp_path / "script.py").write_text(KERAS.format(layer="", beside="") + RUN)
    own = KERAS.format(layer=LAYER.format(name="Double"), beside=BESIDE)
    (tmp_path / "job.py").write_text(own)
    (tmp_path / "layers_beside.py").write_text(LAYER.format(name="Triple"))
    (tmp_path / "elsewhere").mkdir()
    return tmp_path


@pytest.mark.slow
def test_what_a_script_has_made_predicts_from_any_folder(project) -> None:
    ran = shell(project, "python script.py")
    assert ran.returncode == 0, ran.stdout + ran.stderr

    predicted = shell(project / "elsewhere", "tune-jobs predict ../out/x ../data.csv p.csv")

    assert predicted.returncode == 0, predicted.stderr
    assert len((project / "elsewhere/p.csv").read_text().splitlines()) == 401


@pytest.mark.slow
def test_layers_in_a_job_file_and_beside_it_travel_with_the_job(project) -> None:
    ran = shell(project, "tune-jobs run job.py --name x --storage out")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    about = open_experiment(project / "out/x")
    assert about.summary.test["accuracy"] > 0
    assert about.description.modules["layers_beside"] == str(project / "layers_beside.py")

    predict = "tune-jobs predict ../out/x ../data.csv p.csv"
    refused = shell(project / "elsewhere", predict)
    predicted = shell(project / "elsewhere", f"{predict} --trust ../job.py")

    assert refused.returncode == 2
    assert "best.keras needs 'mine>" in refused.stderr
    assert predicted.returncode == 0, predicted.stderr
    assert len((project / "elsewhere/p.csv").read_text().splitlines()) == 401
