"""Measure how seconds grow with the columns of a table: in reading, training, export and predict.

    python -m benchmarks.wide [COLUMNS ...]

Of each number of columns, 60 rows are read from a Parquet file, a small model is trained for two
epochs, exported, loaded, and predicts 200 rows. All but every tenth column are numbers; those are
texts. Each number has a process of its own, and its seconds are those of the processor.
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks import report

COLUMNS = (1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000)
ROWS, NEW_ROWS = 60, 200
STEPS = ("read", "train", "export", "load", "predict")

CONFIG = {
    "layers": [{"units": 8, "dropout": 0.0}],
    "batch_size": 32,
    "max_epochs": 2,
    "seed": 0,
}


def main() -> None:
    """Measure the numbers of columns given, or all."""
    rows = []
    for columns in [int(word) for word in sys.argv[1:]] or COLUMNS:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            seconds, size = pool.apply(measure, (columns,))
        took = [f"{seconds[step]:.1f}" for step in STEPS]
        total = sum(seconds.values())
        each = f"{1000 * total / columns:.2f}"
        rows.append([f"{columns:,}", *took, f"{total:.1f}", each, f"{size / 2**20:.1f}"])
        print(rows[-1], flush=True)
    header = ["columns", *STEPS, "all", "ms per column", "MiB of the file"]
    report.show(f"CPU seconds for {ROWS} rows", header, rows)
    report.state()


def measure(columns: int) -> tuple[dict[str, float], int]:
    """Return the seconds of each step, and the size of the model file."""
    from trainables import tabular_mlp
    from tune_jobs.engine import table
    from tune_jobs.engine.data.columns import raw_inputs
    from tune_jobs.engine.data.sources import read_table

    warm_up()
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        source, new = Path(folder, "rows.parquet"), Path(folder, "new.parquet")
        write_table(source, columns, ROWS)
        write_table(new, columns, NEW_ROWS)
        clock.start()
        dataset = table(source, target="y")(0)
        clock.stop("read")
        config = {**CONFIG, **dataset.signature}
        model = tabular_mlp.train(config, dataset.training)
        clock.stop("train")
        path = Path(folder, "best.keras")
        tabular_mlp.export(lambda _: model, config, None, dataset.preprocessing, path)
        clock.stop("export")
        loaded = tabular_mlp.load(path)
        clock.stop("load")
        inputs = raw_inputs(read_table(new), dataset.preprocessing)
        outputs = tabular_mlp.predict(loaded, inputs)
        clock.stop("predict")
        if outputs.shape != (NEW_ROWS, 1):
            raise RuntimeError(f"predictions have the shape {outputs.shape}")
        return clock.seconds, path.stat().st_size


class Clock:
    """Seconds of the processor by step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.start()

    def start(self) -> None:
        """Begin a step."""
        self.began = time.process_time()

    def stop(self, step: str) -> None:
        """End a step, and begin the next."""
        self.seconds[step] = time.process_time() - self.began
        self.start()


def warm_up() -> None:
    """Import what takes seconds once, whatever the columns."""
    import keras
    import sklearn.model_selection  # noqa: F401

    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.predict_on_batch(np.zeros((1, 1)))


def write_table(path: Path, columns: int, rows: int) -> None:
    """Write a table of numbers, a text in each tenth column, and a target of two classes."""
    import pyarrow as pa
    from pyarrow import parquet as pq

    random = np.random.default_rng(0)
    texts = np.array(["AA", "AB", "BB"])
    made = {
        f"g{place}": random.choice(texts, rows) if place % 10 == 9 else random.normal(size=rows)
        for place in range(columns)
    }
    made["y"] = np.arange(rows) % 2
    pq.write_table(pa.table(made), path)


if __name__ == "__main__":
    main()
