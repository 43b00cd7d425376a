"""A run that was suspended wakes after another one took its experiment over: it writes nothing."""

import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from ray import cloudpickle

from tests.faults.arithmetic import JOB
from tune_jobs.engine import Profile, open_experiment, run
from tune_jobs.engine.experiments.history.records import Attempt, Event, Finish, TrialEnd
from tune_jobs.engine.experiments.history.segments import SegmentWriter
from tune_jobs.engine.experiments.lease import TakenError
from tune_jobs.engine.storage.folder import open_folder

cloudpickle.register_pickle_by_value(sys.modules[__name__])
pytestmark = pytest.mark.usefixtures("local_ray")

# What a successor has written; a run that lost the experiment touches none of it.
FILES = (
    *("summary.json", "verdict.json", "trials.parquet", "epochs.parquet", "best_config.json"),
    *("best.keras", "report.html", "report.png", "retest.json", "finalists/trials.parquet"),
)


def take_over(folder: Path, *, claim_returns: bool) -> None:
    """What another run does: remove the claim, write a later attempt, and all the files.

    Args:
        folder: the experiment.
        claim_returns: whether the suspended run writes its claim once more when it wakes, since it
            was suspended after it had looked whether it is there.
    """
    if not claim_returns:
        for claim in (folder / "lease").glob("*.json"):
            claim.unlink()
    writer = SegmentWriter(open_folder(folder))
    writer.append(Attempt(json.loads((folder / "experiment.json").read_text()), 4))
    writer.flush()
    for file in FILES:
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_bytes(b"of the successor")


def content(folder: Path) -> dict[str, bytes]:
    """What lies in an experiment, without claims and without what Ray writes."""
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    return {
        name: path.read_bytes()
        for name, path in files.items()
        if not name.startswith(("lease/", "trials/", "finalists/trials/"))
    }


def is_end(number: int) -> Callable[[Event | None], bool]:
    return lambda event: isinstance(event, TrialEnd) and event.trial == number


WHEN: dict[str, tuple[int, Callable[[Event | None], bool]]] = {
    "after a trial": (1, is_end(2)),
    "at the end of the search": (1, lambda event: isinstance(event, Finish)),
    "in the finals": (2, is_end(1)),
    "at the end of the finals": (2, lambda event: isinstance(event, Finish)),
}


# Each moment and each kind in the usual suite, all of their pairs in the slow one.
PAIRS = [
    pytest.param(when, returns, marks=() if returns == number % 2 else pytest.mark.slow)
    for number, when in enumerate(WHEN)
    for returns in (False, True)
]


@pytest.mark.parametrize(("when", "claim_returns"), PAIRS)
def test_a_run_that_lost_its_experiment_changes_nothing_and_says_so(
    tmp_path, when, claim_returns
) -> None:
    nth, is_moment = WHEN[when]
    seen: list[Event] = []
    left: dict[str, bytes] = {}

    def suspend(event: Event | None) -> None:
        if is_moment(event):
            seen.append(event)
            if len(seen) == nth:
                take_over(tmp_path / "test", claim_returns=claim_returns)
                left.update(content(tmp_path / "test"))

    profile = Profile(storage=str(tmp_path), max_concurrent_trials=1)
    with pytest.raises(TakenError, match="was taken over by another run") as caught:
        run(JOB, profile=profile, name="test", listeners=[suspend])

    assert left
    assert caught.value.exit_code == 10
    now = content(tmp_path / "test")
    own = {name for name in now.keys() - left.keys() if "/0001-" in f"/{name}"}
    assert {name: now[name] for name in now.keys() - own} == left


def test_a_driver_that_sleeps_while_another_one_finishes_ends_with_a_line(folder, drive) -> None:
    sleeper = drive("--num-samples", "12")
    for event in sleeper.events():
        if event["kind"] == "end" and event["trial"] == 3:
            break
    sleeper.process.send_signal(signal.SIGSTOP)
    place = folder / "results" / "test"
    for claim in (place / "lease").glob("*.json"):  # as if it were of a machine that is away
        claim.unlink()
    assert drive("--num-samples", "12", "--resume").end()["exit_code"] == 0
    before = content(place)

    sleeper.process.send_signal(signal.SIGCONT)
    assert sleeper.end() == {}

    assert sleeper.process.returncode == 10
    assert sleeper.errors[-1].startswith(f"error: {place} was taken over by another run")
    assert content(place) == before
    assert not (place / "lease").exists()
    found = open_experiment(str(place))
    assert (found.exit_code, found.problems, len(found.trials)) == (0, [], 12)
