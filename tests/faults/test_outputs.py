"""What a model's outputs mean, from the search to the predictions, for models as people write them.

Each is Keras' own way of writing it; the scores and the predictions have to be right, or the run
has to end with a line before it has cost anything.
"""

import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from ray import cloudpickle, tune

from trainables.export import export, load, predict
from trainables.fitting import fit
from tune_jobs.engine import Finalists, Job, JobError, Profile, run, table
from tune_jobs.engine.data.dataset import Dataset, TrainingData
from tune_jobs.engine.runs.check import plan
from tune_jobs.engine.runs.predict import predict as predict_file

cloudpickle.register_pickle_by_value(sys.modules[__name__])

pytestmark = pytest.mark.usefixtures("local_ray")

__all__ = ["build", "export", "load", "predict", "train"]


def pinball(truth, outputs):
    from keras import ops

    levels = ops.convert_to_tensor([0.1, 0.5, 0.9], "float32")
    error = ops.reshape(truth, (-1, 1)) - outputs
    return ops.mean(ops.maximum(levels * error, (levels - 1) * error), axis=-1)


def build(config):
    import keras

    cross = keras.losses
    units, activation, loss = {
        "logits": (config["outputs"], None, cross.SparseCategoricalCrossentropy(from_logits=True)),
        "logit": (1, None, cross.BinaryCrossentropy(from_logits=True)),
        "two softmax": (2, "softmax", "sparse_categorical_crossentropy"),
        "labels": (config["outputs"], "sigmoid", "binary_crossentropy"),
        "quantiles": (3, None, pinball),
        "count": (1, "exponential", "poisson"),
        "one of three": (1, "sigmoid", "sparse_categorical_crossentropy"),
        "nothing": (1, None, "mean_squared_error"),
    }[config["ending"]]
    layers = [keras.Input(config["input_shape"]), keras.layers.Dense(units, activation=activation)]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.Adam(config["learning_rate"]), loss=loss)
    return None if config["ending"] == "nothing" else model


def train(config, data):
    return fit(build, config, data)


JOB = Job(
    train,
    {"learning_rate": tune.uniform(0.04, 0.06), "ending": "logits"},
    num_samples=2,
    max_epochs=20,
    finalists=None,
)


def make_frame(rows=400):
    """Return features with classes, and a number and a count that follow from them."""
    random = np.random.default_rng(0)
    a, b = random.normal(size=(2, rows))
    three = np.where(a > 0.5, "low", np.where(b > 0, "medium", "high"))
    number = 1000 + 300 * a + random.normal(0, 100, rows)
    frame = pd.DataFrame({"a": a, "b": b, "two": np.where(a > 0, "yes", "no"), "three": three})
    count = random.poisson(np.exp(1 + 0.8 * a)).astype(float)
    return frame.assign(number=number, count=count, hot=a > 0, kind=np.where(b > 0, "up", "down"))


def search(ending, target, tmp_path, finalists=None):
    """Run a job with such an ending; return the experiment, the truth and the predictions."""
    known = make_frame()[["a", "b", *([target] if isinstance(target, str) else target)]]
    job = replace(
        JOB,
        space={**JOB.space, "ending": ending},
        data=table(known, target=target),
        finalists=finalists,
    )
    found = run(job, profile=Profile(storage=str(tmp_path)), name="test", listeners=[])
    known.to_csv(tmp_path / "rows.csv", index=False)
    predict_file(found, str(tmp_path / "rows.csv"), str(tmp_path / "predictions.csv"))
    return found, known[target], pd.read_csv(tmp_path / "predictions.csv")


@pytest.mark.slow
def test_logits_of_classes_are_chosen_exported_scored_and_predicted_as_probabilities(
    tmp_path,
) -> None:
    finalists = Finalists(count=2, scores=2, ensemble=True)
    found, truth, made = search("logits", "three", tmp_path, finalists)

    assert found.exit_code == 0
    assert found.summary.test["log_loss"] < 0.7
    assert found.summary.ensemble.test["accuracy"] > 0.7
    assert (made["prediction"] == truth).mean() > 0.8
    names = ["probability_high", "probability_low", "probability_medium"]
    np.testing.assert_allclose(made[names].sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("ending", [pytest.param("two softmax", marks=pytest.mark.slow), "logit"])
def test_two_classes_are_predicted_in_every_way_of_writing_them(ending, tmp_path) -> None:
    found, truth, made = search(ending, "two", tmp_path)

    assert found.exit_code == 0
    assert found.summary.test["roc_auc"] > 0.95
    assert (made["prediction"] == truth).mean() > 0.9
    assert ((made["probability_yes"] > 0.5) == (truth == "yes")).mean() > 0.9


@pytest.mark.slow
def test_quantiles_have_a_column_each_and_no_score_of_the_first(tmp_path) -> None:
    found, truth, made = search("quantiles", "number", tmp_path)

    assert found.exit_code == 0
    assert found.summary.test == {}
    assert "3,), but there is 1 number to predict" in "".join(found.summary.warnings)
    below = [(truth < made[f"prediction_{place}"]).mean() for place in (1, 2, 3)]
    np.testing.assert_allclose(below, [0.1, 0.5, 0.9], atol=0.12)


@pytest.mark.slow
def test_a_count_is_chosen_trained_and_predicted_in_its_own_unit(tmp_path) -> None:
    found, truth, made = search("count", "count", tmp_path, Finalists(count=2, scores=2))

    assert found.exit_code == 0
    assert found.summary.test["r2"] > 0.5
    assert made["prediction"].min() >= 0
    assert np.corrcoef(made["prediction"], truth)[0, 1] > 0.75


@pytest.mark.slow
def test_labels_of_a_table_have_the_names_of_their_columns(tmp_path) -> None:
    found, truth, made = search("labels", ["hot", "kind"], tmp_path)

    assert found.exit_code == 0
    assert found.summary.test["accuracy"] > 0.9
    assert (made["prediction_hot"] == truth["hot"]).mean() > 0.9
    assert (made["prediction_kind"] == truth["kind"]).mean() > 0.9


def make_labels(seed):
    random = np.random.default_rng(0)
    x = random.normal(size=(300, 6)).astype("float32")
    y = (x[:, :3] > 0).astype("float32")
    return Dataset(
        TrainingData(x[:180], y[:180], x[180:240], y[180:240]),
        x[240:],
        y[240:],
        raw_test=x[240:],
        signature={"task": "binary", "input_shape": [6], "outputs": 3, "rows": 180},
        preprocessing={
            "columns": None,
            "target": {"name": "tags", "task": "binary", "classes": [0, 1]},
        },
        fingerprint="labels",
    )


@pytest.mark.slow
def test_several_labels_have_finals_a_model_and_scores(tmp_path) -> None:
    space = {**JOB.space, "ending": "labels"}
    job = replace(JOB, space=space, data=make_labels, finalists=Finalists(count=2, scores=2))
    assert plan(job, Profile())["models"].startswith("21 to 21 parameters")
    found = run(job, profile=Profile(storage=str(tmp_path)), name="test", listeners=[])

    assert found.exit_code == 0
    assert found.summary.test["roc_auc"] > 0.95
    np.save(tmp_path / "rows.npy", make_labels(0).x_test)
    predict_file(found, str(tmp_path / "rows.npy"), str(tmp_path / "predictions.parquet"))
    made = pd.read_parquet(tmp_path / "predictions.parquet")
    predicted = made[[f"prediction_{place}" for place in (1, 2, 3)]]
    assert (predicted.to_numpy() == make_labels(0).y_test).mean() > 0.9


@pytest.mark.parametrize(
    ("ending", "said"),
    [
        ("one of three", "the model has 1 output, but the target has 3 classes: 3 outputs are"),
        ("nothing", r"build\(config\) returned None, but must return a compiled model"),
    ],
)
def test_a_model_that_cannot_be_right_ends_check_and_run_with_a_line(
    ending, said, tmp_path
) -> None:
    data = table(make_frame()[["a", "b", "three"]], target="three")
    job = replace(JOB, space={**JOB.space, "ending": ending}, data=data)
    with pytest.raises(JobError, match=f"^{said}"):
        plan(job, Profile())
    with pytest.raises(JobError, match=f"^{said}"):
        run(job, profile=Profile(storage=str(tmp_path)), name="test", listeners=[])
