import math
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow.fs import LocalFileSystem
from ray import tune

from trainables import tabular_mlp
from trainables.fitting import fit
from trainables.fitting.checkpoints import load_checkpoint, save_checkpoint
from trainables.fitting.compiled import fit as compiled
from trainables.fitting.curves import Curves, Progress
from trainables.fitting.session import BUDGETS, CheckpointBudget
from trainables.fitting.task import Replica, make_task, weigh_classes

CONFIG = {
    "task": "binary",
    "input_shape": [6],
    "outputs": 1,
    "rows": 75,
    "layers": [{"units": 16, "dropout": 0.3}, {"units": 8}],
    "batch_normalisation": True,
    "batch_size": 16,
    "decay": {"name": "exponential", "rate": 0.9, "steps": 3},
    "max_epochs": 5,
    "seed": 7,
}


def make_data(noise=0.0):
    random = np.random.default_rng(0)
    x = random.normal(size=(100, 6)).astype("float32")
    y = (x[:, 0] + noise * random.normal(size=100) > 0).astype("float32")
    for array in (x, y):
        array.flags.writeable = False
    return SimpleNamespace(x_train=x[:75], y_train=y[:75], x_validation=x[75:], y_validation=y[75:])


@pytest.fixture(scope="module")
def uninterrupted():
    return fit(tabular_mlp.build, CONFIG, make_data(noise=1.0))


class Interruption(BaseException):
    """What the stand-in session raises in place of a lost worker."""


class Session:
    """A stand-in for Ray's session in this process, which dies after some reports."""

    def __init__(self, folder):
        self.folder = folder
        self.checkpoint = None
        self.reports = []
        self.messages = []
        self.dies_after = math.inf

    def report(self, metrics, *, checkpoint=None):
        self.messages.append(metrics)
        self.reports.extend(metrics["epochs"])
        if checkpoint:
            kept = self.folder / str(len(self.reports))
            shutil.copytree(checkpoint.path, kept)
            self.checkpoint = tune.Checkpoint.from_directory(kept)
        if len(self.reports) >= self.dies_after:
            raise Interruption

    def get_trial_id(self):
        return "trial"

    def get_trial_dir(self):
        return str(self.folder / "trial")

    def get_storage(self):
        return SimpleNamespace(
            storage_filesystem=LocalFileSystem(), trial_fs_path=str(self.folder / "stored")
        )


@pytest.fixture
def session(monkeypatch, tmp_path):
    session = Session(tmp_path)
    monkeypatch.setattr(tune, "report", session.report)
    monkeypatch.setattr(tune, "get_checkpoint", lambda: session.checkpoint)
    monkeypatch.setattr(tune, "get_context", lambda: session)
    return session


def interrupt(session, config, data, *, after):
    session.dies_after = after
    with pytest.raises(Interruption):
        fit(tabular_mlp.build, config, data)
    session.dies_after = math.inf


def equal_weights(model, other):
    pairs = zip(model.get_weights(), other.get_weights(), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def test_a_fit_repeats_bit_for_bit(uninterrupted):
    again = fit(tabular_mlp.build, CONFIG, make_data(noise=1.0))

    assert again.history.history == uninterrupted.history.history
    assert equal_weights(again, uninterrupted)


def test_another_seed_gives_another_fit(uninterrupted):
    other = fit(tabular_mlp.build, CONFIG | {"seed": 8}, make_data(noise=1.0))

    assert other.history.history["loss"] != uninterrupted.history.history["loss"]


@pytest.mark.parametrize("epochs", [1, 4])
def test_an_interrupted_fit_goes_on_as_if_it_had_never_stopped(session, uninterrupted, epochs):
    interrupt(session, CONFIG, make_data(noise=1.0), after=epochs)
    resumed = fit(tabular_mlp.build, CONFIG, make_data(noise=1.0))

    assert [report["epoch"] for report in session.reports] == [1, 2, 3, 4, 5]
    for name, values in uninterrupted.history.history.items():
        assert [report[name] for report in session.reports] == values
    assert equal_weights(resumed, uninterrupted)


def test_a_fit_goes_on_with_the_variables_that_its_optimizer_has(session, monkeypatch):
    momentum = {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9}
    config, data = CONFIG | {"optimizer": momentum}, make_data(noise=1.0)
    whole = fit(tabular_mlp.build, config, data)
    session.folder, session.checkpoint = session.folder / "again", None
    session.reports.clear()
    with monkeypatch.context() as patch:  # in a program of its own, as before there were others
        patch.setattr(compiled, "find_kind", lambda *_: None)
        interrupt(session, config, data, after=2)
    found, _ = load_checkpoint(session.checkpoint.path)
    fit(tabular_mlp.build, config, data)

    assert [array.ndim for array in found["slots"]] == [1, 1, 2]  # steps, rate and momentum
    assert len(load_checkpoint(session.checkpoint.path)[0]["slots"]) == 3
    losses = [report["loss"] for report in session.reports]
    np.testing.assert_allclose(losses, whole.history.history["loss"], rtol=1e-5)


def test_a_fit_interrupted_after_its_last_epoch_trains_nothing_more(session, uninterrupted):
    interrupt(session, CONFIG, make_data(noise=1.0), after=5)
    resumed = fit(tabular_mlp.build, CONFIG, make_data(noise=1.0))

    assert len(session.reports) == 5
    assert equal_weights(resumed, uninterrupted)


def test_each_epoch_reports_plain_numbers(session):
    fit(tabular_mlp.build, CONFIG | {"max_epochs": 2}, make_data())

    names = {"epoch", "loss", "val_loss", "accuracy", "val_accuracy", "seconds"}
    assert all(report.keys() == names for report in session.reports)
    assert {type(value) for report in session.reports for value in report.values()} == {int, float}


OVERFITTING = CONFIG | {
    "layers": [{"units": 64}],
    "optimizer": {"name": "adam", "learning_rate": 0.03},
    "decay": {"name": "none"},
    "max_epochs": 40,
    "patience": 3,
}


@pytest.fixture(scope="module")
def overfitted():
    return fit(tabular_mlp.build, OVERFITTING, make_data(noise=3.0))


def test_patience_ends_the_fit_with_the_best_weights(overfitted):
    data = make_data(noise=3.0)
    values = overfitted.history.history["val_loss"]
    score = overfitted.evaluate(data.x_validation, data.y_validation, verbose=0)[0]

    assert len(values) == int(np.argmin(values)) + 1 + 3 < 40
    assert score == pytest.approx(min(values), rel=1e-5)


def test_patience_counts_on_after_an_interruption(session, overfitted):
    epochs = len(overfitted.history.history["val_loss"])
    interrupt(session, OVERFITTING, make_data(noise=3.0), after=epochs - 1)
    resumed = fit(tabular_mlp.build, OVERFITTING, make_data(noise=3.0))

    assert len(session.reports) == epochs
    assert equal_weights(resumed, overfitted)


def test_patience_that_was_exhausted_before_an_interruption_trains_nothing_more(
    session, overfitted
):
    epochs = len(overfitted.history.history["val_loss"])
    interrupt(session, OVERFITTING, make_data(noise=3.0), after=epochs)
    resumed = fit(tabular_mlp.build, OVERFITTING, make_data(noise=3.0))

    assert len(session.reports) == epochs
    assert equal_weights(resumed, overfitted)


def test_the_best_epoch_of_a_maximised_metric_is_the_highest():
    data = make_data(noise=1.0)
    model = fit(tabular_mlp.build, CONFIG | {"metric": "val_accuracy", "mode": "max"}, data)

    best = max(model.history.history["val_accuracy"])
    assert model.evaluate(data.x_validation, data.y_validation, verbose=0)[1] == pytest.approx(best)


def test_a_metric_that_keras_does_not_report_is_named_with_those_that_it_does():
    with pytest.raises(ValueError, match=r"'val_acc' was not reported.*: accuracy, loss, val_acc"):
        fit(tabular_mlp.build, CONFIG | {"metric": "val_acc"}, make_data())


def test_outside_a_session_no_checkpoint_is_written(monkeypatch):
    for place in ("compiled.fit.save_checkpoint", "plain.save_models"):
        name = f"trainables.fitting.{place}"
        monkeypatch.setattr(name, lambda *_: pytest.fail("written"))

    fit(tabular_mlp.build, CONFIG | {"max_epochs": 1}, make_data())


def test_a_users_callback_sees_every_epoch():
    import keras

    seen = []
    callback = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, _: seen.append(epoch))
    fit(tabular_mlp.build, CONFIG | {"max_epochs": 2}, make_data(), callbacks=[callback])

    assert seen == [0, 1]


@pytest.mark.parametrize("path", ["compiled", "model.fit"])
def test_a_loss_that_is_not_finite_is_reported_as_it_is_and_ends_the_fit(session, path):
    import keras

    callbacks = [keras.callbacks.Callback()] if path == "model.fit" else []
    data = make_data()
    data.y_train = np.full(75, np.nan, "float32")
    config = CONFIG | {"max_epochs": 5, "metric": "loss"}
    fit(tabular_mlp.build, config, data, callbacks=callbacks)

    assert [math.isnan(report["loss"]) for report in session.reports] == [True]


def test_a_damaged_checkpoint_is_no_checkpoint(session):
    whole = fit(tabular_mlp.build, CONFIG, make_data())
    state = Path(session.checkpoint.path, "state.npz")
    state.write_bytes(state.read_bytes()[:100])
    session.folder = session.folder / "again"

    with pytest.warns(UserWarning, match="cannot be read.*restarts from its first epoch"):
        again = fit(tabular_mlp.build, CONFIG, make_data())

    assert again.history.history == whole.history.history


@given(st.integers(1, 200), st.integers(0, 2**31))
def test_every_epoch_has_every_row_once_in_an_order_that_follows_from_the_seed(rows, seed):
    task = make_task({}, SimpleNamespace(x_train=np.zeros(rows)))
    some = np.arange(0, 2 * rows, 2)

    assert sorted(task.order(Replica(seed), 3)) == list(range(rows))
    assert sorted(task.order(Replica(seed, train=some), 0)) == some.tolist()
    assert task.order(Replica(seed), 1).tolist() == task.order(Replica(seed), 1).tolist()


def test_orders_differ_between_epochs_and_seeds():
    task = make_task({}, SimpleNamespace(x_train=np.zeros(50)))
    orders = [task.order(Replica(seed), epoch).tolist() for seed in (1, 2) for epoch in (0, 1)]

    assert len({tuple(order) for order in orders}) == 4


def test_a_checkpoint_of_another_config_is_refused(session, tmp_path):
    save_checkpoint({"weights": [np.zeros((1, 5))]}, [Progress()], tmp_path)
    session.checkpoint = tune.Checkpoint.from_directory(tmp_path)

    with pytest.raises(ValueError, match="written with another configuration"):
        fit(tabular_mlp.build, CONFIG, make_data())


@given(st.lists(st.floats(), min_size=1), st.sampled_from(["min", "max"]))
def test_the_best_epoch_is_the_first_of_the_best_finite_values(values, mode):
    progress = Progress()
    for value in values:
        progress = progress.advance({"score": value}, "score", mode)

    finite = [value for value in values if math.isfinite(value)]
    best = {"min": min, "max": max}[mode](finite, default=None)
    assert progress.best == best
    assert progress.best_epoch == (0 if best is None else values.index(best) + 1)
    assert progress.epoch == len(values)


def test_classes_are_weighed_as_keras_weighs_them():
    targets = np.array([0.0, 1.0, 2.0, 1.0], "float32")

    assert weigh_classes(targets, {0: 0.5, 1: 3.0}).tolist() == [0.5, 3.0, 1.0, 3.0]
    assert weigh_classes(np.eye(3)[[0, 1, 2, 1]], {1: 3.0}).tolist() == [1.0, 3.0, 1.0, 3.0]


def test_importing_trainables_imports_neither_keras_nor_tensorflow():
    code = (
        "import sys, trainables.tabular_mlp, trainables.image_cnn; "
        "sys.exit(bool({'keras', 'tensorflow'} & sys.modules.keys()))"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


RUNGS = CONFIG | {"max_epochs": 9, "rungs": [1, 3, 9]}


def test_epochs_are_sent_at_the_rungs(session):
    fit(tabular_mlp.build, RUNGS, make_data(noise=1.0))

    assert [message["training_iteration"] for message in session.messages] == [1, 3, 9]
    assert [len(message["epochs"]) for message in session.messages] == [1, 2, 6]
    assert [report["epoch"] for report in session.reports] == list(range(1, 10))


def test_a_fit_goes_on_from_a_checkpoint_that_is_older_than_its_last_report(session):
    whole = fit(tabular_mlp.build, RUNGS, make_data(noise=1.0))
    (latest,) = sorted(session.folder.iterdir(), key=lambda kept: int(kept.name))[-1:]
    session.reports.clear()
    session.checkpoint = tune.Checkpoint.from_directory(latest)
    resumed = fit(tabular_mlp.build, RUNGS, make_data(noise=1.0))

    assert [report["epoch"] for report in session.reports] == list(range(int(latest.name) + 1, 10))
    assert equal_weights(resumed, whole)


def test_the_best_fit_of_a_worker_always_has_a_checkpoint(session):
    losses = []
    for seed in range(5):
        before, session.checkpoint = len(session.messages), None
        fit(tabular_mlp.build, RUNGS | {"seed": seed}, make_data(noise=1.0))
        epochs = [row for message in session.messages[before:] for row in message["epochs"]]
        losses.append(min(row["val_loss"] for row in epochs))
        if losses[-1] == min(losses):
            found, (progress,) = load_checkpoint(session.checkpoint.path)
            assert progress.best == losses[-1]
            assert len(found["best_weights"]) == 1


@pytest.mark.parametrize(("pauses", "saved"), [(False, set()), (True, {"1", "3", "9"})])
def test_a_fit_that_may_be_paused_saves_at_every_rung(session, monkeypatch, pauses, saved):
    # Neither is a checkpoint cheap, nor may it be the best.
    spent = CheckpointBudget(best=-math.inf, checkpoints=math.inf)
    places = (session.get_trial_dir(), session.get_storage().trial_fs_path)
    monkeypatch.setitem(BUDGETS, tuple(Path(place).parent for place in places), spent)
    fit(tabular_mlp.build, RUNGS | {"pauses": pauses}, make_data())

    assert {kept.name for kept in session.folder.iterdir()} == saved


def test_the_checkpoints_of_another_experiment_do_not_count(session, monkeypatch):
    fit(tabular_mlp.build, RUNGS, make_data())
    stored = session.get_storage()
    stored.trial_fs_path = str(session.folder / "another" / "stored")
    monkeypatch.setattr(session, "get_storage", lambda: stored)
    session.checkpoint = None
    fit(tabular_mlp.build, RUNGS, make_data())  # no better

    assert session.checkpoint is not None


def test_a_message_says_where_the_time_went_and_what_path_was_taken(session):
    fit(tabular_mlp.build, RUNGS, make_data())
    work = session.messages[-1]["work"]

    assert work["path"] == "compiled"
    assert work["fallback"] is None
    assert {"training", "building", "compiling"} <= work["spent"].keys()
    assert work["memory"] > 100
    assert sum(row["seconds"] for row in session.reports) == pytest.approx(
        work["spent"]["training"]
    )


def test_a_fit_that_a_callback_ends_reports_all_its_epochs(session):
    import keras

    stop = keras.callbacks.EarlyStopping(monitor="val_loss", patience=0, mode="max")
    config = RUNGS | {"optimizer": {"name": "adam", "learning_rate": 1e-3}, "rungs": []}
    model = fit(tabular_mlp.build, config, make_data(), callbacks=[stop])

    epochs = len(model.history.history["val_loss"])
    assert epochs < 9
    assert [report["epoch"] for report in session.reports] == list(range(1, epochs + 1))


class Falling:
    """Callbacks that lower the learning rate after each epoch that is no better, and log it."""

    def __new__(cls):
        import keras

        return [
            keras.callbacks.ReduceLROnPlateau(patience=1, min_delta=10.0, factor=0.5),
            keras.callbacks.CSVLogger("log.csv"),
        ]


REPLICAS = (Replica(1), Replica(2), Replica(3))


@pytest.mark.parametrize("given", ["a list", "a function"])
def test_each_replica_has_callbacks_of_its_own_that_train_once(session, given):
    data = make_data(noise=1.0)
    data.replicas = REPLICAS
    config = CONFIG | {"decay": {"name": "none"}}
    fit(tabular_mlp.build, config, data, callbacks=Falling() if given == "a list" else Falling)

    alone = []
    for each in REPLICAS:
        session.checkpoint = None
        again = fit(
            tabular_mlp.build,
            config | {"seed": each.seed},
            make_data(noise=1.0),
            callbacks=Falling(),
        )
        alone.append(again.history.history)
    rows = [row["replicas"] for row in session.reports[:5]]
    for index, history in enumerate(alone):
        assert [row[index]["val_loss"] for row in rows] == history["val_loss"]
        assert [row[index]["learning_rate"] for row in rows] == history["learning_rate"]
    assert rows[-1][0]["learning_rate"] == pytest.approx(0.001 / 2**3)


def test_relative_files_of_callbacks_lie_in_the_folder_of_the_trial(session, monkeypatch, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    data, config = make_data(noise=1.0), CONFIG | {"decay": {"name": "none"}}
    fit(tabular_mlp.build, config, data, callbacks=Falling())
    data.replicas, session.checkpoint = REPLICAS, None
    fit(tabular_mlp.build, config, data, callbacks=Falling())

    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.csv")}
    parts = ("", "replica-1/", "replica-2/", "replica-3/")
    assert files == {f"stored/{part}log.csv" for part in parts}
    assert len((tmp_path / "stored" / "replica-2" / "log.csv").read_text().splitlines()) == 6
    assert Path.cwd() == tmp_path / "elsewhere"


def test_a_replica_that_its_callback_stops_trains_no_more_and_the_others_do(session):
    import keras

    class StopSecond(keras.callbacks.Callback):
        made = 0

        def __init__(self):
            super().__init__()
            StopSecond.made += 1
            self.number = StopSecond.made

        def on_epoch_end(self, epoch, logs=None):
            if self.number == 2 and epoch == 1:
                self.model.stop_training = True

    data = make_data(noise=1.0)
    data.replicas = REPLICAS
    fit(tabular_mlp.build, CONFIG, data, callbacks=lambda: [StopSecond()])

    trained = [[each is not None for each in row["replicas"]] for row in session.reports]
    assert trained == [[True, True, True]] * 2 + [[True, False, True]] * 3


@pytest.mark.parametrize(
    ("callbacks", "message"),
    [
        ("stop", "callbacks must be a list of Keras callbacks, .*; got 'stop'"),
        ([print], "callbacks must be a list of Keras callbacks"),
        (lambda: None, "callbacks must be a list of Keras callbacks, .*; got None"),
    ],
)
def test_what_is_no_list_of_callbacks_is_refused(callbacks, message):
    with pytest.raises(ValueError, match=message):
        fit(tabular_mlp.build, CONFIG, make_data(), callbacks=callbacks)


def test_callbacks_that_cannot_be_copied_ask_for_a_function():
    import keras

    class Locked(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.lock = threading.Lock()

    data = make_data()
    data.replicas = REPLICAS
    with pytest.raises(ValueError, match=r"callbacks Locked cannot be copied .* give a function"):
        fit(tabular_mlp.build, CONFIG, data, callbacks=[Locked()])


def test_the_score_of_replicas_is_the_best_of_their_mean():
    data = SimpleNamespace(x_train=np.zeros(4), replicas=[Replica(0), Replica(1)])
    curves = Curves(make_task({"metric": "loss"}, data))
    for first, second in [(0.1, 0.3), (0.3, 0.1), (0.2, 0.19)]:
        curves.add([{"loss": first}, {"loss": second}], seconds=0.0)

    assert curves.score == pytest.approx(0.195)
