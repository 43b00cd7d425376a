"""Measure what a step of a compiled epoch costs beside its arithmetic, and what its program costs.

    python -m benchmarks.steps

In one warm process on one thread, 30 epochs of 11 training and 4 validation steps of 32 rows: CPU
milliseconds until the program of a structure is ready, and microseconds per step (the fastest of
the repetitions). Then 400 configs of the peers' benchmark, 10 epochs each: CPU milliseconds of a
whole fit, the mean of the last 300, and the memory of the process. To compare two versions, copy
this file into a checkout of the older one, and run it in each of them in turn.
"""

from __future__ import annotations

import argparse
import os
import time
from types import SimpleNamespace
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "TUNE_JOBS_CACHE": "off"}

from benchmarks import family, report
from benchmarks.replicas import spend
from benchmarks.task import draw, make_data
from trainables import tabular_mlp
from trainables.fitting.session import memory_used

EPOCHS, STEPS = 30, 15

# The name of a model, whether it is the peers' or the flagship job's, its depth, width and options.
MODELS: list[tuple[str, bool, int, int, dict[str, Any]]] = [
    ("peers, 2 layers of 1", True, 2, 1, {}),
    ("peers, 2 layers of 64", True, 2, 64, {}),
    ("peers, 4 layers of 64", True, 4, 64, {}),
    ("peers, 6 layers of 128", True, 6, 128, {}),
    ("breast_cancer_tpe, 3 layers of 160", False, 3, 160, {}),
    ("the same, batch normalisation", False, 3, 160, {"batch_normalisation": True}),
    ("the same, 5 layers of 288", False, 5, 288, {"batch_normalisation": True}),
]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repetitions", type=int, default=5)
    options = parser.parse_args()
    x, y, x_validation, y_validation = make_data("breast_cancer")
    data = SimpleNamespace(
        x_train=x, y_train=y, x_validation=x_validation, y_validation=y_validation
    )
    rows = []
    for name, is_peers, depth, width, more in MODELS:
        config = {
            "layers": [{"units": width, "dropout": 0.2}] * depth,
            "max_epochs": EPOCHS,
            **more,
        }
        found = [fit(is_peers, config, data) for _ in range(options.repetitions)]
        step = min(each["training"] for each in found) / EPOCHS / STEPS
        rows.append([name, f"{found[0]['compiling'] * 1e3:.0f}", f"{step * 1e6:.0f}"])
    report.show("steps of compiled epochs", ["model", "compiling ms", "us per step"], rows)
    fit_many(data)
    report.state()


def fit(is_peers: bool, config: dict[str, Any], data: Any) -> dict[str, float]:
    """Fit a config, and return the seconds that went into each part."""
    common = {"batch_size": 32, "seed": 0, "input_shape": [30], "metric": "val_loss", "mode": "min"}
    if is_peers:
        own = {"task": "multiclass", "outputs": 2, "learning_rate": 1e-3}
        return spend(lambda: family.train({**common, **own, **config}, data))
    own = {"task": "binary", "outputs": 1, "optimizer": {"name": "adam", "learning_rate": 1e-3}}
    return spend(lambda: tabular_mlp.train({**common, **own, **config}, data))


def fit_many(data: Any, count: int = 400) -> None:
    """Fit many configs: say what one costs once the programs are there, and how memory grows."""
    _, configs = draw("mlp", count, 0)
    memory, began = [], 0.0
    for place, config in enumerate(configs):
        if place == 100:
            began = time.process_time()
        fit(True, {**config, "max_epochs": 10}, data)
        if place in (0, 99, 199, 299, 399):
            memory.append(f"{memory_used():.0f} after {place + 1}")
    each = (time.process_time() - began) * 1e3 / (count - 100)
    print(f"a fit of the peers' networks: {each:.1f} ms of CPU; MiB: {', '.join(memory)}")


if __name__ == "__main__":
    main()
