"""Measure the memory and time to load and train on one million rows x 50 columns of Parquet.

    python benchmarks/memory.py

Each step has a fresh process, so that the peak is that of the recipe alone. The
search is measured over all its processes, shared memory counted once (Linux only), against the same
search over a small table.
"""

from __future__ import annotations

import multiprocessing
import platform
import resource
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROWS, GROUP = 1_000_000, 100_000
FLOATS, INTEGERS, STRINGS = 40, 5, 5
MIB = 2**20


def make_table(path: str, rows: int = ROWS) -> int:
    """Write the Parquet file, a row group at a time, and return its decoded size in bytes."""
    import numpy as np
    import pyarrow as pa
    from pyarrow import parquet as pq

    draw = np.random.default_rng(0)
    decoded = 0
    writer = None
    for _ in range(max(1, rows // GROUP)):
        columns: dict[str, Any] = {f"float {i}": draw.normal(size=GROUP) for i in range(FLOATS)}
        columns |= {f"integer {i}": draw.integers(0, 10**6, GROUP) for i in range(INTEGERS)}
        words = np.array([f"category {i}" for i in range(30)])
        columns |= {f"string {i}": pa.array(draw.choice(words, GROUP)) for i in range(STRINGS)}
        columns["target"] = draw.random(GROUP) < 0.3
        group = pa.table(columns)
        decoded += group.nbytes
        writer = writer or pq.ParquetWriter(path, group.schema)
        writer.write_table(group.slice(0, rows))
    assert writer is not None
    writer.close()
    return decoded


def measure(path: str) -> dict[str, float]:
    """Run the recipe once; return the peak above that of the imports, and the seconds."""
    import pandas  # noqa: F401
    import sklearn.model_selection  # noqa: F401

    from tune_jobs.engine.data.columns import fingerprint
    from tune_jobs.engine.data.sources import read_table
    from tune_jobs.engine.data.table import Table

    before, started = peak_bytes(), time.perf_counter()
    dataset = Table(path, "target")(0)
    seconds, after = time.perf_counter() - started, peak_bytes()
    training = dataset.training
    arrays = [training.x_train, training.x_validation, dataset.x_test]
    whole, started = read_table(path), time.perf_counter()
    fingerprint(whole)
    return {
        "peak over imports": after - before,
        "imports": before,
        "feature matrices": sum(array.nbytes for array in arrays),
        "seconds": seconds,
        "seconds of the fingerprint": time.perf_counter() - started,
    }


def search(path: str) -> None:
    """Train one epoch of one trial on the table."""
    from ray import tune

    from trainables import tabular_mlp
    from tune_jobs.engine import Job, Profile, run, table

    space = {"layers": [{"units": tune.choice([32, 64])}], "batch_size": 1024}
    job = Job(
        tabular_mlp.train,
        space,
        data=table(path, "target"),
        num_samples=1,
        max_epochs=1,
        finalists=None,
    )
    result = run(job, profile=Profile(storage=str(Path(path).parent)), listeners=[])
    assert result.exit_code == 0


def measure_search(path: str) -> int:
    """Return the peak memory of a search and all its workers, sampled 5 times a second."""
    process = multiprocessing.get_context("spawn").Process(target=search, args=(path,))
    process.start()
    peak = 0
    while process.is_alive():
        peak = max(peak, sum(map(proportional_bytes, descendants(process.pid or 0))))
        time.sleep(0.2)
    assert process.exitcode == 0
    return peak


def descendants(root: int) -> set[int]:
    """Return a process and all that it started."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rsplit(")", 1)[1].split()[1])
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def proportional_bytes(pid: int) -> int:
    """Return a process's memory, with shared pages divided among their users."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def peak_bytes() -> int:
    """Return the peak memory of this process."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def in_fresh_process(function: Any, *arguments: Any) -> Any:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as pool:
        return pool.submit(function, *arguments).result()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "table.parquet"))
        decoded = in_fresh_process(make_table, path)
        size = Path(path).stat().st_size
        found = in_fresh_process(measure, path)
        small = str(Path(folder, "small.parquet"))
        in_fresh_process(make_table, small, 5000)
        found["search"], found["search of 5,000 rows"] = map(measure_search, (path, small))
    print(f"{ROWS:,} rows x {FLOATS + INTEGERS + STRINGS} columns, {size / MIB:.0f} MiB on disk")
    print(f"decoded              {decoded / MIB:7.0f} MiB")
    for name in ("imports", "feature matrices", "peak over imports"):
        print(f"{name:20} {found[name] / MIB:7.0f} MiB")
    print(f"ratio                {found['peak over imports'] / decoded:7.2f}")
    for name in ("search", "search of 5,000 rows"):
        print(f"{name:20} {found[name] / MIB:7.0f} MiB")
    more = found["search"] - found["search of 5,000 rows"]
    print(f"ratio, search        {more / decoded:7.2f}")
    print(f"seconds              {found['seconds']:7.1f}")
    print(f"  of the fingerprint {found['seconds of the fingerprint']:7.1f}")
    used = ", ".join(f"{name} {version(name)}" for name in ("pyarrow", "numpy", "scikit-learn"))
    print(
        f"{platform.platform()}, {platform.machine()}, Python {platform.python_version()}, {used}"
    )


if __name__ == "__main__":
    main()
