"""Signals to a run's process group, and the death of a part of its Ray: the run ends in order."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import psutil
import pytest
import ray  # noqa: F401  # it brings psutil

from tests.faults.conftest import ROOT
from tune_jobs.engine import open_experiment

JOB = """
import time
from ray import tune
from tune_jobs.engine import Job

def train(config, data):
    for _ in range(100_000):
        tune.report({"loss": config["x"]})
        time.sleep(0.1)

JOB = Job(train, {"x": tune.uniform(0, 1)}, metric="loss", num_samples=2, max_epochs=100_000,
          finalists=None)
"""


@pytest.fixture
def told() -> Iterator[tuple[str, list[dict]]]:
    """The address of a webhook, and what it was told."""
    posts: list[dict] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", posts
    server.shutdown()
    thread.join()
    server.server_close()


class Alone:
    """A run with a Ray of its own, and a process group of its own."""

    def __init__(self, folder: Path, *options: str, before: tuple[str, ...] = ()) -> None:
        (folder / "job.py").write_text(JOB)
        command = [*before, sys.executable, "-m", "tune_jobs", "run", str(folder / "job.py")]
        command += ["--name", "test", "--storage", str(folder / "results"), *options]
        self.process = subprocess.Popen(
            [*command, "--log-format", "json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            start_new_session=True,
        )
        self.folder = folder / "results" / "test"

    def wait_for_epoch(self) -> None:
        """Wait until an epoch was trained; nothing was printed but events before."""
        for line in self.process.stderr:
            if json.loads(line)["kind"] == "epoch":
                self.parts = psutil.Process(self.process.pid).children(recursive=True)
                return
        raise AssertionError(self.process.wait())

    def kill(self, name: str) -> None:
        """Kill a part of its Ray."""
        (part,) = [part for part in self.parts if name in part.name()]
        part.kill()

    def end(self) -> tuple[int, list[dict], float]:
        """Wait for its end: the exit code, what it said, and after how many seconds."""
        began = time.monotonic()
        _, errors = self.process.communicate(timeout=100)
        taken = time.monotonic() - began
        said = [json.loads(line) for line in errors.splitlines()]  # and no raw line of Ray
        return self.process.returncode, [e for e in said if e["kind"] != "epoch"], taken


@pytest.fixture
def alone(tmp_path) -> Iterator:
    runs: list[Alone] = []

    def start(*options: str, before: tuple[str, ...] = ()) -> Alone:
        runs.append(Alone(tmp_path, *options, before=before))
        return runs[-1]

    yield start
    for run in runs:
        run.process.kill()
        run.process.communicate()


def check_ended_in_order(run: Alone, outcome: str) -> None:
    found = open_experiment(str(run.folder))
    assert found.summary.outcome == outcome
    assert set(found.trials["state"]) <= {"unfinished", "running"}  # Tune may say no more
    assert not list(run.folder.glob("lease/*"))
    _, left = psutil.wait_procs(run.parts, timeout=10)
    assert left == []


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGHUP, marks=pytest.mark.slow)]
)
def test_a_signal_to_its_process_group(alone, told, number) -> None:
    hook, posts = told
    run = alone("--notify", hook)
    run.wait_for_epoch()
    os.killpg(run.process.pid, number)
    code, _, taken = run.end()

    assert code == 7
    assert taken < 20
    assert posts == []  # it will be continued
    check_ended_in_order(run, "interrupted")


@pytest.mark.slow
def test_a_signal_to_every_process(alone) -> None:
    run = alone()
    run.wait_for_epoch()
    for part in [psutil.Process(run.process.pid), *run.parts]:
        part.terminate()
    code, _, _ = run.end()

    assert code == 7
    check_ended_in_order(run, "interrupted")


@pytest.mark.slow
def test_timeout_of_the_shell(alone) -> None:
    run = alone(before=("timeout", "60"))
    run.wait_for_epoch()
    code, _, _ = run.end()

    assert code == 124  # of timeout(1) itself
    check_ended_in_order(run, "interrupted")


@pytest.mark.parametrize(
    ("process", "part"),
    [
        ("raylet", "raylet"),
        ("gcs_server", "GCS"),
        pytest.param("RuntimeEnv", "agent", marks=pytest.mark.slow),
        pytest.param("cat", "agent", marks=pytest.mark.slow),  # of the dashboard
    ],
)
def test_a_part_of_its_ray_dies(alone, told, process, part) -> None:
    hook, posts = told
    run = alone("--notify", hook)
    run.wait_for_epoch()
    run.kill(process)
    code, said, taken = run.end()

    assert code == 9
    assert taken < 20
    assert said[-1]["message"] == (
        f"Ray's {part} has ended, so the run cannot continue; results so far are kept, continue "
        "them later with --name test --resume"
    )
    assert [(post["event"], post["exit_code"]) for post in posts] == [("failed", 9)]
    check_ended_in_order(run, "cluster unreachable")
