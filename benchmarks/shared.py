"""Measure the memory of a search over 1 GB of arrays, with one worker and with four that share it.

    python -m benchmarks.shared

The memory is that of the driver, Ray and all workers together, shared pages counted once (Linux
only), sampled while trials run, and compared with the same search over a thousandth of the rows.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.memory import MIB, descendants, proportional_bytes

ROWS, COLUMNS = 2**20, 256  # 1 GiB of float32


def main() -> None:
    rows = []
    for workers in (1, 4):
        small, large = (measure(count, workers) / MIB for count in (ROWS // 1000, ROWS))
        rows.append([workers, f"{small:,.0f}", f"{large:,.0f}", f"{(large - small) / 1024:.2f}"])
        print(rows[-1], flush=True)
    header = ["workers", "MiB, 1,048 rows", "MiB, 1,048,576 rows", "times the table"]
    report.show("memory of a whole search", header, rows)
    report.state()


def measure(rows: int, workers: int) -> int:
    """Return the peak memory of a search and all its processes, in bytes."""
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=search, args=(rows, workers))
    process.start()
    peak = 0
    while process.is_alive():
        peak = max(peak, sum(map(proportional_bytes, descendants(process.pid or 0))))
        time.sleep(0.5)
    if process.exitcode:
        raise RuntimeError(f"the search ended with exit code {process.exitcode}")
    return peak


def search(rows: int, workers: int) -> None:
    """Train a linear model for one epoch in two trials per worker."""
    from ray import tune

    from trainables import tabular_mlp
    from tune_jobs.engine import Job, Profile, run

    with tempfile.TemporaryDirectory() as folder:
        profile = Profile(storage=folder, cpus_per_trial=0.5, max_concurrent_trials=workers)
        job = Job(
            trainable=tabular_mlp.train,
            space={"layers": [{"units": tune.choice([8, 16])}], "batch_size": 4096},
            data=lambda _seed: make_dataset(rows),
            num_samples=2 * workers,
            max_epochs=1,
            finalists=None,
        )
        result = run(job, profile=profile, listeners=[])
        if set(result.trials["state"]) != {"complete"}:
            raise RuntimeError(str(result.trials["error"].tolist()))


def make_dataset(rows: int) -> Any:
    import numpy as np

    from tune_jobs.engine.data.dataset import Dataset, TrainingData

    x = np.empty((rows, COLUMNS), "float32")
    draw = np.random.default_rng(0)
    for start in range(0, rows, 2**16):
        x[start : start + 2**16] = draw.normal(size=x[start : start + 2**16].shape)
    y = (x[:, 0] > 0).astype("float32")
    few = max(1, rows // 10)
    signature = {"task": "binary", "input_shape": [COLUMNS], "outputs": 1, "rows": rows}
    training = TrainingData(x, y, x[:few], y[:few])
    return Dataset(training, x[:0], y[:0], x[:0], signature, {}, str(Path(__file__).stem))


if __name__ == "__main__":
    main()
