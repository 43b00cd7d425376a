"""Measure how long the examination before a run takes, by the number of nodes.

    python -m benchmarks.doctor --nodes 1 2 4

Each number of raylets runs on this machine, with storage on its disk, in a separate process. The
first examination starts a worker process on every node; the second reuses them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time

from benchmarks import report
from benchmarks.process import run_apart


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one)))
        return
    rows = []
    for count in options.nodes:
        took = run_apart("benchmarks.doctor", "--one", str(count))
        rows.append([count, f"{took['first']:.1f}", f"{took['second']:.1f}"])
    report.show("seconds of an examination", ["nodes", "first", "second"], rows)
    report.state()


def measure(count: int) -> dict[str, float]:
    """Examine a cluster of this many raylets twice."""
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    try:
        for _ in range(count):
            cluster.add_node(num_cpus=2, include_dashboard=False, object_store_memory=80_000_000)
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        with tempfile.TemporaryDirectory() as storage:
            return {name: examine(cluster.address, storage) for name in ("first", "second")}
    finally:
        ray.shutdown()
        cluster.shutdown()


def examine(address: str, storage: str) -> float:
    """Return the seconds until everything is checked; nothing may fail."""
    from tune_jobs.engine import Profile
    from tune_jobs.engine.cluster.doctor import examine, refuse

    began = time.perf_counter()
    refuse(examine(Profile(address=address, storage=storage, max_concurrent_trials=2)))
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
