"""Measure trials in step: configs of one structure as replicas of one program, or one by one.

    python -m benchmarks.in_step --out in_step.parquet
    python -m benchmarks.in_step --alike

The configs differ in seed, learning rate and dropout rates. For each model and number of epochs, in
one warm process on one thread: the CPU milliseconds of a trial of 341 rows, from its config to its
best weights, the median of repetitions. ``--alike`` counts how many of the configs of the family of
:mod:`~benchmarks.family` that wait at the same time have the same structure.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3"}

import numpy as np
import pandas as pd

from benchmarks import report
from benchmarks.task import draw
from trainables.fitting import fit
from trainables.fitting.in_step.ahead import IN_STEP

ROWS, HELD, COLUMNS = 341, 114, 30
COMMON = {"input_shape": (COLUMNS,), "outputs": 2, "batch_size": 32}
SIZES = (1, 2, 4, 8, 16)
DRAWN = 25_600
MODELS = {  # layers, units, whether a layer of dropout follows each
    f"{layers} x {units}{', dropout' if drops else ''}": (layers, units, drops)
    for drops in (False, True)
    for layers, units in [(2, 16), (4, 64), (6, 128)]
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--epochs", nargs="+", type=int, default=[10, 50])
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--alike", action="store_true", help="count configs of the same structure")
    parser.add_argument("--out", type=Path, metavar="PARQUET")
    options = parser.parse_args()
    if options.alike:
        show_alike()
        return
    rows = [
        measure(name, epochs, options.repetitions)
        for name in options.models
        for epochs in options.epochs
    ]
    sizes = [f"{size} in step" if size > 1 else "one by one" for size in SIZES]
    header = ["model", "epochs", *sizes, "gain of 16", "program s", "losses differ by"]
    report.show("CPU ms per trial", header, [_cells(row) for row in rows])
    if options.out:
        report.save(pd.DataFrame(rows), options.out)
    report.state()


def measure(name: str, epochs: int, repetitions: int) -> dict[str, Any]:
    """Measure a model, all numbers of trials in turn."""
    data, configs = make_data(), make_configs(name, epochs)
    _, alone = train(configs, data, 1)  # compiles the program for one
    began = time.process_time()
    train(configs[:2], data, 2)
    program = time.process_time() - began
    spent: dict[int, list[float]] = {size: [] for size in SIZES}
    off = 0.0
    for _ in range(repetitions):
        for size, found in spent.items():
            seconds, losses = train(configs, data, size)
            found.append(1000 * seconds / len(configs))
            off = max(off, float(np.abs(losses / alone - 1).max()))
    medians = {f"{size}": statistics.median(found) for size, found in spent.items()}
    row = {"model": name, "epochs": epochs, **medians, "program": program, "off": off}
    print(row, flush=True)
    return row


def train(configs: Sequence[dict[str, Any]], data: Any, size: int) -> tuple[float, np.ndarray]:
    """Train all configs, some in step; return the CPU seconds, and the losses of each epoch."""
    gc.collect()
    models, began = [], time.process_time()
    for first in range(0, len(configs), size):
        group = configs[first : first + size]
        with_others = {**group[0], IN_STEP: group[1:]}
        models += [fit(build, config, data) for config in (with_others, *group[1:])]
    seconds = time.process_time() - began
    return seconds, np.array([model.history.history["val_loss"] for model in models])


def make_configs(name: str, epochs: int) -> list[dict[str, Any]]:
    """Draw configs of one structure."""
    layers, units, drops = MODELS[name]
    random = np.random.default_rng(0)
    return [
        {
            **COMMON,
            "layers": [
                {"units": units} | ({"dropout": float(random.uniform(0, 0.3))} if drops else {})
                for _ in range(layers)
            ],
            "learning_rate": float(10 ** random.uniform(-4, -2)),
            "seed": seed,
            "max_epochs": epochs,
        }
        for seed in range(max(SIZES))
    ]


def build(config: dict[str, Any]) -> Any:
    """Build a model of the family, which has dropout layers only if the config has rates."""
    import keras

    model = keras.Sequential([keras.Input(config["input_shape"])])
    for layer in config["layers"]:
        model.add(keras.layers.Dense(layer["units"], "relu"))
        if "dropout" in layer:
            model.add(keras.layers.Dropout(layer["dropout"]))
    model.add(keras.layers.Dense(config["outputs"], "softmax"))
    rate = config["learning_rate"]
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
    return model


def make_data() -> Any:
    random = np.random.default_rng(0)
    x = random.normal(size=(ROWS + HELD, COLUMNS)).astype("float32")
    y = (x[:, 0] + 0.5 * random.normal(size=len(x)) > 0).astype("int32")
    return SimpleNamespace(
        x_train=x[:ROWS], y_train=y[:ROWS], x_validation=x[ROWS:], y_validation=y[ROWS:]
    )


def show_alike() -> None:
    """Show the share of random configs with another one of their structure among those waiting."""
    waiting = [2, 4, 8, 16, 64, 256]
    configs = draw("mlp", DRAWN, seed=0)[1]
    structures = [str([layer["units"] for layer in config["layers"]]) for config in configs]
    shares = [f"{share_alike(structures, size):.1%}" for size in waiting]
    header = ["waiting", *map(str, waiting)]
    report.show("configs with another of their structure", header, [["2 to 6 layers", *shares]])


def share_alike(structures: Sequence[str], size: int) -> float:
    """Return the share of structures that another one of the same group has."""
    groups = [structures[first : first + size] for first in range(0, len(structures), size)]
    counts = [Counter(group) for group in groups]
    return sum(n for count in counts for n in count.values() if n > 1) / len(structures)


def _cells(row: dict[str, Any]) -> list[str]:
    medians = [row[f"{size}"] for size in SIZES]
    return [
        row["model"],
        str(row["epochs"]),
        *(f"{value:.1f}" for value in medians),
        f"{medians[0] / medians[-1]:.2f}",
        f"{row['program']:.1f}",
        f"{row['off']:.0e}",
    ]


if __name__ == "__main__":
    main()
