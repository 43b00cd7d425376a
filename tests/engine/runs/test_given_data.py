"""Searches of arrays and of datasets, from the program that has them to predictions."""

import sys

import numpy as np
import pandas as pd
import pytest
from ray import cloudpickle, tune
from sklearn.datasets import load_iris

from trainables import tabular_mlp
from trainables.fitting import fit
from tune_jobs.engine import Finalists, Job, JobError, Profile, run

cloudpickle.register_pickle_by_value(sys.modules[__name__])
pytestmark = pytest.mark.usefixtures("local_ray")

X, Y = load_iris(return_X_y=True)
ORDER = np.random.default_rng(0).permutation(150)
SPACE = {
    "layers": [{"units": 8, "dropout": 0.0}],
    "optimizer": {"name": "adam", "learning_rate": tune.choice([0.02, 0.05])},
    "batch_size": 16,
}


def search(job, tmp_path, **more):
    profile = Profile(storage=str(tmp_path), max_concurrent_trials=1)
    return run(job, profile=profile, name="given", listeners=[], **more)


def test_arrays_are_searched_with_a_validation_set_and_predicted(tmp_path):
    train, held = ORDER[:120], ORDER[120:]
    job = Job(
        tabular_mlp.train,
        SPACE,
        data=((X[train], Y[train]), (X[held], Y[held])),
        finalists=Finalists(count=1, scores=2),
        num_samples=2,
        max_epochs=8,
    )
    experiment = search(job, tmp_path)

    assert experiment.summary.outcome == "complete"
    assert experiment.summary.test["accuracy"] > 0.8
    found = experiment.predict(X)
    assert (found["prediction"] == Y).mean() > 0.8
    frame = pd.DataFrame(X, columns=["x0", "x1", "x2", "x3"])
    assert found.equals(experiment.predict(frame))
    assert found.equals(experiment.best_model().predict(X))


def build(config):
    import keras

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
    optimizer = keras.optimizers.Adam(config["learning_rate"])
    model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy")
    return model


def train(config, data):
    return fit(build, config, data)


def make_job(labels):
    import tensorflow as tf

    rows = tf.data.Dataset.from_tensor_slices((X.astype("float32"), labels))
    space = {"learning_rate": tune.choice([0.1]), "batch_size": 10}
    sets = (rows.shuffle(150), rows.batch(50))
    return Job(train, space, data=sets, finalists=None, num_samples=1, max_epochs=2)


def test_datasets_of_rows_are_trained_by_model_fit_and_a_resume_compares_them(tmp_path):
    experiment = search(make_job(Y), tmp_path)

    assert experiment.summary.outcome == "complete", experiment.trials["error"].tolist()
    assert experiment.trials["path"].iloc[0].startswith("model.fit: x_train is not an array")
    assert experiment.best_model().predict(X, verbose=0).shape == (150, 3)
    with pytest.raises(JobError, match="was trained on sets or datasets as they are"):
        experiment.predict(X)
    assert len(search(make_job(Y), tmp_path, resume=True).trials) == 1
    with pytest.raises(JobError, match=r"new results cannot be compared .* the data changed"):
        search(make_job(2 - Y), tmp_path, extend=1)
