"""Measure autoscaling from zero to two GPU nodes: when they start, and when they are removed.

    python -m benchmarks.autoscaling
    python -m benchmarks.autoscaling --trials 4 --boot 5 --idle 10 --contenders tune-jobs

Ray's autoscaler is real. The nodes are processes on this machine that claim to have a GPU each
(Ray's fake provider) and start after a set delay, so that the comparison is about when they are
requested. The head has no resources for trials. Each contender has its own cluster.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks import report
from benchmarks.contest import ROOT
from benchmarks.process import PR_SET_CHILD_SUBREAPER, descendants, run_apart

CONTENDERS = ("tune-jobs", "Ray Tune", "Ray Tune, max_concurrent_trials=4")
AT_ONCE, NODES = 4, 2
PATIENCE = 120.0  # seconds for the head to start, and for nodes to go
LIST, DICT = (
    ("initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands")
    + ("head_start_ray_commands", "worker_start_ray_commands", "cluster_synced_files"),
    ("auth", "docker", "file_mounts"),
)


class Watch(threading.Thread):
    """Notes when the number of GPU nodes changes."""

    def __init__(self, address: str) -> None:
        super().__init__(daemon=True)
        from ray._raylet import GcsClient

        self._client = GcsClient(address=address)
        self._ended = threading.Event()
        self.seen: list[tuple[float, int]] = [(time.time(), 0)]

    def run(self) -> None:
        """Look ten times a second."""
        while not self._ended.wait(0.1):
            nodes = self._client.get_all_node_info().values()
            count = sum(
                node.state == 0 and node.resources_total.get("GPU", 0) > 0 for node in nodes
            )
            if count != self.seen[-1][1]:
                self.seen.append((time.time(), count))

    def end(self) -> None:
        """Stop looking."""
        self._ended.set()
        self.join()

    def first(self, count: int, *, since: float, falling: bool = False) -> float | None:
        """Return the seconds until there were this many nodes, or only this many."""
        for moment, number in self.seen:
            if moment >= since and (number <= count if falling else number >= count):
                return moment - since
        return None

    def wait_for(self, count: int) -> None:
        """Wait until only this many nodes are left."""
        deadline = time.monotonic() + PATIENCE
        while self.seen[-1][1] > count and time.monotonic() < deadline:
            time.sleep(0.1)


@contextmanager
def secret() -> Iterator[None]:
    """Return a cluster token; processes must have it before they import Ray."""
    with tempfile.NamedTemporaryFile("w", prefix="token") as file:
        file.write(secrets.token_hex(32))
        file.flush()
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": file.name}
        yield


@contextmanager
def cluster(boot: float, idle: float) -> Iterator[str]:
    """Run a head with an autoscaler, yield its address, and end everything it started."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with tempfile.TemporaryDirectory(prefix="as", ignore_cleanup_errors=True) as folder:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        path = Path(folder, "cluster.yaml")
        config = configuration(f"127.0.0.1:{port}", boot, idle)
        path.write_text(json.dumps(config), encoding="utf-8")
        options = [f"--port={port}", "--node-ip-address=127.0.0.1", f"--temp-dir={folder}"]
        options += ["--num-cpus=0", "--num-gpus=0", "--include-dashboard=false"]
        options += [f"--autoscaling-config={path}", "--disable-usage-stats", "--block"]
        before = set(descendants())
        paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        env = os.environ | {"RAY_FAKE_CLUSTER": "1", "PYTHONPATH": paths}
        with Path(folder, "output").open("w") as output:
            command = [str(Path(sys.executable).with_name("ray")), "start", "--head", *options]
            subprocess.Popen(command, env=env, stdout=output, stderr=output)
        try:
            wait_until_there(f"127.0.0.1:{port}", Path(folder, "output"))
            yield f"127.0.0.1:{port}"
        finally:
            while ours := set(descendants()) - before:
                for pid, _ in ours:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                with suppress(ChildProcessError):
                    while os.waitpid(-1, os.WNOHANG)[0]:
                        pass
                time.sleep(0.1)


def configuration(address: str, boot: float, idle: float) -> dict[str, Any]:
    """Return the autoscaler's configuration: at most two GPU nodes, removed when idle."""
    provider = {
        "type": "external",
        "module": "benchmarks.slow_nodes.SlowNodes",
        "boot_seconds": boot,
        "gcs_address": address,
        "launch_multiple": True,
        "use_node_id_as_ip": True,
        "disable_node_updaters": True,
        "disable_launch_config_check": True,
    }
    gpu = {"resources": {"CPU": 2, "GPU": 1}, "min_workers": 0, "max_workers": NODES}
    head = {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0}
    return {
        "cluster_name": "autoscaling",
        "max_workers": NODES,
        "idle_timeout_minutes": idle / 60,
        "upscaling_speed": 1.0,
        "provider": provider,
        "head_node_type": "ray.head.default",
        "available_node_types": {"ray.head.default": head, "gpu": gpu | {"node_config": {}}},
        **{name: [] for name in LIST},
        **{name: {} for name in DICT},
    }


def wait_until_there(address: str, output: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while "Ray runtime started" not in output.read_text(encoding="utf-8"):
        if time.monotonic() > deadline:
            raise RuntimeError(f"no Ray at {address}: {output.read_text(encoding='utf-8')}")
        time.sleep(0.2)


def sleep(config: dict[str, Any], data: object = None) -> None:
    """Take as long as the config says."""
    from ray import tune

    time.sleep(config["seconds"])
    tune.report({"loss": config["x"] ** 2})


def search_with_tune_jobs(address: str, folder: str, trials: int, space: dict[str, Any]) -> None:
    from tune_jobs.engine import TPE, Job, Profile, run

    profile = Profile(
        address=address, storage=folder, gpus_per_trial=1, max_concurrent_trials=AT_ONCE
    )
    job = Job(
        *(sleep, space),
        metric="loss",
        searcher=TPE(),
        num_samples=trials,
        max_epochs=1,
        finalists=None,
    )
    found = run(job, profile=profile, listeners=[])
    if set(found.trials["state"]) != {"complete"}:
        raise RuntimeError(str(found.trials["error"].tolist()))


def search_with_ray_tune(
    address: str, folder: str, trials: int, space: dict[str, Any], at_once: int | None
) -> None:
    import ray
    from ray import tune
    from ray.tune.search.hyperopt import HyperOptSearch

    ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    found = tune.Tuner(
        tune.with_resources(sleep, {"cpu": 1, "gpu": 1}),
        param_space=space,
        tune_config=tune.TuneConfig(
            metric="loss",
            mode="min",
            search_alg=HyperOptSearch(),
            num_samples=trials,
            max_concurrent_trials=at_once,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(name="trials", storage_path=folder, verbose=0),
    ).fit()
    if found.num_errors:
        raise RuntimeError(str(found.errors))
    ray.shutdown()


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Search on a cluster without nodes, and wait until it has none again."""
    from ray import tune

    space = {"x": tune.uniform(0, 1), "seconds": options.seconds}
    (contender,) = options.contenders
    with cluster(options.boot, options.idle) as address, tempfile.TemporaryDirectory() as folder:
        watch = Watch(address)
        watch.start()
        called = time.time()
        if contender == "tune-jobs":
            search_with_tune_jobs(address, folder, options.trials, space)
        else:
            at_once = AT_ONCE if "=" in contender else None
            search_with_ray_tune(address, folder, options.trials, space, at_once)
        ended = time.time()
        watch.wait_for(0)
        watch.end()
    return {
        "first": watch.first(1, since=called),
        "second": watch.first(2, since=called),
        "search": ended - called,
        "ideal": options.trials * options.seconds / NODES,
        "first_gone": watch.first(1, since=ended, falling=True),
        "all_gone": watch.first(0, since=ended, falling=True),
    }


def main() -> None:
    options = read_options()
    if options.one:
        print(json.dumps(measure(options)))
        return
    rows = []
    names = ("trials", "seconds", "boot", "idle")
    told = [text for name in names for text in (f"--{name}", str(getattr(options, name)))]
    for contender in options.repetitions * list(options.contenders):
        with secret():
            found = run_apart("benchmarks.autoscaling", "--one", "--contenders", contender, *told)
        rows.append({"contender": contender, **found})
        print(rows[-1], flush=True)
    frame = pd.DataFrame(rows)
    medians = frame.groupby("contender").median()
    title = (
        f"{options.trials} trials of {options.seconds:g} s, nodes idle for {options.idle:g} s go"
    )
    report.show(title, HEADER, [[name, *map(_shown, row)] for name, row in medians.iterrows()])
    report.state()
    if options.out:
        report.save(frame.assign(**{name: getattr(options, name) for name in names}), options.out)


HEADER = ["contender", "first node s", "second node s", "search s", "trials' s / 2"]
HEADER += ["one node less s", "no node s"]


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=10.0, help="seconds per trial")
    parser.add_argument("--boot", type=float, default=30.0, help="seconds until a node is ready")
    parser.add_argument(
        "--idle", type=float, default=30.0, help="idle seconds until a node is removed"
    )
    parser.add_argument("--repetitions", type=int, default=1)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, metavar="PARQUET")
    return parser.parse_args()


def _shown(seconds: float) -> str:
    return "-" if pd.isna(seconds) else f"{seconds:.1f}"


if __name__ == "__main__":
    main()
