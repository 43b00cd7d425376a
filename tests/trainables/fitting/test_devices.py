"""GPUs as far as a machine without one can tell: shares, and fits on two devices of one CPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from trainables.fitting.devices import (
    has_no_gpu,
    make_strategy,
    memory_limit,
    prepare_gpus,
    reserved_gpus,
    total_memory,
)


def run(name, *arguments, **environment):
    """Run a script that lies beside this file, and return what it prints last."""
    script = Path(__file__).with_name(name)
    ran = subprocess.run(
        [sys.executable, str(script), *arguments],
        capture_output=True,
        text=True,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"} | environment,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    return json.loads(ran.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def fits(tmp_path_factory):
    return run("on_two_devices.py", "compare", str(tmp_path_factory.mktemp("fits")))


def test_two_devices_have_the_losses_of_one(fits):
    assert fits["devices"] == 2
    for name, values in fits["one"].items():
        np.testing.assert_allclose(fits["two"][name], values, rtol=1e-4, err_msg=name)


def test_the_best_epochs_weights_are_kept_on_two_devices(fits):
    assert min(fits["two"]["val_loss"]) < fits["two"]["val_loss"][-1]
    np.testing.assert_allclose(fits["scores"][1], fits["scores"][0], rtol=1e-4)


def test_a_batch_that_cannot_be_divided_evenly_is_refused(fits):
    assert fits["refused"].startswith("batch_size is 15, but must be a multiple of 2")


@pytest.mark.slow
def test_rows_that_cannot_be_divided_evenly_leave_no_device_with_an_empty_batch(tmp_path):
    history = run("on_two_devices.py", "uneven", str(tmp_path))

    assert history.keys() >= {"loss", "val_loss", "val_brier"}
    assert np.isfinite(list(history.values())).all()


@pytest.fixture(scope="module")
def resumption(tmp_path_factory):
    return run("on_two_devices.py", "resume", str(tmp_path_factory.mktemp("fits")))


@pytest.mark.slow
def test_a_fit_on_two_devices_goes_on_as_if_it_had_never_stopped(resumption):
    for row in (*resumption["whole"], *resumption["resumed"]):
        del row["seconds"]

    assert [row["epoch"] for row in resumption["whole"]] == [1, 2, 3]
    assert resumption["resumed"] == resumption["whole"]


@pytest.mark.slow
def test_a_message_says_over_how_many_devices_the_model_is_mirrored(resumption):
    assert resumption["path"] == "model.fit: MirroredStrategy over 2 devices"


@pytest.mark.slow
def test_the_best_model_of_two_devices_scores_on_one_what_was_reported(resumption):
    best = min(row["val_loss"] for row in resumption["whole"])

    assert resumption["exported"] == pytest.approx(best, rel=1e-4)


def test_a_share_of_a_gpu_leaves_room_for_the_cuda_context():
    assert memory_limit(0.25, 81_920) == 20_480 - 1536
    assert memory_limit(0.5, 4096) == 1536


@pytest.fixture
def nvidia_smi(tmp_path, monkeypatch):
    """Writes a program of that name, the only one on the path."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def write(lines):
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\n{lines}\n")
        program.chmod(0o755)

    return write


def test_the_memory_is_that_of_the_first_visible_gpu(nvidia_smi, monkeypatch):
    nvidia_smi('[ "$1" = --id=3 ] && [ "$2" = --query-gpu=memory.total ] && echo 24576')
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")

    assert total_memory() == 24_576


@pytest.mark.parametrize("lines", ["exit 6", "echo '[N/A]'", "true"])
def test_a_gpu_that_the_driver_does_not_know_has_no_known_memory(nvidia_smi, lines):
    nvidia_smi(lines)

    assert total_memory() is None


def test_without_the_driver_the_memory_is_not_known(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))

    assert total_memory() is None


def test_outside_a_worker_no_device_is_touched():
    prepare_gpus()

    assert reserved_gpus() is None
    assert make_strategy() is None


@pytest.mark.parametrize(
    ("gpus", "visible", "expected"),
    [("0", "0,1", True), ("0.25", "", False), ("4", "0", False), (None, "", True)],
)
def test_a_worker_starts_tensorflow_ahead_only_where_trials_have_no_gpu(
    monkeypatch, gpus, visible, expected
):
    monkeypatch.delenv("TUNE_JOBS_GPUS_PER_TRIAL", raising=False)
    if gpus is not None:
        monkeypatch.setenv("TUNE_JOBS_GPUS_PER_TRIAL", gpus)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    assert has_no_gpu() is expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("gpus", "visible", "started"), [(0.25, 1, False), (2, 2, False), (0, 0, True)]
)
def test_tensorflow_starts_only_when_ray_has_chosen_a_trials_gpus(gpus, visible, started):
    folder = Path(__file__).parent
    paths = os.pathsep.join([str(folder), str(folder.parents[2])])
    wanted = {"TUNE_JOBS_GPUS_PER_TRIAL": f"{gpus:g}", "PYTHONPATH": paths}
    trials = run("on_logical_gpus.py", str(gpus), **wanted)

    assert len(trials) == 4
    for trial in trials:
        assert trial["reserved"] == gpus
        assert len([gpu for gpu in trial["visible"].split(",") if gpu]) == visible
        assert trial["started"] is started or trial["is_reused"]
