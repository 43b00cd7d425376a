"""A rehearsal of a job whose models are arithmetic: two processes, and no Keras in either."""

from dataclasses import replace

import pytest

from tune_jobs.engine import JobError, Profile, open_experiment, run
from tune_jobs.engine.job.modules import find_job
from tune_jobs.engine.runs import rehearsal

JOB = """
import json
import os
import pathlib

from ray import tune
from ray.tune import report

from tune_jobs.engine import Job


class Model:
    def __init__(self, weight):
        self.weight = weight

    def predict(self, x):
        return x * self.weight


def build(config):
    return Model(config["weight"])


def export(build, config, checkpoint, preprocessing, path):
    EXPORT
    pathlib.Path(path).write_text(json.dumps(build(config).weight))


def load(path):
    content = json.loads(pathlib.Path(path).read_text())
    if isinstance(content, dict) and content["pid"] != os.getpid():
        raise LookupError("known there alone")
    return Model(content)


def predict(model, inputs):
    return model.predict(inputs)


def train(config, data):
    TRAIN
    return build(config)


JOB = Job(train, {"weight": tune.uniform(1, 2)}, metric="loss", finalists=None)
"""


@pytest.fixture
def rehearse(tmp_path):
    def rehearse(train='tune.report({"loss": 1.0, "accuracy": 0.5})', export="pass"):
        path = tmp_path / "arithmetic_job.py"
        path.write_text(JOB.replace("TRAIN", train).replace("EXPORT", export))
        with rehearsal.rehearsing(find_job(str(path)).job, None) as rehearsed:
            return rehearsed()

    return rehearse


def test_a_model_is_trained_saved_and_read_in_a_fresh_process(rehearse) -> None:
    assert rehearse() == (
        "one batch trained, saved and read in a fresh process; reports accuracy, loss"
    )


def test_what_a_trainable_reports_itself_is_compared_with_the_metric(rehearse) -> None:
    with pytest.raises(JobError) as caught:
        rehearse('tune.report({"los": 1.0, "accuracy": 0.5})')

    assert str(caught.value) == (
        "metric 'loss' is reported by neither the model nor a scorer; did you mean 'los'? "
        "Reported: accuracy, los"
    )


def test_a_run_is_refused_before_its_first_trial_if_the_model_lacks_the_metric(
    local_ray, tmp_path
) -> None:
    path = tmp_path / "job_without_metric.py"
    train = 'tune.report({"los": 1.0})'
    path.write_text(JOB.replace("TRAIN", train).replace("EXPORT", "pass"))
    job = replace(find_job(str(path)).job, metric="accuracy")
    with pytest.raises(JobError, match="metric 'accuracy' is reported by neither the model nor a"):
        run(job, profile=Profile(storage=str(tmp_path)), name="x", listeners=[])

    assert not (tmp_path / "x").exists() or not open_experiment(str(tmp_path / "x")).exists


@pytest.mark.parametrize(
    "train", ['raise KeyError("units")', "os._exit(3)", 'tune.report({"accuracy": 1.0})', "pass"]
)
def test_before_a_run_only_the_metric_is_refused(train, tmp_path) -> None:
    path = tmp_path / "arithmetic_job.py"
    path.write_text(JOB.replace("TRAIN", train).replace("EXPORT", "pass"))

    rehearsal.refuse_unreported(replace(find_job(str(path)).job, metric="accuracy"), None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": 'raise KeyError("units")'}, "cannot be trained: KeyError: 'units'"),
        ({"train": "raise SystemExit(0)"}, "cannot be trained: SystemExit: 0"),
        ({"export": 'raise OSError("no space")'}, "cannot be saved: OSError: no space"),
        (
            {"export": 'pathlib.Path(path).write_text("{"); return'},
            "cannot be read from its file: JSONDecodeError: Expecting property name",
        ),
    ],
)
def test_the_first_step_that_fails_is_named(rehearse, changes, message) -> None:
    with pytest.raises(JobError) as caught:
        rehearse(**changes)

    assert str(caught.value).startswith(f"the smallest model {message}")
    assert "\n" not in str(caught.value)


def test_a_file_that_only_its_own_process_can_read_is_refused(rehearse) -> None:
    only_here = 'pathlib.Path(path).write_text(json.dumps({"pid": os.getpid()})); return'
    with pytest.raises(JobError, match="in a fresh process: LookupError: known there alone"):
        rehearse(export=only_here)


def test_a_process_that_dies_is_one_line(rehearse) -> None:
    with pytest.raises(JobError, match=r"ends the process that tries it \(exit code 3\)"):
        rehearse("os._exit(3)")


def test_what_takes_too_long_proves_nothing_and_is_no_error(rehearse, monkeypatch) -> None:
    monkeypatch.setattr(rehearsal, "LIMIT", 0.0)

    said = "not finished in 0 s, as on a busy machine: a run may still fail at its end"
    assert rehearse() == said


def test_relative_files_of_a_trainable_lie_nowhere(rehearse, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    rehearse('pathlib.Path("log.csv").touch(); tune.report({"loss": 1.0})')

    assert [path.name for path in tmp_path.iterdir()] == ["arithmetic_job.py"]


def test_a_trainable_without_build_is_not_rehearsed() -> None:
    job = find_job("breast_cancer_tpe").job
    with rehearsal.rehearsing(job.__class__(len, {"x": 1}, finalists=None), None) as rehearsed:
        assert rehearsed().startswith("not done: builtins has no function 'build'")
