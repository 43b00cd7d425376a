"""Records on disk: what the last version wrote is read, and written again as it was."""

import gzip
import json
from pathlib import Path

import pytest

from tune_jobs.engine.experiments.history.records import (
    Chosen,
    Epoch,
    FinalsStart,
    SearchStart,
    TrialEnd,
    TrialStart,
    UnknownRecord,
    Work,
    as_line,
    parse_lines,
    parse_record,
    to_json,
)
from tune_jobs.engine.experiments.history.segments import SegmentWriter, read_segments
from tune_jobs.engine.experiments.summary import Best
from tune_jobs.engine.storage.folder import open_folder

FIXTURES = Path(__file__).parents[3] / "fixtures"


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
def test_what_is_read_is_what_was_written(record) -> None:
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
