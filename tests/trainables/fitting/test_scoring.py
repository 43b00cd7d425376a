"""Scorers of one's own on the outputs of each epoch: the same values on both ways of fitting."""

import math
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from pyarrow.fs import LocalFileSystem
from ray import tune
from sklearn.metrics import average_precision_score

from trainables import tabular_mlp
from trainables.fitting import fit
from trainables.fitting.compiled import fit as compiled
from trainables.fitting.session import Session
from trainables.fitting.task import Replica

CONFIG = {
    "task": "binary",
    "input_shape": [6],
    "outputs": 1,
    "rows": 400,
    "layers": [{"units": 32, "dropout": 0.2}],
    "batch_normalisation": True,
    "optimizer": {"name": "adam", "learning_rate": 0.02},
    "batch_size": 32,
    "max_epochs": 4,
    "seed": 7,
    "metric": "val_precision_of_ranks",
    "mode": "max",
}
PATHS = pytest.mark.parametrize("path", ["compiled", "model.fit"])


def precision_of_ranks(truth, outputs):
    return average_precision_score(truth, outputs[:, 0])


def brier(truth, outputs):
    return -float(np.mean((truth - outputs[:, 0]) ** 2))


SCORERS = {"precision_of_ranks": precision_of_ranks, "brier": brier}


def make_data(scorers=SCORERS, rows=700, **more):
    """More validation rows than are scored at once."""
    random = np.random.default_rng(0)
    x = random.normal(size=(rows, 6)).astype("float32")
    y = (x[:, 0] + 2 * random.normal(size=rows) > 0).astype("float32")
    parts = {"x_train": x[:400], "y_train": y[:400], "x_validation": x[400:]}
    return SimpleNamespace(**parts, y_validation=y[400:], scorers=scorers, **more)


def make_replicas():
    """Two seeds on folds of unequal size."""
    rows, held = np.arange(400), np.arange(300)
    return [
        Replica(seed, rows[rows % 3 != part], held[held % (3 + part) == 0])
        for seed in (3, 4)
        for part in range(3)
    ]


@pytest.fixture
def run(monkeypatch):
    """Fit on one of the two ways."""

    def fit_on(path, config, data):
        with monkeypatch.context() as patch:
            if path == "model.fit":
                patch.setattr(
                    "trainables.fitting.compiled.eligibility.why_not", lambda *_: "a test"
                )
            return fit(tabular_mlp.build, config, data)

    return fit_on


@pytest.fixture
def rows(monkeypatch):
    """The epochs that the fits of a test note."""
    noted = []
    original = Session.note

    def note(session, row):
        noted.append(row)
        original(session, row)

    monkeypatch.setattr(Session, "note", note)
    return noted


def outputs_of(model):
    return np.asarray(model.predict(make_data().x_validation, verbose=0))


@PATHS
def test_every_epoch_reports_the_scores_and_the_best_by_them_is_kept(path, run):
    data = make_data()
    model = run(path, CONFIG, data)
    history = model.history.history

    assert len(set(history["val_precision_of_ranks"])) == 4
    best = int(np.argmax(history["val_precision_of_ranks"]))
    for name, score in SCORERS.items():
        found = score(data.y_validation, outputs_of(model))
        assert history[f"val_{name}"][best] == pytest.approx(found, rel=1e-5)


@pytest.mark.parametrize("replicas", [None, make_replicas()[1:4]], ids=["one", "folds"])
def test_all_ways_give_the_same_scores(replicas, run, rows, monkeypatch):
    data = make_data(replicas=replicas)
    config = CONFIG | {"max_epochs": 3}
    slow = run("model.fit", config, data)
    fast = [run("compiled", config, data)]
    if replicas:  # above in step, here one after the other
        monkeypatch.setattr(compiled, "can_be_stacked", lambda _: False)
        fast.append(run("compiled", config, data))

    assert len(rows) == 3 * (1 + len(fast))
    for one, other in zip(rows[:3] * len(fast), rows[3:], strict=True):
        pairs = zip(one.get("replicas", [one]), other.get("replicas", [other]), strict=True)
        for keras_own, mine in pairs:
            assert mine.keys() == keras_own.keys() > {"val_loss", "val_brier"}
            for name in ("val_precision_of_ranks", "val_brier"):
                assert mine[name] == pytest.approx(keras_own[name], rel=2e-3)
    for each in fast:
        np.testing.assert_allclose(outputs_of(each), outputs_of(slow), rtol=1e-2, atol=1e-3)


def test_several_outputs_are_scored(run):
    def right(truth, outputs):
        return float(np.mean(outputs.argmax(axis=1) == truth))

    data = make_data({"right": right})
    config = CONFIG | {"task": "multiclass", "outputs": 2, "metric": "val_right"}
    history = run("compiled", config, data).history.history

    assert history["val_right"] == pytest.approx(history["val_accuracy"])


def test_a_scorer_takes_the_place_of_a_metric_of_its_name(run):
    data = make_data({"accuracy": lambda truth, outputs: float(len(outputs) - len(truth)) - 1})
    for path in ("compiled", "model.fit"):
        model = run(path, CONFIG | {"metric": "val_accuracy"}, data)

        assert model.history.history["val_accuracy"] == [-1.0] * 4
        assert max(model.history.history["accuracy"]) > 0
        first = run(path, CONFIG | {"metric": "val_accuracy", "max_epochs": 1}, data)
        assert np.array_equal(outputs_of(model), outputs_of(first))  # the first is best


@PATHS
def test_patience_counts_by_the_scores_of_each_replica(path, run, rows):
    config = CONFIG | {"max_epochs": 12, "patience": 2}
    run(path, config, make_data(replicas=make_replicas()[:2]))

    trained = []
    for index in range(2):
        values = [row["replicas"][index] for row in rows if row["replicas"][index]]
        scores = [each["val_precision_of_ranks"] for each in values]
        assert len(scores) == min(12, int(np.argmax(scores)) + 1 + 2)
        assert all(math.isfinite(score) for score in scores)
        trained.append(len(scores))
    assert len(set(trained)) > 1


class Interruption(BaseException):
    """What the stand-in session raises in place of a lost worker."""


@pytest.mark.parametrize(
    ("path", "folds"),
    # One compiled fit: see test_fit.py.
    [("model.fit", None), ("compiled", 2), ("model.fit", 2)],
)
def test_an_interrupted_fit_goes_on_as_if_it_had_never_stopped(
    path, folds, run, rows, monkeypatch, tmp_path
):
    config = CONFIG | {"patience": 3, "max_epochs": 4}
    data = make_data(replicas=make_replicas()[:folds] if folds else None)
    whole = run(path, config, data)
    expected = [{**row, "seconds": 0} for row in rows]
    rows.clear()
    kept = []

    def report(message, *, checkpoint=None):
        kept.append(tune.Checkpoint(checkpoint.path))
        if len(kept) == 2:
            checkpoint.to_directory(tmp_path / "kept")
            raise Interruption

    storage = SimpleNamespace(storage_filesystem=LocalFileSystem(), trial_fs_path=str(tmp_path))
    context = SimpleNamespace(
        get_trial_id=lambda: "trial",
        get_trial_dir=lambda: str(tmp_path),
        get_storage=lambda: storage,
    )
    monkeypatch.setattr(tune, "get_context", lambda: context)
    monkeypatch.setattr(tune, "report", report)
    monkeypatch.setattr(tune, "get_checkpoint", lambda: None)
    with pytest.raises(Interruption):
        run(path, config, data)
    again = tune.Checkpoint(str(tmp_path / "kept"))
    monkeypatch.setattr(tune, "get_checkpoint", lambda: again)
    resumed = run(path, config, data)

    assert [{**row, "seconds": 0} for row in rows] == expected
    for one, other in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        assert np.array_equal(one, other)


class OddError(ValueError):
    """What a scorer of one's own raises."""


@PATHS
def test_what_a_scorer_raises_ends_the_fit_as_it_is(path, run):
    def refuse(truth, outputs):
        raise OddError("one class only")

    with pytest.raises(OddError, match=r"^one class only$"):
        run(path, CONFIG, make_data({"precision_of_ranks": refuse}))


@PATHS
def test_a_score_that_is_not_a_number_ends_the_fit_only_where_it_decides(path, run):
    scorers = {"odd": lambda *_: math.nan, "brier": brier}
    deciding = run(path, CONFIG | {"metric": "val_odd"}, make_data(scorers))
    other = run(path, CONFIG | {"metric": "val_brier"}, make_data(scorers))

    assert len(deciding.history.history["val_odd"]) == 1
    assert len(other.history.history["val_odd"]) == 4


@PATHS
def test_outputs_that_are_not_finite_are_scored_as_no_number(path, run):
    def never(truth, outputs):
        assert np.isfinite(outputs).all()
        return 0.5

    data = make_data({"precision_of_ranks": never})
    data.y_train = np.full(400, np.nan, "float32")
    history = run(path, CONFIG, data).history.history

    assert [math.isnan(value) for value in history["val_precision_of_ranks"]] == [True]


def test_a_callback_may_watch_a_score():
    stop = keras.callbacks.EarlyStopping(monitor="val_brier", mode="min", patience=0)
    model = fit(tabular_mlp.build, CONFIG | {"max_epochs": 6}, make_data(), callbacks=[stop])

    assert 1 < len(model.history.history["val_brier"]) < 6


def test_programs_without_scorers_are_others_and_trials_share_those_with_them(run):
    compiled.PROGRAMS.clear()
    for rate in (0.1, 0.01):
        for scorers in (SCORERS, {}, {"another": brier, "other": brier}):
            config = CONFIG | {"optimizer": {"name": "adam", "learning_rate": rate}}
            model = run("compiled", config | {"metric": "val_loss"}, make_data(scorers))
            assert {f"val_{name}" for name in scorers} <= model.history.history.keys()

    assert len(compiled.PROGRAMS) == 2


def test_scorers_need_arrays():
    batches = iter(())  # as a dataset
    data = SimpleNamespace(x_train=batches, y_train=None, y_validation=None, scorers=SCORERS)

    with pytest.raises(ValueError, match="scorers need x_validation and y_validation to be arrays"):
        fit(tabular_mlp.build, CONFIG, data)
