"""The winner's threshold: chosen on folds, kept in the model file, used wherever classes are."""

import json
import sys
import tempfile
import zipfile

import numpy as np
import pandas as pd
import pytest
from ray import cloudpickle, tune
from sklearn.metrics import balanced_accuracy_score

from tune_jobs.engine import Evaluation, Finalists, Job, Profile, run, table
from tune_jobs.engine.report.findings import Findings
from tune_jobs.engine.report.headline import make_headline
from tune_jobs.engine.views.show import lines

cloudpickle.register_pickle_by_value(sys.modules[__name__])

ROWS = 600
DRAW = np.random.default_rng(0)
SIZE = DRAW.normal(size=ROWS)
FRAME = pd.DataFrame({"size": SIZE * 3 + 7, "bought": SIZE + 0.5 * DRAW.normal(size=ROWS) > 1.6})


def likely(size: np.ndarray) -> np.ndarray:
    """Return a low probability in the right order; ``size`` is standardised."""
    return 0.4 / (1 + np.exp(-2 * (size.reshape(-1, 1) - 1.2)))


class Model:
    """Knows the probability, and cannot be trained on folds if the config says so."""

    def __init__(self, config: dict) -> None:
        self.config = config

    def predict(self, x: np.ndarray, verbose: int) -> np.ndarray:
        return likely(np.asarray(x))


def train(config: dict, data: object) -> Model:
    if config.get("fragile") and "epochs" in config and len(data.y_train) < 0.7 * ROWS:
        raise MemoryError("too few rows for me")
    with tempfile.TemporaryDirectory() as folder:
        outputs = likely(data.x_validation)
        score = data.scorers["balanced_accuracy"] if data.scorers else None
        row = {"val_balanced_accuracy": score(data.y_validation, outputs) if score else 0.0}
        tune.report(row, checkpoint=tune.Checkpoint.from_directory(folder))
    return Model(config)


def build(config: dict) -> None: ...


def export(build, config, checkpoint, preprocessing, path) -> None:
    columns = preprocessing["columns"] if preprocessing else [{"mean": 0.0, "scale": 1.0}]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("column.json", json.dumps(columns[0]))


def load(path: str) -> dict:
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("column.json"))


def predict(model: dict, inputs) -> np.ndarray:
    size = inputs["size"] if isinstance(inputs, dict) else inputs
    return likely((np.asarray(size) - model["mean"]) / model["scale"])


JOB = Job(
    train,
    {"x": tune.uniform(0, 1)},
    metric="val_balanced_accuracy",
    data=table(FRAME, target="bought"),
    evaluation=Evaluation(scoring="balanced_accuracy"),
    num_samples=2,
    max_epochs=1,
    finalists=Finalists(count=2, scores=2),
)


@pytest.fixture
def search(local_ray, tmp_path):
    def search(**changes):
        changed = Job(**{name: getattr(JOB, name) for name in JOB.__dataclass_fields__} | changes)
        return run(changed, profile=Profile(storage=str(tmp_path)), name="test", listeners=[])

    return search


@pytest.mark.parametrize(("finalists", "folds"), [(JOB.finalists, 2), (None, 4)])
def test_it_is_chosen_on_validation_rows_and_used_for_every_predicted_class(
    search, finalists, folds
) -> None:
    result = search(finalists=finalists)
    threshold, test = result.summary.threshold, result.summary.test

    assert result.exit_code == 0
    assert 0.05 < threshold.value < 0.35
    assert (threshold.folds, threshold.at_half) == (folds, 0.5)  # no probability reaches 0.5
    assert threshold.score > 0.7
    assert test["balanced_accuracy"] > 0.7
    (searched, known, _), details = result.summary.on_test.known, result.summary.on_test.details
    assert searched.name == "balanced_accuracy"
    assert searched.value == pytest.approx(test["balanced_accuracy"])
    assert known.name == "accuracy"
    assert known.value == pytest.approx(test["accuracy"])
    assert known.interval[0] < known.value < known.interval[1]
    assert sum(details.confusion[1]) - details.confusion[1][0] > 0
    predicted = result.predict(FRAME)
    wanted = predicted["probability_True"] > threshold.value
    assert predicted["prediction"].eq(wanted).all()
    assert balanced_accuracy_score(FRAME["bought"], predicted["prediction"]) > 0.8
    with zipfile.ZipFile(result.folder.child("best.keras").path) as archive:
        assert json.loads(archive.read("threshold.json")) == {"threshold": threshold.value}
    said = threshold.sentence.removeprefix("Threshold ")
    assert f"threshold   {said}" in lines(result, short=True)
    assert threshold.sentence in make_headline(Findings(result)).sentences


def test_a_winner_that_cannot_be_trained_on_folds_keeps_its_model_and_a_half(search) -> None:
    result = search(space={**JOB.space, "fragile": True})

    assert result.exit_code == 0
    assert result.summary.threshold.value == 0.5
    assert "too few rows for me" in result.summary.threshold.sentence
    assert not result.predict(FRAME)["prediction"].any()
    assert result.summary.test["balanced_accuracy"] == 0.5
