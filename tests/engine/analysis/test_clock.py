"""The time between two runs of an experiment is no time of the runs."""

import math

import pytest

from tune_jobs.engine.analysis.clock import Clock, make_clock
from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.experiments.history import segments
from tune_jobs.engine.experiments.history.records import Attempt, TrialStart
from tune_jobs.engine.experiments.history.segments import SegmentWriter
from tune_jobs.engine.storage.folder import open_folder

TWO_RUNS = (
    (1_000.0, Attempt({}, 2)),
    (1_010.0, TrialStart(1, {})),
    (90_000.0, Attempt({}, 2)),
    (90_020.0, TrialStart(2, {})),
)


@pytest.fixture
def experiment(tmp_path, monkeypatch) -> Experiment:
    """Two runs: from 1,000 s on, and from 90,000 s on."""
    return write_history(tmp_path, monkeypatch, TWO_RUNS)


def write_history(tmp_path, monkeypatch, records) -> Experiment:
    folder = open_folder(tmp_path / "june")
    folder.create()
    folder.write_json("experiment.json", {"trainable": "x.t", "metric": "loss", "mode": "min"})
    writer = SegmentWriter(folder)
    for moment, record in records:
        monkeypatch.setattr(segments.time, "time", lambda moment=moment: moment)
        writer.append(record)
    writer.flush()
    return Experiment(folder)


def test_a_clock_stands_still_between_two_runs(experiment) -> None:
    clock = make_clock(experiment, [(1_010.0, 1_100.0), (90_020.0, 90_050.0)])

    assert clock.pauses == ((1_100.0, 90_000.0),)
    assert clock.elapsed(1_010.0) == 0
    assert clock.elapsed(1_100.0) == clock.elapsed(50_000.0) == clock.elapsed(90_000.0) == 90
    assert clock.elapsed(90_050.0) == 140


def test_runs_without_trials_are_left_out_once(tmp_path, monkeypatch) -> None:
    starts = [(moment, Attempt({}, 2)) for moment in (900.0, 1_000.0, 90_000.0, 95_000.0)]
    experiment = write_history(tmp_path, monkeypatch, starts)
    clock = make_clock(experiment, [(1_010.0, 1_100.0), (95_020.0, 95_050.0)])

    assert clock.pauses == ((1_100.0, 90_000.0), (90_000.0, 95_000.0))
    assert clock.elapsed(95_050.0) == 140


def test_one_run_has_no_pauses_and_its_history_is_not_read(tmp_path) -> None:
    folder = open_folder(tmp_path / "june")
    folder.create()
    folder.write_json("summary.json", {"outcome": "complete", "attempt": 1})
    found = Experiment(folder)

    assert make_clock(found, [(5.0, 7.0), (6.0, math.nan)]) == Clock(5.0)
    assert "segments" not in vars(found)


def test_without_trials_there_is_no_time(experiment) -> None:
    assert make_clock(experiment, [(math.nan, math.nan)]) == Clock(0.0)
