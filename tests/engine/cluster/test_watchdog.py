"""The watchdog of a run, on processes that are no Ray."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tune_jobs.engine.cluster import watchdog
from tune_jobs.engine.cluster.processes import in_sessions, kill_sessions, title_of
from tune_jobs.engine.cluster.watchdog import Watchdog, listener_of
from tune_jobs.engine.ray_internals import OwnNode

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
# Leads a session with an agent, a process that calls itself so, and ends when that ends.
RAYLET = """
import os, subprocess, sys
read, write = os.pipe()
agent = subprocess.Popen(["ray::Agent", "-c", "import time; time.sleep(600)"],
                         executable=sys.executable, pass_fds=[write])
os.close(write)
print(agent.pid, flush=True)
os.read(read, 1)
sys.exit(3)
"""


@pytest.fixture
def start() -> Iterator:
    processes: list[subprocess.Popen] = []

    def start(command: list[str]) -> subprocess.Popen:
        processes.append(
            subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE, text=True)
        )
        return processes[-1]

    yield start
    kill_sessions([process.pid for process in processes])
    for process in processes:
        process.communicate()


class Watched:
    """A watchdog, and what it has told."""

    def __init__(self, node: OwnNode) -> None:
        self.told: list[str] = []
        self.heard = threading.Event()
        self.ended = threading.Event()
        self.dog = Watchdog(node, self._tell, lambda _: self.ended.set())
        self.dog.start()

    def _tell(self, died: str) -> None:
        self.told.append(died)
        self.heard.set()

    def hear(self) -> str:
        assert self.heard.wait(60)
        return self.told[0]


def node_of(processes: dict[str, int], gcs: str = "", raylet: Path = Path("none")) -> OwnNode:
    return OwnNode(processes, Path("session"), gcs, raylet)


@pytest.mark.parametrize(("part", "name"), [("gcs_server", "GCS"), ("raylet", "raylet")])
def test_it_tells_which_process_has_died(start, part, name) -> None:
    parts = {kind: start(SLEEP) for kind in ("gcs_server", "raylet")}
    watched = Watched(node_of({kind: process.pid for kind, process in parts.items()}))
    parts[part].kill()

    assert watched.hear() == name
    watched.dog.end()


def test_a_raylet_whose_agent_has_died_does_not_notice(start) -> None:
    raylet = start([sys.executable, "-c", RAYLET])
    agent = int(raylet.stdout.readline())
    while title_of(agent) != "ray::Agent":  # it starts
        assert raylet.poll() is None
    watched = Watched(node_of({"raylet": raylet.pid}))
    subprocess.run(["kill", "-9", str(agent)], check=True)

    assert watched.hear() == "agent"
    watched.dog.end()
    with pytest.raises(subprocess.TimeoutExpired):
        raylet.wait(1)


def test_a_raylet_whose_agent_dies_after_the_watch_ends(start) -> None:
    raylet = start([sys.executable, "-c", RAYLET])
    agent = int(raylet.stdout.readline())
    while title_of(agent) != "ray::Agent":  # it starts
        assert raylet.poll() is None
    watched = Watched(node_of({"raylet": raylet.pid}))
    watched.dog.end()
    subprocess.run(["kill", "-9", str(agent)], check=True)

    assert raylet.wait(60) == 3


def test_it_tells_again_until_the_run_hasheard(start, monkeypatch) -> None:
    monkeypatch.setattr(watchdog, "REPEAT", 0.01)
    part = start(SLEEP)
    watched = Watched(node_of({"raylet": part.pid}))
    part.kill()
    watched.hear()
    while len(watched.told) < 3:
        assert watched.dog.is_alive()
    watched.dog.end()

    assert not watched.dog.is_alive()
    assert not watched.ended.is_set()


def test_it_ends_a_run_that_does_not_hear(start, monkeypatch) -> None:
    monkeypatch.setattr(watchdog, "LIMIT", 0.01)
    part = start(SLEEP)
    watched = Watched(node_of({"raylet": part.pid}))
    part.kill()

    assert watched.ended.wait(60)
    watched.dog.end()


def test_it_says_nothing_of_a_ray_that_lives(start) -> None:
    part = start(SLEEP)
    watched = Watched(node_of({"raylet": part.pid}))
    watched.dog.end()

    assert watched.told == []


def test_the_head_of_a_cluster_may_be_away_for_a_while_only(monkeypatch) -> None:
    monkeypatch.setattr(watchdog, "PATROL", 0.01)
    monkeypatch.setattr(watchdog, "PATIENCE", 0.5)
    server = socket.create_server(("127.0.0.1", 0))
    watched = Watched(node_of({}, gcs=f"127.0.0.1:{server.getsockname()[1]}"))
    assert not watched.heard.wait(1)
    server.close()

    assert watched.hear() == "GCS"
    watched.dog.end()


def test_the_process_behind_a_socket_is_found(start, tmp_path) -> None:
    code = """
import socket, sys, time
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen()
print("listening", flush=True)
time.sleep(600)
"""
    process = start([sys.executable, "-c", code, str(tmp_path / "raylet")])
    process.stdout.readline()

    assert listener_of(tmp_path / "raylet") == process.pid
    assert listener_of(tmp_path / "nobody") is None


def test_the_processes_of_a_session_are_found_and_killed(start) -> None:
    raylet, other = start([sys.executable, "-c", RAYLET]), start(SLEEP)
    agent = int(raylet.stdout.readline())

    assert {*in_sessions([raylet.pid])} == {raylet.pid, agent}
    kill_sessions([raylet.pid])
    assert raylet.wait(60) == -9
    assert other.poll() is None
