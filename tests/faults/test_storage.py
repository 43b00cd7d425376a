"""Storage that is full or read-only in mid-run: the run ends with a line, and goes on later."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray import cloudpickle, tune

from tune_jobs.engine import Job, JobError, Profile, open_experiment, run
from tune_jobs.engine.experiments.history.records import Event, TrialEnd

cloudpickle.register_pickle_by_value(sys.modules[__name__])
pytestmark = pytest.mark.usefixtures("local_ray")


def train(config: dict, data: object) -> None:
    """Write a checkpoint of a quarter of a MiB each epoch."""
    import pathlib
    import tempfile

    for epoch in range(1, config["max_epochs"] + 1):
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "weights").write_bytes(bytes(2**18))
            checkpoint = tune.Checkpoint.from_directory(folder)
            tune.report({"loss": config["x"] + 1 / epoch}, checkpoint=checkpoint)


JOB = Job(
    train, {"x": tune.uniform(0, 1)}, metric="loss", num_samples=30, max_epochs=2, finalists=None
)


@pytest.fixture
def disk(tmp_path) -> Iterator[Path]:
    """A disk of 6 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(place)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a small disk needs root")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def remount(place: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(place)], check=True)


def search(place: Path, listener=None, min_free_gb: float = 0, **how: object):
    profile = Profile(storage=str(place), max_concurrent_trials=1, min_free_gb=min_free_gb)
    listeners = [listener] if listener else []
    return run(JOB, profile=profile, name="test", **how, listeners=listeners)


def finished(place: Path) -> list[int]:
    trials = open_experiment(str(place / "test")).trials
    return trials[trials["state"] == "complete"]["trial"].tolist()


def test_a_run_ends_before_its_disk_is_full(disk) -> None:
    result = search(disk, min_free_gb=2 / 1024)

    assert result.exit_code == 8
    assert "left, less than min_free_gb" in result.summary.error
    before = finished(disk)
    assert before
    remount(disk, "size=60m")
    assert search(disk, resume=True).exit_code == 0
    assert finished(disk) == list(range(1, 31))
    assert set(before) <= set(finished(disk))


def test_a_run_does_not_begin_on_a_full_disk(disk) -> None:
    with pytest.raises(JobError, match=r"has 0.01 GiB left, less than min_free_gb"):
        search(disk, min_free_gb=1)


def test_a_disk_that_is_full_corrupts_nothing(disk) -> None:
    try:
        assert search(disk).exit_code == 8
    except JobError as error:
        assert error.exit_code == 8
        assert str(error).startswith("storage failed: ")
        assert "results so far are kept" in str(error)

    before = finished(disk)
    assert before
    assert open_experiment(str(disk / "test")).problems == []
    remount(disk, "size=60m")
    assert search(disk, resume=True).exit_code == 0
    assert finished(disk) == list(range(1, 31))


def test_a_disk_that_becomes_read_only_loses_nothing(disk) -> None:
    remount(disk, "size=60m")

    def interrupt(record: Event | None) -> None:
        if isinstance(record, TrialEnd) and record.trial == 5:
            remount(disk, "ro")

    with pytest.raises(JobError, match="continue them later with --name test --resume") as caught:
        search(disk, interrupt)

    assert caught.value.exit_code == 8
    assert finished(disk) == [1, 2, 3, 4, 5]
    remount(disk, "rw")
    assert search(disk, resume=True).exit_code == 0
    assert finished(disk) == list(range(1, 31))
    assert open_experiment(str(disk / "test")).problems == []


def test_checkpoints_take_no_more_space_than_allowed(tmp_path) -> None:
    profile = Profile(storage=str(tmp_path), max_concurrent_trials=1, max_checkpoint_gb=2 / 1024)
    result = run(JOB, profile=profile, name="test", listeners=[])

    kept = {path.parent.name for path in (tmp_path / "test" / "trials").glob("*/checkpoint_*")}
    assert len(kept) <= 8
    best = result.trials.nsmallest(5, "value")["trial"]
    assert {f"{number:05d}" for number in best} <= kept
    assert result.folder.exists(result.best_checkpoint())
