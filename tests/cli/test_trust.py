"""No command runs code, or reads pickles, because a results folder says so."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result
from sklearn.datasets import load_wine

from tune_jobs.cli.again import command_of
from tune_jobs.cli.main import main
from tune_jobs.engine import JobError, open_experiment

ROOT = Path(__file__).parents[2]
FIXTURE = ROOT / "tests" / "fixtures" / "experiment_0_1"

# Code that notes that it has run.
PAYLOAD = """
import pathlib

pathlib.Path("ran").touch()


def train(config, data): ...
def build(config): ...
def export(*arguments): ...
def load(path): return path
def predict(model, inputs): ...
"""


class Attack:
    """An object that leaves a mark when it is unpickled."""

    def __reduce__(self) -> tuple:
        return Path.touch, (Path("ran"),)


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A folder with rows to predict, and a storage with an experiment that a stranger has made."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    load_wine(as_frame=True).data.head(3).to_csv("rows.csv", index=False)
    shutil.copytree(FIXTURE, "results/evil")
    Path("results/evil/payload.py").write_text(PAYLOAD)
    return tmp_path


def claim(**facts: object) -> None:
    """Let the stranger's experiment.json, and the copy in its history, say something."""
    path = Path("results/evil/experiment.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))


def invoke(*words: str) -> Result:
    return CliRunner().invoke(main, words, catch_exceptions=False)


def check_refused(ran: Result, message: str) -> None:
    assert ran.exit_code == 2, ran.output
    assert ran.stderr.startswith("error: ")
    assert ran.stderr.count("\n") == 1
    assert message in ran.stderr
    assert not Path("ran").exists()


PREDICT = ("predict", "results/evil", "rows.csv", "out.csv")
EXPORT = ("export", "results/evil", "model.keras")


@pytest.mark.parametrize("name", ["results.evil.payload.train", "evil.payload.train", "payload.x"])
def test_a_module_that_a_results_folder_names_is_never_imported(here, monkeypatch, name) -> None:
    monkeypatch.syspath_prepend(str(here / "results"))
    monkeypatch.syspath_prepend(str(here / "results/evil"))
    claim(trainable=name)

    ran = invoke(*PREDICT)

    assert ran.exit_code == 0, ran.output  # its file holds nothing but Keras' own layers
    assert not Path("ran").exists()
    Path("results/evil/best.keras").unlink()
    for checkpoint in open_experiment("results/evil").epochs["checkpoint"].dropna():
        Path("results/evil", checkpoint).mkdir(parents=True, exist_ok=True)
    check_refused(invoke(*EXPORT), "add --trust JOB")


def test_a_model_file_is_never_unpickled(here) -> None:
    claim(trainable="joblib.train")
    Path("results/evil/best.keras").write_bytes(pickle.dumps(Attack()))

    check_refused(invoke(*PREDICT), "best.keras is not a Keras model")
    check_refused(invoke(*EXPORT), "best.keras is not a Keras model")
    with pytest.raises(JobError, match=r"best\.keras is not a Keras model"):
        open_experiment("results/evil").best_model()
    assert not Path("ran").exists()


def test_what_a_script_has_made_is_predicted_from_any_folder(here) -> None:
    claim(trainable="__main__.train")

    ran = invoke(*PREDICT)

    assert ran.exit_code == 0, ran.output
    assert len(pd.read_csv("out.csv")) == 3


LINKED = "linked/payload.py"
JOBS = ["results/evil/payload.py", "results.evil.payload", "evil.payload", LINKED]


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize(
    "words", [("run", "--name", "evil", "--resume"), ("retest", "evil")], ids=lambda words: words[0]
)
def test_a_job_below_the_storage_is_not_run_because_its_experiment_names_it(
    here, monkeypatch, words, job
) -> None:
    monkeypatch.syspath_prepend(str(here / "results"))
    Path("linked").symlink_to("results/evil")
    claim(command={"job": job})

    check_refused(invoke(*words), "lies below the results and is not used")


def test_a_profile_below_the_storage_is_not_used_because_its_experiment_names_it(here) -> None:
    Path("results/evil/profile.yaml").write_text("env: {PYTHONPATH: results/evil}")
    claim(command={"job": "breast_cancer_tpe", "profile": "results/evil/profile.yaml"})

    ran = invoke("run", "--name", "evil", "--resume")

    check_refused(ran, "'results/evil/profile.yaml', the profile of evil, lies below")


def test_a_command_without_a_job_says_which_file_it_runs(here) -> None:
    Path("mine.py").write_text("import pathlib\npathlib.Path('begun').touch()\nJOB = 3\n")
    claim(command={"job": "mine.py"})

    for words in (("run", "--name", "evil", "--resume"), ("retest", "evil")):
        ran = invoke(*words)
        assert ran.stderr.splitlines()[0] == f"job: {here / 'mine.py'}"
        assert Path("begun").exists()


OWN = """
import json
import pathlib

import numpy as np
from ray import tune

from tune_jobs.engine import Job


def train(config, data): ...
def load(path): return json.loads(pathlib.Path(path).read_text())
def predict(model, inputs):
    rows = len(next(iter(inputs.values())))
    return np.tile(np.array(model["says"]), (rows, 1))


JOB = Job(train, {"x": tune.uniform(0, 1)}, metric="loss")
"""


def test_functions_of_a_job_read_a_model_if_the_user_names_it(here) -> None:
    Path("mine.py").write_text(OWN)
    claim(trainable="mine.train")
    Path("results/evil/best.keras").write_text('{"says": [0.1, 0.7, 0.2]}')

    check_refused(invoke(*PREDICT), "name it (tune-jobs: --trust JOB)")
    ran = invoke(*PREDICT, "--trust", "mine.py")

    assert ran.exit_code == 0, ran.output
    assert set(pd.read_csv("out.csv")["prediction"]) == {1}


def test_a_retest_needs_no_more_of_the_original_command_than_its_job(here) -> None:
    Path("mine.py").write_text(OWN)
    claim(command={"job": "mine.py"})

    ran = invoke("retest", "evil", "--resume")

    assert ran.exit_code == 2, ran.output
    assert "error: --resume needs --name" in ran.stderr


def test_not_even_the_user_can_name_code_in_the_folder_of_an_experiment(here) -> None:
    for job in ("results/evil/payload.py", "results.evil.payload"):
        check_refused(invoke(*PREDICT, "--trust", job), "named with --trust, lies below")


def test_code_that_came_with_any_results_is_not_trusted(here) -> None:
    Path("results/payload.py").write_text(PAYLOAD)
    shutil.copytree("results/evil", "elsewhere/friendly")
    Path("elsewhere/friendly/code/deep").mkdir(parents=True)
    Path("elsewhere/friendly/code/deep/payload.py").write_text(PAYLOAD)
    for job in ("results/payload.py", "elsewhere/friendly/code/deep/payload.py"):
        check_refused(invoke(*PREDICT, "--trust", job), "named with --trust, lies below")
    Path("loop.py").symlink_to("loop.py")
    check_refused(invoke(*PREDICT, "--trust", "loop.py"), "loop.py")


def test_a_job_in_another_experiment_is_not_run_with_results(here) -> None:
    job = "elsewhere/friendly/payload.py"
    shutil.copytree("results/evil", "elsewhere/friendly")

    for words in (
        ("run", job, "--name", "evil", "--resume"),
        ("run", job, "--name", "evil", "--extend", "3"),
        ("retest", "evil", "--job", job),
    ):
        check_refused(invoke(*words), "named in the command, lies below the results")
    claim(command={"job": job})
    for words in (("run", "--name", "evil", "--resume"), ("retest", "evil")):
        check_refused(invoke(*words), "the job of evil, lies below the results")


def test_the_working_directory_may_be_the_storage(here) -> None:
    shutil.move("results/evil", "mine")
    Path("mine.py").write_text(OWN)
    path = Path("mine/experiment.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"trainable": "mine.train"}))
    Path("mine/best.keras").write_text('{"says": [0.1, 0.7, 0.2]}')

    ran = invoke("predict", "./mine", "rows.csv", "out.csv", "--trust", "mine.py")

    assert ran.exit_code == 0, ran.output


def test_only_options_that_define_the_search_come_from_an_experiment(here, monkeypatch) -> None:
    claim(command={"job": "mine.py", "seed": 4, "track": ["mlflow=http://evil"], "storage": "x"})
    options = {"name": "evil", "resume": True, "storage": None, "profile": None, "track": ()}

    job, asked = command_of(None, options)

    assert (job, asked) == ("mine.py", {**options, "seed": 4})


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ({"job": 5}, "has command.job 5, but must be a string"),
        ({"job": ["mine.py"]}, "has command.job ['mine.py'], but must be a string"),
        ({"job": "mine\0.py"}, "the job of evil, is no name of a file"),
        ({"job": "mine.py", "profile": "a\0.yaml"}, "the profile of evil, is no name of a file"),
        ({"job": "mine.py", "profile": ["laptop"]}, "has command.profile ['laptop'], but must"),
        ({"job": "mine.py", "seed": "3"}, "has command.seed '3', but must be a whole number"),
        ({"job": "mine.py", "ensemble": 1}, "has command.ensemble 1, but must be true or false"),
        ({"job": "mine.py", "sets": [{}]}, "has command.sets [{}], but must be a string"),
    ],
)
def test_a_command_of_other_types_is_one_line(here, command, message) -> None:
    claim(command=command)

    for words in (("run", "--name", "evil", "--resume"), ("retest", "evil")):
        check_refused(invoke(*words), message)


LAYERS = """
import keras

@keras.saving.register_keras_serializable("trusted")
class {name}(keras.layers.Layer):
    def call(self, x):
        return 2 * x
"""
JOB = (
    LAYERS.format(name="Double")
    + """
from ray import tune

from tune_jobs.engine import Job
from trainables.export import export, load, predict


def build(config):
    from layers_beside import Triple

    inputs = keras.Input((13,))
    outputs = keras.layers.Dense(3, activation="softmax")(Triple()(Double()(inputs)))
    return keras.Model(inputs, outputs)


def train(config, data): ...


JOB = Job(train, {"x": tune.uniform(0, 1)}, metric="loss")
"""
)
WRITE = """
import json, sys
from pathlib import Path
import layered
about = json.loads(Path("results/evil/experiment.json").read_text())
layered.export(layered.build, {}, None, about["preprocessing"], "results/evil/best.keras")
"""


def test_layers_of_a_job_and_beside_it_are_imported_if_the_user_names_the_job(here) -> None:
    Path("code").mkdir()
    Path("code/layers_beside.py").write_text(LAYERS.format(name="Triple"))
    Path("code/layered.py").write_text(JOB)
    paths = os.pathsep.join([str(ROOT), "code"])
    environment = {**os.environ, "PYTHONPATH": paths}
    subprocess.run([sys.executable, "-c", WRITE], check=True, env=environment)
    noted = str(here / "code/layers_beside.py")
    claim(trainable="layered.train", modules={"layers_beside": noted})

    check_refused(invoke(*PREDICT), "best.keras needs 'trusted>")
    check_refused(invoke(*PREDICT), f"(it was trained with {noted})")
    assert "layers_beside" not in sys.modules
    ran = invoke(*PREDICT, "--trust", "code/layered.py")

    assert ran.exit_code == 0, ran.output
    assert len(pd.read_csv("out.csv")) == 3
