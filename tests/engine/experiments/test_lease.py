"""The lease: one run writes an experiment, whoever else wants it, and however it ended."""

import json
import multiprocessing
import os
import pickle
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tune_jobs.engine.deadline import Deadline
from tune_jobs.engine.errors import StorageError
from tune_jobs.engine.experiments.claims import Facts
from tune_jobs.engine.experiments.history.records import Chosen
from tune_jobs.engine.experiments.history.segments import SegmentWriter
from tune_jobs.engine.experiments.holder import find_holder
from tune_jobs.engine.experiments.lease import Lease, TakenError, leased
from tune_jobs.engine.storage.folder import Folder, open_folder

BEAT = 0.2


def test_a_second_run_is_refused_until_the_first_has_ended(tmp_path) -> None:
    folder = open_folder(tmp_path / "e")
    with leased(folder, BEAT), pytest.raises(TakenError, match=f"process {os.getpid()} on"):
        Lease(folder, BEAT).acquire()
    with leased(folder, BEAT):
        pass
    assert not (tmp_path / "e").exists()


def _hold(place: str, start: float, results: multiprocessing.Queue) -> None:
    time.sleep(max(start - time.time(), 0))
    try:
        with leased(open_folder(place), BEAT):
            results.put("held")
            time.sleep(2)
    except TakenError:
        results.put("refused")


def test_of_many_at_the_same_instant_one_wins(tmp_path) -> None:
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    start = time.time() + 1
    runs = [
        context.Process(target=_hold, args=(str(tmp_path / "e"), start, results)) for _ in range(20)
    ]
    for run in runs:
        run.start()
    outcomes = [results.get(timeout=60) for _ in runs]
    for run in runs:
        run.join()

    assert outcomes.count("held") == 1


def _hold_often(place: str, results: multiprocessing.Queue) -> None:
    outcomes = set()
    for _ in range(100):
        try:
            with leased(open_folder(place), BEAT):
                outcomes.add("held")
        except TakenError:
            outcomes.add("refused")
        except Exception as error:  # noqa: BLE001  # whatever else it may be
            outcomes.add(repr(error))
    results.put(outcomes)


def test_one_that_comes_while_another_leaves_holds_it_or_is_refused(tmp_path) -> None:
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    runs = [
        context.Process(target=_hold_often, args=(str(tmp_path / "e"), results)) for _ in range(4)
    ]
    for run in runs:
        run.start()
    outcomes = set().union(*(results.get(timeout=120) for _ in runs))
    for run in runs:
        run.join()

    assert outcomes <= {"held", "refused"}
    assert not (tmp_path / "e").exists()


def test_a_run_that_was_killed_holds_nothing(tmp_path) -> None:
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    run = context.Process(target=_hold, args=(str(tmp_path), 0, results))
    run.start()
    assert results.get(timeout=60) == "held"
    run.kill()
    run.join()

    with leased(open_folder(tmp_path), BEAT):
        pass


def foreign(place: Path, **facts: object) -> Path:
    """A claim from another machine, whose process cannot be looked at."""
    claim = {"host": "elsewhere", "boot": "b", "pid": 1, "started": "1", "holds": True, "beats": 1}
    (place / "lease").mkdir()
    path = place / "lease" / "0.json"
    path.write_text(json.dumps(claim | facts))
    return path


def test_a_claim_of_another_machine_that_does_not_change_is_dead(tmp_path) -> None:
    path = foreign(tmp_path)
    os.utime(path, (4e9, 4e9))  # its clock says nothing

    with leased(open_folder(tmp_path), BEAT):
        assert not path.exists()


def test_a_claim_of_another_machine_that_changes_is_respected(tmp_path) -> None:
    path = foreign(tmp_path)
    beating = multiprocessing.get_context("fork").Process(target=_beat, args=(path,))
    beating.start()
    try:
        with pytest.raises(TakenError, match="process 1 on elsewhere"):
            Lease(open_folder(tmp_path), BEAT).acquire()
    finally:
        beating.kill()
        beating.join()


def _beat(path: Path) -> None:
    while True:
        claim = json.loads(path.read_text())
        path.with_suffix(".tmp").write_text(json.dumps(claim | {"beats": claim["beats"] + 1}))
        path.with_suffix(".tmp").rename(path)
        time.sleep(BEAT / 4)


def test_a_damaged_claim_is_removed(tmp_path) -> None:
    path = foreign(tmp_path)
    path.write_bytes(b"\\x00\\xff")

    with leased(open_folder(tmp_path), BEAT):
        assert not path.exists()


def test_a_holder_notices_that_it_was_taken_over(tmp_path) -> None:
    with leased(open_folder(tmp_path), BEAT) as lease:
        for path in (tmp_path / "lease").glob("*.json"):
            path.unlink()
        end = time.monotonic() + 30
        while not lease.is_lost and time.monotonic() < end:
            time.sleep(0.05)
        assert lease.is_lost


def remove_claims(place: Path) -> None:
    for path in (place / "lease").glob("*.json"):
        path.unlink()


def begin_later_attempt(place: Path) -> None:
    writer = SegmentWriter(open_folder(place))
    writer.append(Chosen(1))
    writer.flush()


def write_all(folder: Folder) -> list[Callable[[], object]]:
    """Everything that changes a folder."""
    return [
        lambda: folder.write("summary.json", b"late"),
        lambda: folder.write_json("summary.json", {"late": True}),
        lambda: folder.child("finalists").write("trials.parquet", b"late"),
        lambda: folder.delete("summary.json"),
        lambda: folder.delete_all(["summary.json"]),
        lambda: folder.child("finalists").delete_folder(),
        lambda: folder.child("more").create(),
        lambda: folder.delete_empty_folders(),
        lambda: SegmentWriter(folder),
    ]


@pytest.mark.parametrize("how", [remove_claims, begin_later_attempt])
@pytest.mark.parametrize("number", range(9))
def test_what_is_written_after_it_was_taken_over_is_refused(tmp_path, how, number) -> None:
    begin_later_attempt(tmp_path)
    (tmp_path / "summary.json").write_bytes(b"of the other")
    (tmp_path / "finalists" / "empty").mkdir(parents=True)
    with leased(open_folder(tmp_path), 600) as lease:
        folder = open_folder(tmp_path).fenced(lease)
        folder.write("before", b"")
        how(tmp_path)
        before = sorted(tmp_path.rglob("*"))

        with pytest.raises(TakenError, match="was taken over by another run") as caught:
            write_all(folder)[number]()

        assert caught.value.exit_code == 10
        assert sorted(tmp_path.rglob("*")) == before
        assert (tmp_path / "summary.json").read_bytes() == b"of the other"


def test_attempts_of_its_own_are_not_later_ones(tmp_path) -> None:
    with leased(open_folder(tmp_path), BEAT) as lease:
        for _ in range(2):
            writer = SegmentWriter(open_folder(tmp_path).fenced(lease))
            writer.append(Chosen(1))
            writer.flush()
            open_folder(tmp_path).fenced(lease).write("summary.json", b"{}")
        assert not lease.is_lost


def test_a_claim_that_returns_after_it_was_taken_over_is_not_kept(tmp_path) -> None:
    with leased(open_folder(tmp_path), BEAT) as lease:
        begin_later_attempt(tmp_path)
        end = time.monotonic() + 30
        while not lease.is_lost and time.monotonic() < end:
            time.sleep(BEAT / 4)
        assert lease.is_lost
    assert not (tmp_path / "lease").exists()


@pytest.mark.parametrize("has_begun", [False, True])
def test_an_experiment_that_is_gone_was_not_taken_over(tmp_path, has_begun) -> None:
    place = tmp_path / "results" / "e"
    with leased(open_folder(place), BEAT) as lease:
        folder = open_folder(place).fenced(lease)
        if has_begun:
            SegmentWriter(folder)
        folder.write("summary.json", b"{}")
        shutil.rmtree(tmp_path / "results")

        with pytest.raises(StorageError, match=r"results/e is gone: it was moved or deleted"):
            folder.write("summary.json", b"{}")
        with pytest.raises(StorageError, match="is gone"):
            lease.say(target=40)
        assert not (tmp_path / "results").exists()


def test_another_process_gets_a_folder_without_its_fence(tmp_path) -> None:
    with leased(open_folder(tmp_path), BEAT) as lease:
        folder = open_folder(tmp_path).fenced(lease)
        copied = pickle.loads(pickle.dumps(folder))
        assert (copied.fence, copied.uri) == (None, folder.uri)
        assert copied.child("x").path == folder.child("x").path


def test_one_that_waits_gets_it_when_the_other_has_ended(tmp_path, caplog) -> None:
    folder = open_folder(tmp_path / "e")
    first = Lease(folder, BEAT)
    first.acquire()
    threading.Timer(5 * BEAT, first.release).start()

    with leased(folder, BEAT, waits=True) as second:
        assert not second.is_lost
    assert "waiting: " in caplog.text
    assert caplog.text.count("waiting") == 1


def test_one_that_waits_gives_up_in_time(tmp_path) -> None:
    folder = open_folder(tmp_path / "e")
    with (
        leased(folder, BEAT),
        pytest.raises(TakenError),
        leased(folder, BEAT, waits=True, deadline=Deadline(time.monotonic() + 2 * BEAT)),
    ):
        pass


def test_many_that_wait_hold_it_one_after_the_other(tmp_path) -> None:
    folder = open_folder(tmp_path / "e")
    inside, most = [0], [0]

    def hold() -> None:
        with leased(folder, BEAT, waits=True):
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            time.sleep(BEAT / 2)
            inside[0] -= 1

    threads = [threading.Thread(target=hold) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert most == [1]
    assert not (tmp_path / "e").exists()


def test_a_holder_is_seen_with_what_it_says_of_itself(tmp_path) -> None:
    folder = open_folder(tmp_path)
    assert find_holder(folder) is None
    with leased(folder, BEAT) as lease:
        lease.facts = {"target": 40}
        time.sleep(3 * BEAT)
        holder = find_holder(folder)

    assert holder is not None
    assert (holder.life, holder.facts) == ("running", Facts(target=40))
    assert holder.who.startswith(f"process {os.getpid()} on ")
    assert find_holder(folder) is None


def test_a_holder_that_was_killed_is_seen_as_dead(tmp_path) -> None:
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    run = context.Process(target=_hold, args=(str(tmp_path), 0, results))
    run.start()
    assert results.get(timeout=60) == "held"
    living = find_holder(open_folder(tmp_path))
    run.kill()
    run.join()
    dead = find_holder(open_folder(tmp_path))

    assert living is not None
    assert dead is not None
    assert (living.life, dead.life, dead.who) == ("running", "dead", living.who)


def test_a_holder_that_is_there_but_stands_still_hangs(tmp_path) -> None:
    """Its process was stopped, so that it writes no claim; or its claim is written, but no more."""
    folder = open_folder(tmp_path)
    with leased(folder, BEAT) as lease:
        lease.moved = time.time() - 3 * 3600
        lease._write()
        holder = find_holder(folder)
        assert holder is not None
        assert holder.life == "hung"
        assert holder.quiet == pytest.approx(3 * 3600, abs=60)


@pytest.mark.parametrize(("age", "life"), [(5, "running"), (3600, "dead")])
def test_a_holder_on_another_machine_lives_as_long_as_its_claim_is_written(
    tmp_path, age, life
) -> None:
    foreign(tmp_path, time=time.time() - age, moved=time.time() - age)

    holder = find_holder(open_folder(tmp_path))
    assert holder is not None
    assert (holder.life, holder.who) == (life, "process 1 on elsewhere")


def test_a_claim_is_written_on_whatever_it_has_to_say(tmp_path) -> None:
    """A count of pandas' is no number of JSON's, and a lease that is not kept is lost."""
    folder = open_folder(tmp_path)
    with leased(folder, BEAT) as lease:
        lease.facts = {"states": {"complete": np.int64(3)}, "best": np.float32(0.5)}
        time.sleep(3 * BEAT)
        (claim,) = (tmp_path / "lease").glob("*.json")
        assert json.loads(claim.read_text())["facts"] == {"states": {"complete": 3}, "best": 0.5}
