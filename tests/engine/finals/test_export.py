"""The winner's model is made by the functions beside the trainable, in a worker."""

import json
import os
import pathlib
import sys
import tempfile
from dataclasses import replace

import numpy as np
import pytest
from ray import cloudpickle, tune

from tune_jobs.engine import Finalists, Job, JobError, Profile, run, table
from tune_jobs.engine.data.scoring.outputs import Meaning
from tune_jobs.engine.data.scoring.test_scores import score
from tune_jobs.engine.views.show import lines

cloudpickle.register_pickle_by_value(sys.modules[__name__])

DRIVER = os.getpid()


class Model:
    """What a trainable returns: a model that says the same of every row."""

    def __init__(self, config: dict, rows: int) -> None:
        self.config, self.rows = config, rows

    def predict(self, x: np.ndarray, verbose: int) -> np.ndarray:
        return np.full((len(x), 1), self.config["says"])


def train(config: dict, data: object) -> Model | None:
    for epoch in (1, 2, 3):
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "epoch").write_text(str(epoch))
            loss = abs(epoch - 2) + config["x"]
            row = {"loss": loss, "process": os.getpid()}
            tune.report(row, checkpoint=tune.Checkpoint.from_directory(folder))
    return Model(config, len(data.x_train)) if "says" in config else None


def build(config: dict) -> None: ...


def export(build, config, checkpoint, preprocessing, path) -> None:
    if checkpoint is None:
        models = [build(each) for each in config]
        facts = {name: models[0].config[name] for name in ("x", "epochs", "metric", "seed")}
        content = facts | {"rows": models[0].rows, "members": len(models)}
        content |= {"process": os.getpid()}
        pathlib.Path(path).write_text(json.dumps(content))
        return
    if config.get("broken"):
        raise RuntimeError("no such layer")
    epoch = (pathlib.Path(checkpoint) / "epoch").read_text()
    content = {"epoch": epoch, "x": config["x"], "in_driver": os.getpid() == DRIVER}
    pathlib.Path(path).write_text(json.dumps(content))


def load(path: str) -> dict:
    return json.loads(pathlib.Path(path).read_text())


def predict(model: dict, inputs: dict) -> np.ndarray:
    return np.full((len(next(iter(inputs.values()))), 1), 0.5)


JOB = Job(
    train, {"x": tune.uniform(0, 1)}, metric="loss", num_samples=3, max_epochs=3, finalists=None
)


@pytest.fixture
def profile(local_ray, tmp_path) -> Profile:
    return Profile(storage=str(tmp_path))


def test_the_model_is_made_of_the_best_epoch_of_the_best_trial_in_a_worker(profile) -> None:
    job = replace(JOB, data=table("breast_cancer", target="malignant"))
    result = run(job, profile=profile, name="test", listeners=[])

    assert result.exit_code == 0
    assert result.best_model() == {"epoch": "2", "x": result.best_config["x"], "in_driver": False}
    assert result.summary.test["roc_auc"] == 0.5


def test_a_model_that_cannot_be_exported_costs_nothing_else(profile) -> None:
    job = replace(JOB, space={**JOB.space, "broken": True})
    result = run(job, profile=profile, name="test", listeners=[])

    assert result.exit_code == 1
    assert result.best_config["broken"]
    assert any(
        "model   none: " in line and "no such layer" in line for line in lines(result, short=True)
    )
    with pytest.raises(JobError, match=r"has no best\.keras"):
        result.best_model()


FINALS = replace(
    JOB,
    space={**JOB.space, "says": 0.5},
    data=table("breast_cancer", target="malignant"),
    finalists=Finalists(count=2, scores=2),
)


def test_the_winner_is_trained_on_all_rows_but_the_test_part(profile) -> None:
    job = replace(FINALS, finalists=Finalists(count=2, scores=2, ensemble=True))
    result = run(job, profile=profile, name="test", listeners=[])
    model = result.best_model()

    assert result.exit_code == 0
    assert model["rows"] == 569 - 114
    assert model["x"] == result.verdict.config["x"] == result.best_config["x"]
    assert model["epochs"] == result.verdict.epochs == 2
    assert model["metric"] == "loss"
    assert json.loads(result.folder.read("ensemble.keras"))["members"] == 2
    assert result.summary.ensemble.test == result.summary.test


def test_search_finals_and_export_run_in_the_same_processes(local_ray, tmp_path) -> None:
    profile = Profile(storage=str(tmp_path), max_concurrent_trials=1)
    result = run(FINALS, profile=profile, name="test", listeners=[])

    (searching,) = set(result.epochs["process"])
    assert set(result.finals.epochs["process"]) == {searching}
    assert result.best_model()["process"] == searching


def test_a_file_that_predicts_otherwise_than_the_trained_model_is_no_winner(profile) -> None:
    job = replace(FINALS, space={**FINALS.space, "says": 0.7})
    result = run(job, profile=profile, name="test", listeners=[])

    assert result.exit_code == 1
    assert "predictions differ from the trained model's by up to 0.2" in (result.summary.no_model)
    assert not result.folder.exists("best.keras")
    assert result.verdict.trial in (1, 2, 3)


def test_a_trainable_that_returns_no_model_is_exported_from_its_checkpoint(profile) -> None:
    job = replace(FINALS, space=JOB.space)
    result = run(job, profile=profile, name="test", listeners=[])
    assert result.exit_code == 0
    assert result.best_model() == {"epoch": "2", "x": result.best_config["x"], "in_driver": False}


BINARY, LABELS, NUMBER = Meaning("binary", 2), Meaning("binary", 2, 2), Meaning("regression")


def test_quantiles_have_no_score_of_the_first() -> None:
    with pytest.raises(JobError, match=r"shape \(3,\), but there is 1 number to predict"):
        score(NUMBER, np.array([1.0, 5.0]), np.ones((2, 3)))


@pytest.mark.parametrize(
    ("meaning", "truth", "outputs", "perfect"),
    [
        (BINARY, [0, 1, 1], [[0.0], [1.0], [1.0]], {"accuracy": 1, "roc_auc": 1, "log_loss": 0}),
        (BINARY, [0, 1, 1], np.eye(2)[[0, 1, 1]], {"accuracy": 1, "roc_auc": 1, "log_loss": 0}),
        (Meaning("multiclass", 3), [0, 2, 1], np.eye(3)[[0, 2, 1]], {"accuracy": 1, "log_loss": 0}),
        (
            Meaning("binary", 2, 2),
            [[0, 1], [1, 0]],
            [[0, 1], [1, 0]],
            {"accuracy": 1, "roc_auc": 1},
        ),
        (NUMBER, [1.0, 5.0], [[1.0], [5.0]], {"r2": 1, "mean_absolute_error": 0}),
        (replace(NUMBER, targets=2), [[1.0, 5.0], [2.0, 3.0]], [[1, 5], [2, 3]], {"r2": 1}),
    ],
)
def test_a_perfect_model_has_perfect_scores(meaning, truth, outputs, perfect) -> None:
    scores = score(meaning, np.array(truth), np.array(outputs, dtype="float32"))
    assert {name: scores[name] for name in perfect} == pytest.approx(perfect, abs=1e-6)
