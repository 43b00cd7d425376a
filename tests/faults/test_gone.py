"""Storage that is moved or deleted while a run writes it ends the run with 8 and a right line."""

import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from ray import cloudpickle, tune

from tests.faults import arithmetic
from tune_jobs.engine import JobError, Profile, open_experiment, run
from tune_jobs.engine.deadline import NO_DEADLINE, Timing
from tune_jobs.engine.experiments.history.records import Event, Finish, TrialEnd
from tune_jobs.engine.experiments.lease import leased
from tune_jobs.engine.runs.phases import Run
from tune_jobs.engine.storage.folder import open_folder
from tune_jobs.engine.trials.interruption import Interruption

cloudpickle.register_pickle_by_value(sys.modules[__name__])
pytestmark = pytest.mark.usefixtures("local_ray")


def train(config: dict, data: object) -> None:
    import pathlib
    import tempfile

    for epoch in range(1, config["max_epochs"] + 1):
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "weights").write_text("w")
            checkpoint = tune.Checkpoint.from_directory(folder)
            tune.report({"loss": config["x"] + 1 / epoch}, checkpoint=checkpoint)


JOB = replace(arithmetic.JOB, trainable=train)

# What happens to the storage, in the folder that holds it.
HOW: dict[str, Callable[[Path], object]] = {
    "storage moved": lambda place: (place / "results").rename(place / "moved"),
    "storage deleted": lambda place: shutil.rmtree(place / "results"),
    "experiment moved": lambda place: (place / "results/test").rename(place / "results/moved"),
    "experiment deleted": lambda place: shutil.rmtree(place / "results" / "test"),
}
WHEN: dict[str, tuple[int, Callable[[Event | None], bool]]] = {
    "after a trial": (2, lambda event: isinstance(event, TrialEnd)),
    "at the end of the search": (1, lambda event: isinstance(event, Finish)),
    "in the finals": (5, lambda event: isinstance(event, TrialEnd)),
    "at the end of the finals": (2, lambda event: isinstance(event, Finish)),
}


# Each way and each moment once in the usual suite, all of their pairs in the slow one.
PAIRS = [
    pytest.param(how, when, marks=() if place == number else pytest.mark.slow)
    for place, how in enumerate(HOW)
    for number, when in enumerate(WHEN)
]


@pytest.mark.parametrize(("how", "when"), PAIRS)
def test_a_run_whose_storage_is_gone_says_so(tmp_path, how, when) -> None:
    nth, is_moment = WHEN[when]
    seen: list[Event] = []

    def take_away(event: Event | None) -> None:
        if is_moment(event):
            seen.append(event)
            if len(seen) == nth:
                HOW[how](tmp_path)

    place = tmp_path / "results"
    profile = Profile(storage=str(place), max_concurrent_trials=1)
    with pytest.raises(JobError) as caught:
        run(JOB, profile=profile, name="test", listeners=[take_away])

    assert len(seen) >= nth
    assert caught.value.exit_code == 8
    assert str(caught.value) == (
        f"storage failed: {place}/test is gone: it was moved or deleted during the run; "
        "put it back and continue with --name test --resume"
    )
    for moved in [*tmp_path.glob("moved/test"), *place.glob("moved")]:
        shutil.rmtree(place / "test", ignore_errors=True)  # what Ray has written since
        place.mkdir(exist_ok=True)
        moved.rename(place / "test")
        found = run(JOB, profile=profile, name="test", resume=True, listeners=[])
        assert found.exit_code == 0
        assert found.problems == []
        assert open_experiment(str(place / "test")).trials["trial"].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("is_gone", [True, False])
def test_a_failure_says_whether_storage_is_gone(tmp_path, is_gone) -> None:
    folder = open_folder(tmp_path / "results" / "test")
    with leased(folder) as lease:
        started = Run(
            profile=Profile(),
            folder=folder.fenced(lease),
            timing=Timing(0.0, NO_DEADLINE, spent=0.0),
            lease=lease,
            interruption=Interruption(),
            listeners=[],
        )
        folder.write("summary.json", b"{")
        expected = "test is gone: it was moved or deleted" if is_gone else "summary.json is odd"
        with pytest.raises(JobError, match=expected) as caught, started.recorded():
            if is_gone:
                shutil.rmtree(tmp_path / "results")
            raise JobError("summary.json is odd")

    assert caught.value.exit_code == (8 if is_gone else 2)
    assert (tmp_path / "results").exists() != is_gone
