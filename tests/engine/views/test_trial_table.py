"""The table of trials on a terminal has a column per hyperparameter that varies."""

import re
from pathlib import Path

import pytest

from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.experiments.history.records import Epoch, TrialEnd, TrialStart
from tune_jobs.engine.experiments.history.segments import SegmentWriter
from tune_jobs.engine.storage.folder import open_folder
from tune_jobs.engine.views.show import lines
from tune_jobs.engine.views.trial_table import trial_table

ADAM = {"name": "adam", "learning_rate": 0.01}
SGD = {"name": "sgd", "learning_rate": 0.1, "nesterov": True}


def cells(line: str) -> list[str]:
    return re.split(r"\s{2,}", line.strip())


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    folder = open_folder(tmp_path / "june")
    folder.create()
    folder.write_json("experiment.json", {"trainable": "x.t", "metric": "loss", "mode": "min"})
    history = SegmentWriter(folder)
    for number, (optimizer, loss, state) in enumerate(
        [(ADAM, 0.5, "complete"), (SGD, 0.25, "stopped"), (SGD, None, "failed")], 1
    ):
        layers = [{"units": 16 * number, "dropout": 0.1}]
        config = {"layers": layers, "optimizer": optimizer, "batch_size": 32, "patience": 8}
        history.append(TrialStart(number, config))
        if loss is not None:
            history.append(Epoch(number, 0, 1, 0.1, {"loss": loss}))
        failure = ("configuration", "ValueError: x") if state == "failed" else (None, None)
        history.append(TrialEnd(number, state, *failure))
    history.flush()
    return Experiment(folder)


def test_hyperparameters_are_columns_and_constants_are_left_out(experiment) -> None:
    head, second, first, third = map(cells, trial_table(experiment))

    results = ["trial", "loss", "epoch", "state"]
    assert head == [*results, "optimizer", "learning_rate", "nesterov", "layers"]
    assert second == ["2", "0.25", "1/1", "stopped", "sgd", "0.1", "yes", "[32/0.1]"]
    assert first == ["1", "0.5", "1/1", "complete", "adam", "0.01", "\u2013", "[16/0.1]"]
    assert third == ["3", "\u2013", "-/0", "failed", "sgd", "0.1", "yes", "[48/0.1]"]


@pytest.mark.parametrize(
    ("width", "hidden"), [(80, None), (60, "learning_rate"), (30, "optimizer,")]
)
def test_columns_that_do_not_fit_are_named_below(experiment, width, hidden) -> None:
    *table, last = trial_table(experiment, width)

    assert max(map(len, table)) <= width
    assert last.startswith("not shown: ") == (hidden is not None)
    assert hidden is None or hidden in last


def test_names_that_end_alike_are_written_out(tmp_path) -> None:
    folder = open_folder(tmp_path / "july")
    folder.create()
    folder.write_json("experiment.json", {"trainable": "x.t", "metric": "loss", "mode": "min"})
    history = SegmentWriter(folder)
    for number in (1, 2):
        history.append(TrialStart(number, {"a": {"rate": number}, "b": {"rate": -number}}))
        history.append(Epoch(number, 0, 1, 0.1, {"loss": number}))
    history.flush()

    assert cells(trial_table(Experiment(folder))[0])[-2:] == ["a.rate", "b.rate"]


def test_show_has_the_table_and_no_long_configs(experiment) -> None:
    said = lines(experiment, short=False)
    assert not [line for line in said if "optimizer=" in line and "would try" not in line]
    assert any("learning_rate" in line and line.lstrip().startswith("trial") for line in said)
