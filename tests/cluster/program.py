"""A program of a user: a KerasTuner search and a SearchCV, on a cluster.

Its arguments are the cluster's address, the storage, and a folder for notes.
"""

import json
import os
import sys
from pathlib import Path

import keras
import numpy as np
import ray
from program_models import make_model
from ray import tune

import tune_jobs.keras_tuner as kt
from tune_jobs.engine import Profile
from tune_jobs.sklearn import SearchCV

address, storage, notes = sys.argv[1:]
driver = os.getpid()
x = np.random.default_rng(0).normal(size=(60, 4)).astype("float32")
y = (x[:, 0] > 0).astype(int)


class Narrow(keras.layers.Dense):
    """A layer that only this program has."""


def build(hp):
    if os.getpid() != driver:
        node = ray.get_runtime_context().get_node_id()
        Path(notes, f"{os.getpid()}").write_text(node)
    return make_model(Narrow, hp.Int("units", 2, 4))


def build_of_config(config):
    return build(type("Given", (), {"Int": lambda *_: config["units"]})())


profile = Profile(address=address, storage=storage)
tuner = kt.RandomSearch(
    build, objective="val_loss", max_trials=2, project_name="tuned", profile=profile
)
tuner.search(x, y, validation_split=0.25, epochs=2)
loss = tuner.get_best_models()[0].evaluate(x[45:], y[45:], verbose=0)
best = tuner.oracle.get_best_trials()[0]

space = {"units": tune.choice([2, 4])}
search = SearchCV(build_of_config, space, n_iter=2, cv=2, epochs=2, profile=profile)
search.fit(x, y)
found = {
    "loss": loss,
    "score": best.score,
    "tuned": len(tuner.oracle.trials),
    "searched": len(search.cv_results_["params"]),
    "predicted": len(search.predict(x)),
    "path": sorted(set(tuner.experiment.trials["path"])),
}
print(json.dumps(found))
