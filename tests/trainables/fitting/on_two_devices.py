"""Fits on two devices, which TensorFlow makes of one CPU before it starts; prints facts as JSON.

test_devices.py runs this in processes of their own, and says what the facts must be.
"""

import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import tensorflow as tf
from ray import tune

from trainables import tabular_mlp
from trainables.export import export, load
from trainables.fitting import fit
from trainables.fitting.task import Replica

CONFIG = {
    "task": "binary",
    "input_shape": [6],
    "outputs": 1,
    "rows": 64,
    "layers": [{"units": 16}],
    "optimizer": {"name": "adam", "learning_rate": 0.1},
    "batch_size": 16,
    "max_epochs": 3,
    "seed": 7,
}
RANDOM = CONFIG | {"layers": [{"units": 16, "dropout": 0.3}], "batch_normalisation": True}


def make_data(rows=64, **more):
    random = np.random.default_rng(0)
    x = random.normal(size=(110, 6)).astype("float32")
    y = (x[:, 0] + random.normal(size=110) > 0).astype("float32")
    parts = {"x_train": x[:rows], "y_train": y[:rows], "x_validation": x[73:]}
    return SimpleNamespace(**parts, y_validation=y[73:], **more)


class Session:
    """A stand-in for Ray's session, which ends the fit after some messages."""

    def __init__(self, folder, dies_after=99):
        self.folder, self.dies_after = Path(folder), dies_after
        self.checkpoint, self.messages = None, []
        tune.report, tune.get_checkpoint = self.report, lambda: self.checkpoint
        tune.get_context = lambda: self

    def report(self, metrics, *, checkpoint=None):
        self.messages.append(metrics)
        kept = self.folder / str(metrics["epoch"])
        shutil.copytree(checkpoint.path, kept)
        self.checkpoint = tune.Checkpoint.from_directory(kept)
        if len(self.messages) >= self.dies_after:
            raise KeyboardInterrupt

    def get_trial_id(self):
        return "trial"

    def get_trial_dir(self):
        return str(self.folder / "trial")

    def get_storage(self):
        return SimpleNamespace(trial_fs_path=str(self.folder / "trial"))


def compare(strategy, folder):
    data = make_data()
    one = fit(tabular_mlp.build, CONFIG, data)
    two = fit(tabular_mlp.build, CONFIG, data, strategy=strategy)
    best = two.evaluate(data.x_validation[:36], data.y_validation[:36], verbose=0)
    kept = one.evaluate(data.x_validation[:36], data.y_validation[:36], verbose=0)
    return {
        "one": one.history.history,
        "two": two.history.history,
        "scores": [kept, best],
        "devices": len(two.trainable_variables[0].value.values),
        "refused": refuse(strategy, batch_size=15),
    }


def fit_unevenly(strategy, folder):
    """65 rows: the last batch has one row, which one of the devices would go without."""
    scorers = {"brier": lambda truth, outputs: float(np.mean((truth - outputs[:, 0]) ** 2))}
    data = make_data(65, scorers=scorers, replicas=[Replica(1), Replica(2, np.arange(33))])
    return fit(tabular_mlp.build, RANDOM, data, strategy=strategy).history.history


def resume(strategy, folder):
    whole = Session(folder / "whole")
    fit(tabular_mlp.build, RANDOM, make_data(), strategy=strategy)
    cut = Session(folder / "cut", dies_after=2)
    try:
        fit(tabular_mlp.build, RANDOM, make_data(), strategy=strategy)
    except KeyboardInterrupt:
        cut.dies_after = 99
    fit(tabular_mlp.build, RANDOM, make_data(), strategy=strategy)
    rows = [[message["epochs"][0] for message in each.messages] for each in (whole, cut)]
    path = whole.messages[-1]["work"]["path"]
    exported = export_best(folder)
    return {"whole": rows[0], "resumed": rows[1], "path": path, "exported": exported}


def export_best(folder):
    preprocessing = {"columns": None, "target": {"task": "binary"}}
    path = folder / "best.keras"
    export(tabular_mlp.build, RANDOM, folder / "whole" / "3", preprocessing, path)
    outputs = load(path).predict(make_data().x_validation, verbose=0)
    truth = make_data().y_validation[:, None]
    return float(keras.ops.mean(keras.losses.binary_crossentropy(truth, outputs)))


def refuse(strategy, **more):
    try:
        fit(tabular_mlp.build, CONFIG | more, make_data(), strategy=strategy)
    except ValueError as error:
        return str(error)


def main():
    cpu = tf.config.list_physical_devices("CPU")[0]
    halves = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, halves)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    print(json.dumps(FACTS[sys.argv[1]](strategy, Path(sys.argv[2]))))


FACTS = {"compare": compare, "uneven": fit_unevenly, "resume": resume}

if __name__ == "__main__":
    main()
