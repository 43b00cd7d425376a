"""Segments: whatever is written, cut off, torn or copied, what is read is what was written.

What the last version wrote is read, and written again as it was.
"""

import gzip
import json
import os
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from tune_jobs.engine.experiments.history import segments
from tune_jobs.engine.experiments.history.records import (
    Chosen,
    Epoch,
    FinalsStart,
    SearchStart,
    TrialEnd,
    TrialStart,
    UnknownRecord,
    Work,
)
from tune_jobs.engine.experiments.history.segments import (
    SegmentWriter,
    as_line,
    merge_all,
    parse_lines,
    parse_record,
    read_segments,
    to_json,
)
from tune_jobs.engine.experiments.summary import Best
from tune_jobs.engine.storage.folder import open_folder

FIXTURES = Path(__file__).parents[3] / "fixtures"

# What may happen to a history: a record, a flush, the end of the process, a merge of everything.
OPERATIONS = st.lists(st.sampled_from(["append", "append", "flush", "crash", "merge"]), max_size=40)
DAMAGES = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-7]),
    "emptied": lambda path: path.write_bytes(b""),
    "deleted": lambda path: path.unlink(),
    "random bytes": lambda path: path.write_bytes(os.urandom(200)),
    "in the future": lambda path: os.utime(path, (4e9, 4e9)),
}


def values(folder) -> list[int]:
    return [record.of for record in read_segments(folder).records()]


@settings(deadline=None, max_examples=150)
@given(operations=OPERATIONS)
def test_what_is_read_is_a_prefix_of_what_was_written(tmp_path_factory, operations) -> None:
    folder = open_folder(tmp_path_factory.mktemp("history"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments, "MERGED", 3)
        durable, waiting, count = [], [], 0
        writer = SegmentWriter(folder)
        for operation in operations:
            if operation == "append":
                writer.append(Chosen(count))
                waiting.append(count)
                count += 1
            elif operation == "flush":
                writer.flush()
                durable, waiting = durable + waiting, []
            elif operation == "crash":
                writer, waiting = SegmentWriter(folder), []
            else:
                merge_all(folder)
                writer, waiting = SegmentWriter(folder), []
            assert values(folder) == durable
    assert read_segments(folder).problems == []


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("merged", [False, True], ids=["segments", "merged"])
def test_any_one_file_may_be_damaged(tmp_path, damage, merged) -> None:
    folder = open_folder(tmp_path)
    for attempt in range(2):
        writer = SegmentWriter(folder)
        for number in range(3):
            writer.append(Chosen(10 * attempt + number))
            writer.flush()
    if merged:
        merge_all(folder)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == (2 if merged else 12)

    for path in files:
        content = path.read_bytes()
        damage(path)
        assert values(folder) == [0, 1, 2, 10, 11, 12], path.name
        path.write_bytes(content)


def test_a_segment_damaged_in_both_copies_is_left_out_and_named(tmp_path) -> None:
    folder = open_folder(tmp_path)
    writer = SegmentWriter(folder)
    for number in range(3):
        writer.append(Chosen(number))
        writer.flush()
    for path in tmp_path.rglob("*-00000001-*"):
        path.write_bytes(b"{}")

    found = read_segments(folder)

    assert [record.of for record in found.records()] == [0, 2]
    (problem,) = found.problems
    assert problem.startswith(
        "history/0001-00000001-00000001.jsonl is damaged or missing, and so is"
    )


def test_foreign_files_are_no_segments(tmp_path) -> None:
    folder = open_folder(tmp_path)
    writer = SegmentWriter(folder)
    writer.append(Chosen(1))
    writer.flush()
    (tmp_path / "history" / "notes.txt").write_text("mine")
    (tmp_path / "history" / "0001-00000000-00000000.jsonl.tmp77").write_text("torn")

    assert values(folder) == [1]


def test_what_a_run_writes_after_another_took_over_does_not_count(tmp_path) -> None:
    folder = open_folder(tmp_path)
    slow = SegmentWriter(folder)
    slow.append(Chosen(1))
    slow.flush()
    other = SegmentWriter(folder)
    other.append(Chosen(2))
    other.flush()

    slow.append(Chosen(666))
    slow.flush()

    found = read_segments(folder)
    assert [record.of for record in found.records()] == [1, 2]
    assert "after another run had taken over" in found.problems[0]


def test_a_flush_that_fails_can_be_tried_again(tmp_path, monkeypatch) -> None:
    folder = open_folder(tmp_path)
    writer = SegmentWriter(folder)
    writer.append(Chosen(1))
    with monkeypatch.context() as patch:
        patch.setattr(type(folder), "write", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
        with pytest.raises(OSError, match="full"):
            writer.flush()
    writer.append(Chosen(2))
    writer.flush()

    assert values(folder) == [1, 2]


def test_many_segments_become_few(tmp_path) -> None:
    folder = open_folder(tmp_path)
    writer = SegmentWriter(folder)
    for number in range(200):
        writer.append(Chosen(number))
        writer.flush()

    assert len(list(Path(tmp_path, "history").glob("*.jsonl"))) == 3 + 200 % segments.MERGED
    assert values(folder) == list(range(200))


def lines_of(name: str) -> list[str]:
    """Every line of a fixture's segments but their headers."""
    files = sorted(FIXTURES.glob(f"{name}/history/*.gz"))
    return [line for file in files for line in gzip.open(file, "rt").read().splitlines()[1:]]


@pytest.mark.parametrize(
    "name", ["experiment_0_1", "experiment_0_1_interrupted", "experiment_0_1/finalists"]
)
def test_the_records_of_the_last_version_are_read_and_written_as_they_were(name) -> None:
    lines = lines_of(name)
    assert lines

    for line, record in zip(lines, parse_lines(lines), strict=True):
        assert not isinstance(record, UnknownRecord)
        assert to_json(record) == json.loads(line)


def test_a_key_of_a_newer_version_is_ignored() -> None:
    facts = {"kind": "end", "trial": 3, "state": "complete", "failure": None, "error": None}

    assert parse_record({**facts, "mood": "good"}) == TrialEnd(3, "complete", None, None)


def test_a_record_of_a_newer_version_is_kept_as_it_is(tmp_path) -> None:
    folder, facts = open_folder(tmp_path), {"kind": "mood", "trial": 1, "is": ["good"]}
    writer = SegmentWriter(folder)
    writer.append(parse_record(facts))
    writer.append(Chosen(3))
    writer.flush()

    unknown, chosen = read_segments(folder).records()

    assert isinstance(unknown, UnknownRecord)
    assert to_json(unknown).items() >= facts.items()
    assert isinstance(chosen, Chosen)


def test_a_record_that_lacks_a_key_is_refused() -> None:
    with pytest.raises(KeyError, match="state"):
        parse_record({"kind": "end", "trial": 3})


@pytest.mark.parametrize(
    "record",
    [
        TrialStart(1, {"x": (1, 2), "1": None}),
        TrialStart(1, {"x": 0.5}, asked=0),
        TrialStart(1, {}, of=4, batch=0),
        Epoch(1, 0, 3, 0.1, {"loss": float("inf")}),
        Work(1, None, "compiled", "host:1", 1.5, {"training": 2.5}, "no such kernel"),
    ],
)
def test_a_record_that_is_read_is_the_one_that_was_written(record) -> None:
    (read,) = parse_lines([as_line(record, time=5.0)])

    assert to_json(read) == json.loads(json.dumps(to_json(record))) | {"time": 5.0}
    assert type(read) is type(record)


def test_events_are_the_json_that_machines_know() -> None:
    best = Best(trial=3, epoch=2, value=0.5, config={"x": 1})
    start = SearchStart("a", "results/a", 40, imported=6, states={"complete": 3}, best=best)
    finals = FinalsStart("a", "results/a", 8, trials=[3, 9], has_incumbent=True, fits_at_once=4)

    assert to_json(start) == {
        "kind": "start",
        "name": "a",
        "folder": "results/a",
        "target": 40,
        "told": 6,
        "states": {"complete": 3},
        "best": {"trial": 3, "epoch": 2, "value": 0.5, "config": {"x": 1}},
    }
    assert to_json(SearchStart("a", "results/a", None)) == {
        "kind": "start",
        "name": "a",
        "folder": "results/a",
        "target": None,
        "told": 0,
    }
    assert to_json(finals) == {
        "kind": "start",
        "name": "a",
        "folder": "results/a",
        "target": 8,
        "trials": [3, 9],
        "has_incumbent": True,
        "fits_at_once": 4,
    }


@pytest.mark.parametrize(
    "line",
    [
        *("null", "[]", "1", "{}x", '"text"', '{"kind": []}', '{"kind": "end"}'),
        '{"kind": "trial", "trial": "1", "config": {}}',
        '{"kind": "trial", "trial": true, "config": {}}',
        '{"kind": "trial", "trial": 9223372036854775808, "config": {}}',
        '{"kind": "trial", "trial": 1, "config": []}',
        '{"kind": "end", "trial": 1, "state": "good", "failure": null, "error": null}',
        '{"kind": "epoch", "trial": 1, "replica": 0, "epoch": 1, "seconds": 1, "metrics": []}',
        '{"kind": "trial", "trial": 1, "config": {"a": ' + "[" * 5000 + "]" * 5000 + "}}",
    ],
)
def test_a_line_that_is_no_record_is_passed_over(line) -> None:
    good = as_line(TrialEnd(3, "complete", None, None), time=5.0)

    known = [each for each in parse_lines([good, line, good]) if isinstance(each, TrialEnd)]

    assert known == [TrialEnd(3, "complete", None, None, 5.0)] * 2
