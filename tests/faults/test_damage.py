"""Every file of an experiment in turn is damaged: what was finished is still there, once."""

import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from ray import cloudpickle, tune

from tune_jobs.engine import ASHA, TPE, Experiment, Job, JobError, Profile, open_experiment, run
from tune_jobs.engine.experiments.history.records import Event, TrialEnd
from tune_jobs.engine.experiments.written import is_of_a_run, is_of_checkpoints
from tune_jobs.engine.storage.folder import open_folder

cloudpickle.register_pickle_by_value(sys.modules[__name__])
DAMAGES = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "emptied": lambda path: path.write_bytes(b""),
    "deleted": lambda path: path.unlink(),
    "random": lambda path: path.write_bytes(os.urandom(300)),
    "future": lambda path: os.utime(path, (4e9, 4e9)),
}
TOLD = ["trial", "state", "config", "value", "best_epoch", "epochs"]


def train(config: dict, data: object) -> None:
    import pathlib
    import tempfile

    start = 0
    if checkpoint := tune.get_checkpoint():
        with checkpoint.as_directory() as folder:
            start = int(pathlib.Path(folder, "epoch").read_text() or 0)
    for epoch in range(start + 1, config["max_epochs"] + 1):
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "epoch").write_text(str(epoch))
            checkpoint = tune.Checkpoint.from_directory(folder)
            tune.report({"loss": config["x"] + 1 / epoch}, checkpoint=checkpoint)


JOB = Job(
    train,
    {"x": tune.uniform(0, 1)},
    metric="loss",
    searcher=TPE(n_initial_points=2),
    scheduler=ASHA(),
    num_samples=4,
    max_epochs=4,
    finalists=None,
)


@pytest.fixture(scope="module")
def experiments(local_ray, tmp_path_factory) -> dict[str, Path]:
    """One experiment that came to its end, and what its driver leaves if it dies in the middle."""
    place = tmp_path_factory.mktemp("results")

    def keep(record: Event | None) -> None:
        if isinstance(record, TrialEnd) and record.trial == 3:
            shutil.copytree(place / "ended", place / "died")

    profile = Profile(storage=str(place), max_concurrent_trials=1)
    run(JOB, profile=profile, name="ended", listeners=[keep])
    return {"ended": place / "ended", "died": place / "died"}


def finished(experiment: Experiment) -> list:
    trials = experiment.trials
    done = trials[trials["state"].isin(["complete", "stopped"])]
    return done[TOLD].to_dict("records")


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("name", ["ended", "died"])
def test_any_one_file_may_be_damaged(experiments, tmp_path, name, damage) -> None:
    before = finished(open_experiment(str(experiments[name])))
    assert len(before) == {"ended": 4, "died": 3}[name]
    files = sorted(p.relative_to(experiments[name]) for p in experiments[name].rglob("*"))
    for number, file in enumerate(files):
        if not (experiments[name] / file).is_file():
            continue
        copy = shutil.copytree(experiments[name], tmp_path / str(number))
        damage(copy / file)
        assert finished(open_experiment(str(copy))) == before, file


@pytest.mark.slow
def test_a_search_goes_on_whatever_file_is_damaged(experiments, tmp_path) -> None:
    whole = finished(open_experiment(str(experiments["ended"])))
    profile = Profile(storage=str(tmp_path), max_concurrent_trials=1)
    files = sorted(p.relative_to(experiments["died"]) for p in experiments["died"].rglob("*"))
    files = [file for file in files if (experiments["died"] / file).is_file()]
    for number, file in enumerate(files):
        copy = shutil.copytree(experiments["died"], tmp_path / str(number))
        name, damage = list(DAMAGES.items())[number % len(DAMAGES)]
        damage(copy / file)
        resumed = run(JOB, profile=profile, name=copy.name, resume=True, listeners=[])
        assert resumed.exit_code in (0, 3), (file, name)
        again = finished(resumed)
        assert again[:3] == whole[:3], (file, name)
        assert len(resumed.trials) == 4


def test_every_file_that_a_run_writes_is_known_as_one(experiments) -> None:
    for place in experiments.values():
        files = open_folder(place).list_files()
        others = [path for path in files if not is_of_a_run(path)]
        assert [path for path in others if not path.startswith("lease/")] == []  # it goes by itself
        checkpoints = [path for path in files if is_of_checkpoints(path)]
        assert any("/checkpoint_" in path for path in checkpoints)
        assert all(path.startswith("trials/") for path in checkpoints)


def test_what_is_no_experiment_says_so(tmp_path) -> None:
    (tmp_path / "experiment.json").write_bytes(b"\\x00")
    with pytest.raises(JobError, match=r"neither experiment.json nor the history can be read"):
        _ = open_experiment(str(tmp_path)).trials


def test_a_clock_that_is_set_back_changes_nothing(experiments, tmp_path, monkeypatch) -> None:
    import time

    whole = finished(open_experiment(str(experiments["ended"])))
    copy = shutil.copytree(experiments["died"], tmp_path / "died")
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() - 1e6)
    profile = Profile(storage=str(tmp_path), max_concurrent_trials=1)
    resumed = run(JOB, profile=profile, name=copy.name, resume=True, listeners=[])

    assert finished(resumed) == whole
    assert replace(JOB) == JOB
