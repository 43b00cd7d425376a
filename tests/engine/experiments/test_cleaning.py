"""Cleaning frees what nobody needs, and never what is sacred, being written, or the last."""

import time
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from tune_jobs.cli.main import main
from tune_jobs.engine.experiments.cleaning import find_removable, protected_experiments, remove
from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.experiments.files import RETESTS
from tune_jobs.engine.experiments.history.records import Epoch, TrialEnd, TrialStart
from tune_jobs.engine.experiments.history.segments import SegmentWriter
from tune_jobs.engine.experiments.lease import leased
from tune_jobs.engine.experiments.retest_answer import Answer
from tune_jobs.engine.outcome import EXIT_CODES, FINAL
from tune_jobs.engine.runs.retest_answers import file_answer
from tune_jobs.engine.storage.folder import open_folder

DAY = 86_400.0
CHECKPOINTS = (
    "trials/00001/checkpoint_000002/state.npz",
    "finalists/trials/00001/checkpoint_000001/state.npz",
)
VERDICT = {
    "trial": 1,
    "config": {"x": 1},
    "metric": "loss",
    "mode": "min",
    "epochs": 1,
    "mean": 0.5,
    "interval": [0.4, 0.6],
    "level": 0.95,
    "scores": 8,
    "luck": 0.0,
    "is_distinguished": False,
    "sentence": "trial 1 won.",
}


def make(
    storage: Path,
    name: str,
    *,
    days: float = 0.0,
    outcome: str | None = "complete",
    has_model: bool = True,
    values: tuple[float, ...] = (0.5,),
) -> Path:
    """An experiment with checkpoints, and a trial for each value.

    Args:
        storage: where it lies.
        name: what it is called.
        days: how long ago it ended, or began where it did not end.
        outcome: how it ended; None where that is not known.
        has_model: whether its best model was exported.
        values: the metric of each trial at its only epoch.
    """
    folder, then = open_folder(storage / name), time.time() - days * DAY
    folder.create()
    folder.write_json("experiment.json", {"metric": "loss", "mode": "min", "started": then})
    history = SegmentWriter(folder)
    for number, value in enumerate(values, 1):
        history.append(TrialStart(number, {"x": number}))
        history.append(Epoch(number, 0, 1, 1.0, {"loss": value}))
        history.append(TrialEnd(number, "complete", None, None))
    history.flush()
    if outcome is not None:
        states = {"complete": len(values)} if values else {}
        folder.write_json("summary.json", {"outcome": outcome, "ended": then, "trials": states})
        folder.write_json("verdict.json", VERDICT)
    if has_model:
        folder.write("best.keras", b"m" * 100)
    for path in CHECKPOINTS:
        file = storage / name / path
        file.parent.mkdir(parents=True)
        file.write_bytes(b"c" * 1000)
    return storage / name


def answer(storage: Path, tested: str, retest: str, *, promote: bool = False) -> None:
    """A retest of an experiment, and its answer filed where the next one finds it."""
    folder = open_folder(storage / retest)
    found = Answer.from_json(
        {
            "answer": "replace",
            "reason": "it is better",
            "name": retest,
            "folder": folder.uri,
            "of": f"{storage / tested}",
            "time": time.time(),
            "metric": "loss",
            "mode": "min",
            "level": 0.95,
            "incumbent": {"trial": 1, "config": {"x": 1}},
            "challenger": {"trial": 2, "config": {"x": 2}},
            "fall": {"is_worse": False, "sentence": "the incumbent is as good"},
        }
    )
    folder.create()
    folder.write_json("retest.json", found.to_json())
    answers = open_folder(storage).child(RETESTS).child(tested)
    file_answer(found, answers, promote=promote)


def content(place: Path) -> dict[str, bytes]:
    """What lies in a folder, at any depth."""
    files = [path for path in place.rglob("*") if path.is_file()]
    return {str(path.relative_to(place)): path.read_bytes() for path in files}


def clean(storage: Path, *words: str) -> Result:
    """Clean on the command line."""
    arguments = ["clean", "--storage", str(storage), *words]
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


def freed(storage: Path, *words: str) -> list[str]:
    """The experiments of which something was deleted, or all."""
    before = content(storage)
    assert clean(storage, *words, "--yes").exit_code == 0
    gone = before.keys() - content(storage).keys()
    return sorted({path.split("/")[0] for path in gone})


def has_checkpoints(folder: Path) -> bool:
    return any((folder / path).exists() for path in CHECKPOINTS)


def test_a_dry_run_deletes_nothing(tmp_path) -> None:
    for day in range(1, 4):
        make(tmp_path, f"nightly-2026-11-0{day}", days=30 - day)
    before = content(tmp_path)

    ran = clean(tmp_path, "--keep-last", "1")

    assert content(tmp_path) == before
    assert ran.exit_code == 0
    *each, last = ran.stdout.splitlines()
    assert [line.split(":")[1] for line in each] == [" checkpoints"] * 2
    assert last == "3.9 KiB can be freed; add --yes to delete"


def test_checkpoints_go_beyond_the_last_of_each_series(tmp_path) -> None:
    for series in ("nightly", "weekly"):
        for day in range(1, 5):
            make(tmp_path, f"{series}-2026-11-0{day}", days=30 - day)

    assert freed(tmp_path, "--keep-last", "2") == [
        f"{series}-2026-11-0{day}" for series in ("nightly", "weekly") for day in (1, 2)
    ]


def test_all_that_people_read_stays(tmp_path) -> None:
    before = content(make(tmp_path, "a"))

    assert freed(tmp_path, "--keep-last", "0") == ["a"]

    assert not has_checkpoints(tmp_path / "a")
    after = content(tmp_path / "a")
    assert after == {path: before[path] for path in before.keys() - set(CHECKPOINTS)}
    assert {"best.keras", "experiment.json", "summary.json", "verdict.json"} < after.keys()
    experiment = Experiment(open_folder(tmp_path / "a"))
    assert experiment.best_value == 0.5
    assert not experiment.problems


def test_what_is_freed_is_said_and_there_is_nothing_to_free_then(tmp_path) -> None:
    make(tmp_path, "a")

    first, second = (clean(tmp_path, "--keep-last", "0", "--yes") for _ in range(2))

    assert first.stdout == "a  2.0 KiB: checkpoints\n2.0 KiB freed\n"
    assert second.stdout == "nothing to free\n"


def test_ten_of_each_series_are_kept_unless_otherwise_said(tmp_path) -> None:
    for day in range(1, 13):
        make(tmp_path, f"nightly-2026-11-{day:02}", days=30 - day)
    assert freed(tmp_path) == ["nightly-2026-11-01", "nightly-2026-11-02"]


def test_the_younger_ones_stay_where_an_age_is_given(tmp_path) -> None:
    for days in (1, 29, 31, 400):
        make(tmp_path, f"nightly-{days}", days=days)
    assert freed(tmp_path, "--keep-last", "0", "--older-than", "30d") == [
        "nightly-31",
        "nightly-400",
    ]


def test_an_age_that_is_none_is_refused(tmp_path) -> None:
    make(tmp_path, "a", days=99)
    ran = clean(tmp_path, "--keep-last", "0", "--older-than", "a month", "--yes")
    assert ran.exit_code == 2
    assert ran.stderr == "error: 'a month' is not a duration; write it like 45s, 90m, 26h or 30d\n"
    assert has_checkpoints(tmp_path / "a")


@pytest.mark.parametrize("outcome", ["complete", None])
def test_one_that_is_being_written_is_left_alone(tmp_path, outcome) -> None:
    make(tmp_path, "a", days=99, outcome=outcome)
    before = content(tmp_path / "a")

    with leased(open_folder(tmp_path / "a")):
        ran = clean(tmp_path, "--keep-last", "0", "--older-than", "30d", "--yes")
        after = content(tmp_path / "a")

    assert ran.exit_code == 0
    assert before.items() <= after.items()


def test_one_that_a_run_takes_meanwhile_is_left_alone(tmp_path) -> None:
    make(tmp_path, "a")
    (waste,) = find_removable(open_folder(tmp_path), keep_last=0, older_than=None)

    with leased(open_folder(tmp_path / "a")):
        assert not remove(open_folder(tmp_path), waste)
    assert has_checkpoints(tmp_path / "a")
    assert remove(open_folder(tmp_path), waste)
    assert not has_checkpoints(tmp_path / "a")


def test_one_that_was_retested_and_its_latest_retest_are_left_alone(tmp_path) -> None:
    make(tmp_path, "nightly-2026-11-01", days=60)
    make(tmp_path, "other", days=60)
    for day in (2, 3, 4):
        name = f"nightly-2026-11-01-retest-2026-11-0{day}"
        make(tmp_path, name, days=60 - day)
        answer(tmp_path, "nightly-2026-11-01", name)

    assert protected_experiments(open_folder(tmp_path)) == {
        "nightly-2026-11-01",
        "nightly-2026-11-01-retest-2026-11-04",
    }
    assert freed(tmp_path, "--keep-last", "0") == [
        "nightly-2026-11-01-retest-2026-11-02",
        "nightly-2026-11-01-retest-2026-11-03",
        "other",
    ]


def test_the_retest_whose_challenger_was_promoted_is_left_alone(tmp_path) -> None:
    make(tmp_path, "nightly", days=60)
    for day, promote in ((2, True), (3, False)):
        make(tmp_path, f"nightly-retest-2026-11-0{day}", days=60 - day)
        answer(tmp_path, "nightly", f"nightly-retest-2026-11-0{day}", promote=promote)

    assert freed(tmp_path, "--keep-last", "0") == []


@pytest.mark.parametrize(
    "bytes_",
    [b"", b"{", b"\xff\x00", b"[]", b"{}", b'{"name": 1, "time": [], "answer": 1}', b"[" * 3000],
)
def test_a_damaged_answer_hides_no_other(tmp_path, bytes_) -> None:
    for name in ("nightly", "nightly-retest-2026-11-02"):
        make(tmp_path, name, days=60)
    answer(tmp_path, "nightly", "nightly-retest-2026-11-02", promote=True)
    (tmp_path / RETESTS / "nightly" / "nightly-retest-2026-11-01.json").write_bytes(bytes_)

    assert freed(tmp_path, "--keep-last", "0") == []


@pytest.mark.parametrize("values", [(), (float("nan"),)], ids=["no trial", "no value"])
def test_one_that_found_nothing_goes_as_a_whole(tmp_path, values) -> None:
    make(tmp_path, "a", outcome="nothing usable", has_model=False, values=values)

    ran = clean(tmp_path, "--keep-last", "0", "--yes")

    assert "everything, since it has no results" in ran.stdout
    assert not (tmp_path / "a").exists()


def test_one_whose_best_model_is_still_a_checkpoint_stays(tmp_path) -> None:
    make(tmp_path, "a", has_model=False)
    assert freed(tmp_path, "--keep-last", "0") == []


def test_one_of_which_nothing_can_be_read_stays(tmp_path) -> None:
    folder = make(tmp_path, "a", has_model=False)
    for file in (folder / "experiment.json", *(folder / "history").rglob("*.jsonl")):
        file.write_bytes(b"{")
    assert freed(tmp_path, "--keep-last", "0") == []


def test_one_whose_history_is_damaged_has_not_found_nothing(tmp_path) -> None:
    folder = make(tmp_path, "a", has_model=False)
    for file in (folder / "history").rglob("*.jsonl"):
        file.write_bytes(b"{")
    assert freed(tmp_path, "--keep-last", "0") == []


# What users put into the folder of an experiment.
USERS = (
    *("notes.md", ".ipynb_checkpoints/notes.ipynb", "plots/curve.png", "best.keras.bak"),
    *("history/notes.txt", "finalists/notes.txt", "trials/notes.txt", "trials/00001/notes.txt"),
)


def put_notes(folder: Path) -> dict[str, bytes]:
    for name in USERS:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"mine: {name}")
    return {name: f"mine: {name}".encode() for name in USERS}


def test_of_one_that_found_nothing_what_users_put_there_stays(tmp_path) -> None:
    folder = make(tmp_path, "a", outcome="nothing usable", has_model=False, values=())
    (folder / "trials" / "tuner.pkl").write_bytes(b"p")
    (folder / "trials" / "experiment_state-2026-11-01_00-00-00.json").write_text("{}")
    (folder / f"summary.json.tmp-{'0' * 32}").write_text("{}")
    notes = put_notes(folder)

    ran = clean(tmp_path, "--keep-last", "0", "--yes")

    assert "everything, since it has no results; kept: 8 files that no run wrote" in ran.stdout
    assert content(folder) == notes
    assert clean(tmp_path, "--keep-last", "0", "--yes").stdout == "nothing to free\n"


def test_among_checkpoints_what_users_put_there_stays(tmp_path) -> None:
    folder = make(tmp_path, "a")
    before = content(folder) | put_notes(folder)

    ran = clean(tmp_path, "--keep-last", "0", "--yes")

    assert ran.stdout.startswith("a  2.0 KiB: checkpoints; kept: 2 files that no run wrote\n")
    assert content(folder) == {name: before[name] for name in before.keys() - set(CHECKPOINTS)}


@pytest.mark.parametrize("has_model", [True, False], ids=["checkpoints", "everything"])
@pytest.mark.parametrize(
    "name",
    [
        *("trials", "trials/00001", "trials/00001/checkpoint_000002", "finalists", "history"),
        *("trials/00001/checkpoint_000009", "summary.json", "epochs.parquet", "trials/tuner.pkl"),
    ],
)
def test_no_link_is_followed_or_deleted(tmp_path, name, has_model) -> None:
    storage, outside = tmp_path / "results", tmp_path / "outside"
    folder = make(storage, "a", outcome="nothing usable", has_model=has_model, values=())
    target = outside / name
    target.parent.mkdir(parents=True)
    if (folder / name).exists():
        (folder / name).rename(target)
        if name == "history":  # in which nothing was written, but for what was never moved
            (target / f"0001-{0:08}-{0:08}.jsonl.tmp-{'0' * 32}").write_bytes(b"c")
    elif name.startswith("trials/00001"):
        target.mkdir()
        (target / "state.npz").write_bytes(b"c")
    else:
        target.write_bytes(b"c")
    (folder / name).symlink_to(target)
    before = content(outside)

    assert clean(storage, "--keep-last", "0", "--older-than", "0s", "--yes").exit_code == 0

    assert before
    assert content(outside) == before
    assert (folder / name).is_symlink()


def test_an_experiment_that_is_a_link_is_left_alone(tmp_path) -> None:
    folder = make(tmp_path / "elsewhere", "a")
    before = content(folder)
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "a").symlink_to(folder)

    ran = clean(tmp_path / "results", "--keep-last", "0", "--yes")

    assert (ran.exit_code, ran.stdout) == (0, "nothing to free\n")
    assert content(folder) == before


def test_one_that_has_found_something_meanwhile_stays(tmp_path) -> None:
    make(tmp_path, "a", outcome="nothing usable", has_model=False, values=())
    storage = open_folder(tmp_path)
    (waste,) = find_removable(storage, keep_last=0, older_than=None)
    history = SegmentWriter(storage.child("a"))
    history.append(TrialStart(1, {"x": 1}))
    history.append(Epoch(1, 0, 1, 1.0, {"loss": 0.5}))
    history.flush()
    before = content(tmp_path / "a")

    assert not remove(storage, waste)
    assert content(tmp_path / "a") == before


UNFINISHED = [*sorted(EXIT_CODES.keys() - set(FINAL)), None]


@pytest.mark.parametrize("outcome", UNFINISHED)
@pytest.mark.parametrize("has_model", [True, False])
def test_one_that_did_not_come_to_its_end_stays_unless_an_age_is_given(
    tmp_path, outcome, has_model
) -> None:
    make(tmp_path, "a", days=99, outcome=outcome, has_model=has_model, values=())

    assert freed(tmp_path, "--keep-last", "0") == []
    assert freed(tmp_path, "--keep-last", "0", "--older-than", "100d") == []
    assert freed(tmp_path, "--keep-last", "0", "--older-than", "98d") == ["a"]


def test_what_goes_is_listed_from_the_oldest_on(tmp_path) -> None:
    for name, days in (("a", 5), ("b", 50), ("c", 20)):
        make(tmp_path, name, days=days)
    waste = find_removable(open_folder(tmp_path), keep_last=0, older_than=None)
    assert [(each.name, each.size) for each in waste] == [("b", 2000), ("c", 2000), ("a", 2000)]


def test_a_storage_without_experiments_has_nothing_to_free(tmp_path) -> None:
    (tmp_path / "README.md").write_text("x")
    ran = clean(tmp_path, "--yes")
    assert (ran.exit_code, ran.stdout) == (0, "nothing to free\n")
    assert (tmp_path / "README.md").exists()


kinds = st.fixed_dictionaries(
    {
        "series": st.sampled_from(["nightly", "weekly"]),
        "days": st.integers(0, 60),
        "outcome": st.sampled_from(["complete", "nothing usable", "interrupted", None]),
        "has_model": st.booleans(),
        "has_trials": st.booleans(),
        "is_held": st.booleans(),
        "refers": st.sampled_from(["nothing", "a retest of it", "a promotion"]),
    }
)


def build(storage: Path, number: int, kind: dict[str, Any]) -> str:
    name = f"{kind['series']}-2026-11-{number + 1:02}"
    make(
        storage,
        name,
        days=kind["days"],
        outcome=kind["outcome"],
        has_model=kind["has_model"],
        values=(0.5,) if kind["has_trials"] else (),
    )
    if kind["refers"] == "a retest of it":
        answer(storage, name, f"{name}-gone")
    elif kind["refers"] == "a promotion":
        answer(storage, f"{name}-gone", name, promote=True)
    return name


def is_running(kind: dict[str, Any]) -> bool:
    return kind["is_held"] and kind["outcome"] is None


def must_stay(
    kind: dict[str, Any], others: list[dict[str, Any]], keep_last: int, older_than: str | None
) -> bool:
    """Whether nothing of an experiment may go."""
    rivals = [o for o in others if o["series"] == kind["series"] and not is_running(o)]
    is_last = sum(other["days"] < kind["days"] for other in rivals) < keep_last
    is_spared = kind["days"] < 30 if older_than else kind["outcome"] in ("interrupted", None)
    is_last_copy = kind["has_trials"] and not kind["has_model"]
    is_needed = kind["is_held"] or kind["refers"] != "nothing"
    return is_last or is_spared or is_last_copy or is_needed


def snapshot(storage: Path, names: Iterable[str]) -> dict[str, dict[str, bytes]]:
    """The content of experiments, without the claims of those who hold them."""
    return {
        name: {
            path: bytes_
            for path, bytes_ in content(storage / name).items()
            if not path.startswith("lease/")
        }
        for name in names
    }


@settings(max_examples=60, deadline=None)
@given(
    st.lists(kinds, max_size=6, unique_by=lambda kind: kind["days"]),
    st.integers(0, 2),
    st.sampled_from([None, "30d"]),
)
def test_what_is_sacred_or_held_or_among_the_last_is_untouched(
    tmp_path_factory, all_kinds, keep_last, older_than
) -> None:
    storage = tmp_path_factory.mktemp("storage")
    known = {build(storage, number, kind): kind for number, kind in enumerate(all_kinds)}
    words = ["--keep-last", str(keep_last), *(("--older-than", older_than) if older_than else ())]
    before = snapshot(storage, known)

    with ExitStack() as held:
        for name in (name for name, kind in known.items() if kind["is_held"]):
            held.enter_context(leased(open_folder(storage / name)))
        assert clean(storage, *words).exit_code == 0
        after_dry_run = snapshot(storage, known)
        assert clean(storage, *words, "--yes").exit_code == 0
        after = snapshot(storage, known)

    assert after_dry_run == before
    for name, kind in known.items():
        if must_stay(kind, all_kinds, keep_last, older_than):
            assert after[name] == before[name]
        elif kind["has_model"]:
            assert before[name].keys() - after[name].keys() == set(CHECKPOINTS)
            assert after[name].items() <= before[name].items()
        else:
            assert not (storage / name).exists()
