"""The examination of real raylets: one has other packages and a storage of its own, one hangs."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from ray.autoscaler._private.monitor import BASE_READONLY_CONFIG

CAN_MOUNT = sys.platform == "linux" and os.geteuid() == 0 and shutil.which("unshare")

PATIENCE = 90

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CAN_MOUNT, reason="a private mount needs root and unshare"),
]

# An autoscaler with a type that nothing asks for; only a fake head is known to its provider.
LAUNCHER = BASE_READONLY_CONFIG | {
    "max_workers": 4,
    "provider": {"type": "fake_multinode"},
    "head_node_type": "ray.head.default",
    "available_node_types": {
        "ray.head.default": {"resources": {}, "node_config": {}, "max_workers": 0},
        "large": {"resources": {"CPU": 8, "GPU": 4}, "node_config": {}, "max_workers": 4},
    },
}

# Examines once for each line that it reads: a profile's values and the time limit of a node.
DRIVER = """
import json, sys, time
import ray
from tune_jobs.engine import Profile
from tune_jobs.engine.cluster.doctor import as_dict, examine
ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR")
for line in sys.stdin:
    values, limit = json.loads(line)
    began = time.perf_counter()
    found = as_dict(examine(Profile(address=sys.argv[1], **values), limit=limit))
    print(json.dumps([found["checks"], time.perf_counter() - began]), flush=True)
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Cluster:
    """A head without CPUs, raylets that join it, and a driver; all ended by their ids."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.address = folder, f"127.0.0.1:{free_port()}"
        self.started: list[subprocess.Popen] = []

    def start(self, *words: str, before: str = "", after: str = "", **env: str) -> subprocess.Popen:
        env = {**os.environ, "RAY_AUTH_MODE": "disabled", **env}
        with (self.folder / "log").open("a") as log:
            process = subprocess.Popen(
                ["unshare", "--mount", "sh", "-c", f'{before} exec "$@"{after}', "-", *words],
                env=env,
                cwd=self.folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self.started.append(process)
        return process

    def node(self, *options: str, before: str = "", **env: str) -> subprocess.Popen:
        ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block"]
        ports = ["--min-worker-port=0", "--max-worker-port=0", "--node-ip-address=127.0.0.1"]
        ports += ["--dashboard-agent-listen-port=0", "--dashboard-agent-grpc-port=0"]
        memory = ["--object-store-memory=80000000", "--disable-usage-stats"]
        return self.start(*ray, *ports, *memory, *options, before=before, after=" >&2", **env)

    def stop(self) -> None:
        """End all whose current folder is ours: what Ray starts, too."""
        while ours := [pid for pid in processes() if is_in(pid, self.folder)]:
            for pid in ours:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for process in self.started:
                process.poll()
            time.sleep(0.1)
        for process in self.started:
            process.communicate()

    def wait_for(self, nodes: int) -> None:
        """Wait until so many have started: of two at once one may take the other's sockets."""
        deadline = time.monotonic() + PATIENCE
        while (self.folder / "log").read_text().count("Ray runtime started") < nodes:
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.2)


@pytest.fixture(scope="module")
def cluster():
    with tempfile.TemporaryDirectory(prefix="d", dir="/tmp") as folder:
        cluster = Cluster(Path(folder))
        try:
            yield cluster
        finally:
            cluster.stop()


def other_packages(folder: Path) -> str:
    """A folder for PYTHONPATH in which Keras has another version and tune_jobs other code."""
    for name in ("keras-9.9.dist-info", "tune_jobs/engine"):
        (folder / name).mkdir(parents=True)
    (folder / "keras-9.9.dist-info" / "METADATA").write_text("Name: keras\nVersion: 9.9\n")
    (folder / "tune_jobs" / "__init__.py").touch()
    (folder / "tune_jobs" / "engine" / "other.py").touch()
    return str(folder)


@pytest.fixture(scope="module")
def examine(cluster):
    """What the driver says of a profile, once the three nodes have joined."""
    store = cluster.folder / "store"
    store.mkdir()
    launcher = cluster.folder / "cluster.yaml"
    launcher.write_text(yaml.safe_dump(LAUNCHER))
    port = cluster.address.rpartition(":")[2]
    cluster.node(
        "--head", f"--port={port}", "--num-cpus=0", "--include-dashboard=false",
        f"--temp-dir={cluster.folder}/ray", f"--autoscaling-config={launcher}",
        RAY_FAKE_CLUSTER="1",
    )  # fmt: skip
    cluster.wait_for(1)
    join = f"--address={cluster.address}"
    cluster.node(join, "--num-cpus=2", "--num-gpus=2")
    cluster.wait_for(2)
    cluster.node(
        join,
        "--num-cpus=4",
        before=f"mount -t tmpfs none {store} &&",
        PYTHONPATH=other_packages(cluster.folder / "other"),
    )
    driver = cluster.start(sys.executable, "-c", DRIVER, cluster.address)

    def examine(limit: float = 60, **values: object) -> tuple[list[dict], float]:
        profile = {"storage": str(store), "max_concurrent_trials": 4, **values}
        driver.stdin.write(json.dumps([profile, limit]) + "\n")
        driver.stdin.flush()
        answer = driver.stdout.readline()
        assert answer, (cluster.folder / "log").read_text()
        return json.loads(answer)

    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        checks, _ = examine()
        if "of 3 nodes" in str(texts(checks, "room")):
            return examine
        time.sleep(1)
    raise AssertionError(f"the nodes have not joined: {checks}")


def texts(checks: list[dict], name: str) -> list[str]:
    return [f"{check['state']}: {check['text']}" for check in checks if check["name"] == name]


def test_a_node_that_does_not_share_the_storage_is_named(examine, cluster) -> None:
    checks, _ = examine()

    (storage,) = texts(checks, "storage")
    assert re.match(r"failure: storage is not shared: [\d.]+ \(.+, node \w{6}\) does", storage)
    assert f"does not see what was written to {cluster.folder}/store here" in storage
    assert not list((cluster.folder / "store").iterdir())


def test_a_node_with_other_packages_is_named(examine) -> None:
    found = texts(examine()[0], "versions")

    assert [text.partition(" on ")[0] for text in found] == [
        "failure: keras is 9.9",
        "failure: tune_jobs has different code",
    ]


def test_room_is_counted_node_by_node_and_an_unknown_autoscaler_is_no_failure(examine) -> None:
    unknown, where, count = texts(examine(gpus_per_trial=0.6)[0], "room")
    assert unknown.startswith("warning: the autoscaler's node types cannot be read: Ray does not")
    assert "fits on 1 of 3 nodes" in where
    assert "2 trials;" in count

    _, none = texts(examine(cpus_per_trial=9)[0], "room")
    assert none.startswith("warning: a trial of 9 CPUs and 0 GPUs does not fit on any running node")
    assert "trials wait until a larger node starts" in none


def test_a_node_that_stops_answering_is_named_within_the_limit(examine, cluster) -> None:
    ours = [pid for pid in processes() if is_in(pid, cluster.folder)]
    (raylet,) = [pid for pid in ours if is_raylet_with(pid, gpus=2)]
    os.kill(raylet, signal.SIGSTOP)
    try:
        checks, seconds = examine(limit=4)
    finally:
        os.kill(raylet, signal.SIGCONT)

    (text,) = texts(checks, "nodes")
    assert "cannot run a task (no answer within 4 s)" in text
    assert texts(checks, "storage")  # the others are examined nevertheless
    assert seconds < 30


def processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*")]


def is_in(pid: int, folder: Path) -> bool:
    with suppress(OSError):
        return (Path(f"/proc/{pid}") / "cwd").readlink().is_relative_to(folder)
    return False


def is_raylet_with(pid: int, gpus: int) -> bool:
    with suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
        return words[0].endswith("/raylet") and any(f"GPU,{gpus}" in word for word in words)
    return False
