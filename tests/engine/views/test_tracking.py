"""Trackers: every epoch of every trial reaches Ray's logger callbacks, and nothing else does."""

import io
import json
import logging
import math
import pathlib
import struct
import sys
import threading
import time
from dataclasses import dataclass
from urllib.parse import unquote

import pytest
from ray import cloudpickle, tune
from ray.tune.logger import LoggerCallback
from tensorboardX.proto.event_pb2 import Event

from tune_jobs.engine import JobError
from tune_jobs.engine.environment import environment
from tune_jobs.engine.goal import Goal
from tune_jobs.engine.runs.start_ray import TUNE_SETTINGS
from tune_jobs.engine.storage.folder import Folder, open_folder
from tune_jobs.engine.trials.fitting import fit_trial
from tune_jobs.engine.trials.shipping import ship
from tune_jobs.engine.views import tracking
from tune_jobs.engine.views.trackers import Destination, find_destination
from tune_jobs.engine.views.tracking import EpochByEpoch, Tracker, as_table, make_trackers

cloudpickle.register_pickle_by_value(sys.modules[__name__])

SECRET = "correct%21horse"
LOSSES = [3.0, 1.0, 2.0, math.nan, 1.5]


def train(config: dict, data: object) -> None:
    """Reports five epochs in messages of two, as the trainables do."""
    from trainables.fitting.session import Session

    if config["x"] == "broken":
        raise RuntimeError("no such layer")
    if config["x"] == "short":
        train_at_will(config, data)
        return
    session = Session({"rungs": [2, 4, 5]})
    for epoch, loss in enumerate(LOSSES, 1):
        session.note({"epoch": epoch, "loss": loss, "replicas": [{"loss": loss}], "seconds": 0.1})
        if session.is_due(epoch, ended=epoch == 5):
            session.send(math.inf, lambda _: None)


def train_at_will(config: dict, data: object) -> None:
    for loss in (3.0, 1.0):
        tune.report({"loss": loss})


class Recording(LoggerCallback):
    """Writes what it is told as lines of JSON."""

    def __init__(self, place: pathlib.Path) -> None:
        self.place = place

    def setup(self) -> None:
        self._write("setup")

    def log_trial_start(self, trial) -> None:
        self._write("start", str(trial), trial.config)

    def log_trial_result(self, iteration, trial, result) -> None:
        self._write("result", str(trial), iteration, result)

    def log_trial_end(self, trial, failed=False) -> None:
        self._write("end", str(trial), failed)

    def on_experiment_end(self, trials) -> None:
        self._write("close")

    def _write(self, *what) -> None:
        with self.place.open("a") as file:
            file.write(json.dumps(what) + "\n")


class Broken(Recording):
    def log_trial_result(self, iteration, trial, result) -> None:
        super().log_trial_result(iteration, trial, result)
        raise ConnectionError(f"https://me:{SECRET}@host is away, {unquote(SECRET)} was refused")


class Slow(Recording):
    def log_trial_result(self, iteration, trial, result) -> None:
        time.sleep(30)


def fit(trackers, place, trainable=train, **space):
    """Search with trackers, as the engine does, on a real Ray."""
    tuner = tune.Tuner(
        tune.with_parameters(fit_trial, train=ship(trainable, of=trainable), fixed={}, data=None),
        param_space={"x": 1, **space},
        tune_config=tune.TuneConfig(
            metric="loss",
            mode="min",
            max_concurrent_trials=1,
            reuse_actors=True,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name="trials", storage_path=str(place), callbacks=trackers, verbose=0
        ),
    )
    with environment(TUNE_SETTINGS):
        return tuner.fit()


def recording(kind, place: pathlib.Path, value: str = "") -> Tracker:
    return Tracker("mine", Destination(lambda: kind(place)), Goal("loss"), value)


def told(place: pathlib.Path) -> list:
    return [json.loads(line) for line in place.read_text().splitlines()]


def results(place: pathlib.Path) -> list:
    return [event for event in told(place) if event[0] == "result"]


@pytest.fixture
def folder(tmp_path) -> Folder:
    return open_folder(tmp_path / "churn")


@dataclass
class Searched:
    """A search of a trial that raises and two that do not, its trackers and its log."""

    place: pathlib.Path
    found: tune.ResultGrid
    log: str


@pytest.fixture(scope="module")
def searched(local_ray, tmp_path_factory) -> Searched:
    place, log = tmp_path_factory.mktemp("searched"), io.StringIO()
    logging.getLogger().addHandler(handler := logging.StreamHandler(log))
    folder = open_folder(place / "churn")
    try:
        trackers = [
            recording(Recording, place / "sound"),
            recording(Broken, place / "broken", f"https://me:{SECRET}@host"),
            Tracker("unbuilt", Destination(lambda: 1 / 0), Goal("loss")),
            *make_trackers(["tensorboard"], folder=folder, goal=Goal("loss")),
        ]
        xs = tune.grid_search(["broken", "sound", "short"])
        found = fit(trackers, place, x=xs, nested={"units": 8, "none": None})
    finally:
        logging.getLogger().removeHandler(handler)
    return Searched(place, found, log.getvalue())


def test_a_message_of_many_epochs_is_told_one_by_one(searched) -> None:
    events = told(searched.place / "sound")
    name = events[3][1]
    sound = [event for event in events if event[1:2] == [name]]

    assert [event[0] for event in sound] == ["start", *["result"] * 5, "end"]
    assert [event[2] for event in sound[1:-1]] == [1, 2, 3, 4, 5]
    metrics = [event[3] for event in sound[1:-1]]
    assert {tuple(each) for each in metrics} == {("best_loss", "loss", "training_iteration")}
    assert [each["best_loss"] for each in metrics] == [3, 1, 1, 1, 1]
    assert [each["loss"] for each in metrics][:3] == [3, 1, 2]


def test_a_trial_that_raised_or_diverged_is_told_as_failed(searched) -> None:
    events = told(searched.place / "sound")

    assert [event[2] for event in events if event[0] == "end"] == [True, True, False]
    assert events[0] == ["setup"]
    assert events[-1] == ["close"]


def test_a_traceback_is_no_result(searched) -> None:
    assert len(results(searched.place / "sound")) == 5 + 2


def test_a_tracker_that_fails_is_dropped_and_the_search_goes_on(searched) -> None:
    assert not searched.found.errors
    ends = [result.metrics["training_iteration"] for result in searched.found]
    assert sorted(ends) == [1, 2, 5]
    assert len(results(searched.place / "broken")) == 1
    said = "--track mine is disabled, the run continues: ConnectionError: https://***@host is away"
    assert searched.log.count(said) == 1


def test_a_tracker_that_cannot_be_built_is_dropped_too(searched) -> None:
    assert "--track unbuilt is disabled, the run continues: ZeroDivisionError" in searched.log


def test_a_secret_is_in_no_file_of_the_experiment_and_in_no_message(searched) -> None:
    files = [path for path in (searched.place / "trials").rglob("*") if path.is_file()]

    assert searched.place / "trials" / "tuner.pkl" in files
    for secret in (SECRET, unquote(SECRET)):
        assert not [path for path in files if secret.encode() in path.read_bytes()]
        assert secret not in searched.log


def test_tensorboard_holds_every_epoch_and_the_hyperparameters(searched) -> None:
    sound = next(result for result in searched.found if result.config["x"] == "sound")
    run = searched.place / "churn" / "tensorboard" / pathlib.Path(sound.path).name
    values = [value for event in events_of(run) for value in event.summary.value]

    losses = [value.simple_value for value in values if value.tag == "ray/tune/loss"]
    assert losses == [3.0, 1.0, 2.0, 1.5]  # Ray's callback leaves out what is not finite
    best = [value.simple_value for value in values if value.tag == "ray/tune/best_loss"]
    assert best == [3, 1, 1, 1, 1]
    steps = [e.step for e in events_of(run) if e.summary.value[:1] and e.step]
    assert sorted(set(steps)) == [1, 2, 3, 4, 5]
    (shown,) = [value for value in values if value.tag == "_hparams_/session_start_info"]
    assert b"nested.units" in shown.metadata.plugin_data.content


def events_of(run: pathlib.Path) -> list[Event]:
    """The events of a TensorBoard file: length, checksum, content, checksum; and again."""
    (file,) = run.glob("events.out.tfevents.*")
    content, found = file.read_bytes(), []
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        found.append(Event.FromString(content[12 : 12 + length]))
        content = content[16 + length :]
    return found


def test_a_trainable_that_reports_at_will_is_told_as_it_reports(local_ray, tmp_path) -> None:
    place = tmp_path / "told"
    fit([recording(Recording, place)], tmp_path, train_at_will)

    assert [(event[2], event[3]["loss"]) for event in results(place)] == [(1, 3.0), (2, 1.0)]
    assert set(results(place)[0][3]) == {"best_loss", "loss", "training_iteration"}


def test_the_best_is_the_largest_where_that_is_sought(tmp_path) -> None:
    told_to = follow(tmp_path / "told", mode="max")
    told_to.start("1", "00001", {})
    for epoch, loss in enumerate((1.0, 3.0, 2.0), 1):
        told_to.report("1", {"training_iteration": epoch, "loss": loss})

    assert [event[3]["best_loss"] for event in results(tmp_path / "told")] == [1, 3, 3]


def follow(place: pathlib.Path, mode: str = "min") -> EpochByEpoch:
    return EpochByEpoch(Destination(lambda: Recording(place)), Goal("loss", mode))


def test_epochs_that_are_trained_again_after_a_loss_are_told_once(tmp_path) -> None:
    told_to = follow(tmp_path / "told")
    for epoch in (1, 2, 3, 2, 3, 4):  # the worker was lost after the third; the first was kept
        told_to.start("1", "00001", {})
        told_to.report("1", {"training_iteration": epoch, "loss": 1.0})
    told_to.close()

    assert [event[2] for event in results(tmp_path / "told")] == [1, 2, 3, 4]
    assert [event[0] for event in told(tmp_path / "told")].count("start") == 1


def test_a_trial_that_was_cut_off_is_told_as_failed(tmp_path) -> None:
    told_to = follow(tmp_path / "told")
    told_to.start("1", "00001", {})
    told_to.report("1", {"training_iteration": 1, "loss": 1.0})
    told_to.close()

    assert told(tmp_path / "told")[-2:] == [["end", "00001", True], ["close"]]


def test_a_slow_tracker_delays_no_trial_and_its_end_is_not_awaited_for_ever(
    local_ray, tmp_path, caplog, monkeypatch
) -> None:
    monkeypatch.setattr(tracking, "MOST_SECONDS", 0.1)
    with caplog.at_level(logging.WARNING, "tune_jobs"):
        found = fit([recording(Slow, tmp_path / "told")], tmp_path)

    assert found[0].metrics["training_iteration"] == 5
    assert [thread.name for thread in threading.enumerate()].count("mine") == 1
    assert "not finished 0.1 s after the last trial" in caplog.text


def test_a_config_is_shown_with_dotted_names_and_plain_values() -> None:
    class Layer:
        def __repr__(self) -> str:
            return "Layer()" * 200

    config = {"layers": [{"units": 8}], "rate": 0.1, "none": None, "on": True, "layer": Layer()}
    shown = as_table(config)

    assert shown.pop("layer") == ("Layer()" * 200)[:500]
    assert shown == {"layers.0.units": 8, "rate": 0.1, "none": "None", "on": True}


def test_tensorboard_for_experiments_that_lie_elsewhere_needs_a_folder() -> None:
    elsewhere = open_folder("mock://bucket/churn")
    with pytest.raises(JobError, match=r"the storage is mock://.*write --track tensorboard=FOLDER"):
        make_trackers(["tensorboard"], folder=elsewhere, goal=Goal("loss"))

    found = find_destination("tensorboard", "tb", elsewhere)
    assert found.place == pathlib.Path("tb/churn").absolute()


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (
            ["mflow=sqlite:///a.db"],
            r"unknown tracker 'mflow'; did you mean 'mlflow'\? Known: tensor.*",
        ),
        (["comet"], r"unknown tracker 'comet'\. Known: .*mlflow=URI, wandb=PROJECT"),
        (["wandb"], r"--track 'wandb' needs a value; write --track wandb=PROJECT"),
        (["mlflow=me:word@a"], r"--track mlflow: 'a' is not a URI; write mlflow=sqlite:///FILE or"),
        (["http://me:wo@rd@host"], r"unknown tracker 'http://\*\*\*@host'\."),
        (["tensorboard", "tensorboard=x"], r"--track tensorboard is given twice"),
    ],
)
def test_a_tracker_that_is_not_understood_is_refused(wanted, message, folder) -> None:
    with pytest.raises(JobError, match=message):
        make_trackers(wanted, folder=folder, goal=Goal("loss"))


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_tracker_that_is_not_installed_is_refused_with_its_extra(
    name, folder, monkeypatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)  # as if it were not there
    with pytest.raises(JobError, match=rf"needs .*{name}.*; pip install 'tune-jobs\[{name}\]'"):
        make_trackers([f"{name}=sqlite:///a.db"], folder=folder, goal=Goal("loss"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own
def test_mlflow_holds_every_epoch_and_the_hyperparameters(local_ray, tmp_path, folder) -> None:
    client = pytest.importorskip("mlflow").MlflowClient(uri := f"sqlite:///{tmp_path}/mlflow.db")
    fit(
        make_trackers([f"mlflow={uri}"], folder=folder, goal=Goal("loss")),
        tmp_path,
        nested={"units": 8},
    )

    experiment = client.get_experiment_by_name("churn")
    (run,) = client.search_runs([experiment.experiment_id])
    assert [m.step for m in client.get_metric_history(run.info.run_id, "loss")] == [1, 2, 3, 4, 5]
    assert run.data.metrics["best_loss"] == 1.0
    assert run.data.params["nested.units"] == "8"
    assert run.info.status == "FAILED"  # it diverged


@pytest.mark.filterwarnings("default")  # theirs
def test_wandb_holds_every_epoch_and_the_hyperparameters(
    local_ray, tmp_path, folder, monkeypatch
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setattr(sys, "argv", ["tune-jobs", "--track", "mlflow=http://me:hidden-word@host"])
    folder.create()
    fit(
        make_trackers(["wandb=churn"], folder=folder, goal=Goal("loss")),
        tmp_path,
        nested={"units": 8},
    )

    (run,) = (tmp_path / "churn" / "wandb").glob("offline-run-*")
    (log,) = run.glob("*.wandb")
    content = log.read_bytes()
    assert content.count(b"best_loss") >= 5
    assert b"nested.units" in content
    files = [path for path in run.rglob("*") if path.is_file()]
    assert not [path for path in files if b"hidden-word" in path.read_bytes()]
