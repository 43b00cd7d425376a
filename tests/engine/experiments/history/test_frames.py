"""The history keeps every record, and comes back as it was reported."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tune_jobs.engine.experiments.history.frames import (
    add_best,
    compact,
    read_history,
    with_hyperparameters,
)
from tune_jobs.engine.experiments.history.records import (
    Attempt,
    Epoch,
    HistoryRecord,
    SavedCheckpoint,
    TrialEnd,
    TrialStart,
)
from tune_jobs.engine.experiments.history.segments import SegmentWriter
from tune_jobs.engine.goal import Goal
from tune_jobs.engine.storage.folder import open_folder

plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
configs = st.dictionaries(st.text(min_size=1), plain_values, min_size=1, max_size=4)


def write(folder: Any, records: list[HistoryRecord]) -> None:
    history = SegmentWriter(folder)
    for record in records:
        history.append(record)
    history.flush()


def trial(
    number: int, config: dict, losses: list[float], state: str = "complete"
) -> list[HistoryRecord]:
    records: list[HistoryRecord] = [TrialStart(number, config)]
    for epoch, loss in enumerate(losses, 1):
        records.append(Epoch(number, 0, epoch, 0.1, {"loss": loss}))
        records.append(SavedCheckpoint(number, epoch, f"c{epoch}"))
    error = "Traceback\nValueError: x" if state == "failed" else None
    return [*records, TrialEnd(number, state, None, error)]


@pytest.mark.parametrize("compacted", [False, True])
def test_a_trial_knows_what_chose_it_also_after_it_has_continued(tmp_path, compacted) -> None:
    folder = open_folder(tmp_path)
    write(folder, [TrialStart(1, {"x": 1}, by="gp"), TrialStart(1, {"x": 1}), *trial(2, {}, [])])
    if compacted:
        compact(folder)

    by = read_history(folder).trials["by"]

    assert by[0] == "gp"
    assert pd.isna(by[1])


def test_a_table_of_an_earlier_version_is_read_without_what_chose_its_trials() -> None:
    fixture = Path(__file__).parents[3] / "fixtures" / "experiment_0_1"

    trials = read_history(open_folder(fixture)).trials

    assert len(trials)
    assert trials["by"].isna().all()


@pytest.mark.parametrize(("epochs", "state"), [(1, "unfinished"), (2, "complete")])
def test_a_trial_that_was_cut_off_after_its_last_epoch_is_complete(tmp_path, epochs, state) -> None:
    folder = open_folder(tmp_path)
    attempt = Attempt({"max_epochs": 2}, 1)
    write(folder, [attempt, *trial(1, {"x": 0.5}, [1.0] * epochs, "unfinished")])
    write(folder, trial(2, {"x": 0.6}, [1.0] * epochs)[:-1])  # killed: nobody said the end

    trials = read_history(folder).trials

    assert trials["state"].tolist() == [state, state if state == "complete" else "running"]
    assert trials["ended"].notna().tolist() == [True, state == "complete"]


@pytest.mark.parametrize("compacted", [False, True], ids=["segments", "parquet"])
def test_trials_and_epochs_come_back(tmp_path, compacted) -> None:
    folder = open_folder(tmp_path)
    write(folder, trial(1, {"x": 0.5}, [3.0, 1.0, 2.0]) + trial(2, {"x": 1.5}, [], "failed"))
    if compacted:
        compact(folder)
        assert folder.child("history").names() == ["0001-00000000-00000000.jsonl.gz", "mirror"]

    history = read_history(folder)
    trials, epochs = history.trials, history.epochs

    assert trials["state"].tolist() == ["complete", "failed"]
    assert trials["error"].isna().tolist() == [True, False]
    assert epochs["loss"].tolist() == [3.0, 1.0, 2.0]
    assert epochs["checkpoint"].tolist() == ["c1", "c2", "c3"]
    best = add_best(trials, epochs, Goal("loss"))
    assert best["value"].tolist()[0] == 1.0
    assert best["best_epoch"].tolist() == [2, 0]
    assert best["epochs"].tolist() == [3, 0]


def test_what_is_written_after_a_compaction_is_not_needed_to_read_what_was_before(tmp_path) -> None:
    folder = open_folder(tmp_path)
    write(folder, trial(1, {"x": 0.5}, [1.0]))
    compact(folder)

    history = read_history(folder)
    trials, epochs = history.trials, history.epochs

    pd.testing.assert_frame_equal(read_history(folder).epochs, epochs)
    assert len(trials) == 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(configs)
def test_any_config_comes_back_equal(tmp_path_factory, config) -> None:
    for compacted in (False, True):
        folder = open_folder(tmp_path_factory.mktemp("history"))
        write(folder, trial(1, config, [1.0]))
        if compacted:
            compact(folder)
        history = read_history(folder)
        assert json.loads(history.trials["config"][0]) == config
        assert history.configs == {1: config}


def test_numpy_numbers_and_tuples_become_plain(tmp_path) -> None:
    folder = open_folder(tmp_path)
    config = {"a": np.float32(0.5), "b": np.int64(3), "c": (1, 2), "d": np.array([1, 2])}

    write(folder, trial(1, config, [1.0]))

    stored = json.loads(read_history(folder).trials["config"][0])
    assert stored == {"a": 0.5, "b": 3, "c": [1, 2], "d": [1, 2]}


@pytest.mark.parametrize("compacted", [False, True], ids=["segments", "parquet"])
def test_values_that_are_not_finite_are_kept_but_never_the_best(tmp_path, compacted) -> None:
    folder = open_folder(tmp_path)
    write(folder, trial(1, {"x": 1}, [math.nan, 2.0, -math.inf]) + trial(2, {"x": 2}, [math.nan]))
    if compacted:
        compact(folder)

    history = read_history(folder)
    trials, epochs = history.trials, history.epochs

    assert epochs["loss"].tolist()[2] == -math.inf
    assert math.isnan(epochs["loss"].tolist()[0])
    best = add_best(trials, epochs, Goal("loss"))
    assert best["value"].tolist()[0] == 2.0
    assert math.isnan(best["value"].tolist()[1])


@settings(deadline=None)
@given(
    st.lists(st.lists(st.floats(allow_infinity=False), max_size=5), min_size=1, max_size=5),
    st.sampled_from(["min", "max"]),
)
def test_the_best_of_a_trial_is_over_all_its_epochs(tmp_path_factory, losses, mode) -> None:
    folder = open_folder(tmp_path_factory.mktemp("history"))
    write(folder, [r for n, values in enumerate(losses, 1) for r in trial(n, {"x": n}, values)])

    history = read_history(folder)
    best = add_best(history.trials, history.epochs, Goal("loss", mode))

    for value, values in zip(best["value"], losses, strict=True):
        finite = [v for v in values if math.isfinite(v)]
        assert (not finite and math.isnan(value)) or value == {"min": min, "max": max}[mode](finite)


def test_hyperparameters_that_were_not_active_are_missing(tmp_path) -> None:
    folder = open_folder(tmp_path)
    write(
        folder,
        trial(1, {"o": {"name": "adam", "beta": 0.9}}, [1.0])
        + trial(2, {"o": {"name": "sgd"}, "mixed": "a"}, [1.0])
        + trial(3, {"o": {"name": "sgd"}, "mixed": 3}, [1.0]),
    )
    compact(folder)

    history = read_history(folder)
    trials = with_hyperparameters(history.trials, history.configs)

    assert trials["config.o.beta"].isna().tolist() == [False, True, True]
    assert trials["config.o.name"].tolist() == ["adam", "sgd", "sgd"]
    assert trials["config.mixed"].tolist()[1:] == ['"a"', "3"]


def test_a_search_that_died_leaves_what_it_had_flushed(tmp_path) -> None:
    folder = open_folder(tmp_path)
    history = SegmentWriter(folder)
    for record in trial(1, {"x": 1}, [2.0, 1.0])[:3]:
        history.append(record)
    history.flush()
    history.append(TrialEnd(1, "complete", None, None))

    history = read_history(folder)
    trials, epochs = history.trials, history.epochs

    assert trials["state"].tolist() == ["running"]
    assert epochs["loss"].tolist() == [2.0]


def test_an_empty_history_has_no_rows_but_its_columns(tmp_path) -> None:
    history = read_history(open_folder(tmp_path))
    trials, epochs = history.trials, history.epochs

    assert trials.empty
    assert {"trial", "state", "config"} <= set(trials.columns)
    assert {"trial", "epoch"} <= set(epochs.columns)
    assert add_best(trials, epochs, Goal("loss")).empty
    assert with_hyperparameters(trials, history.configs).empty


def test_reading_a_history_unpickles_nothing(tmp_path) -> None:
    folder = open_folder(tmp_path)
    write(folder, trial(1, {"x": 1}, [1.0]))
    compact(folder)

    suffixes = {"".join(path.suffixes) for path in tmp_path.rglob("*") if path.is_file()}
    assert suffixes == {".parquet", ".jsonl.gz"}
