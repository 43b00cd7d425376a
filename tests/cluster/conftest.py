"""Clusters of several hosts on this machine: what a test writes for them and reads of them."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent

# Nothing here takes as long, whatever else the machine does.
PATIENCE = 180


@dataclass(frozen=True)
class Site:
    """A folder with the arithmetic job beside this file, searched by a driver on a cluster.

    Attributes:
        folder: holds job, profile, results, and the notes of what was trained.
        env: the driver's environment.
        enter: what its command line begins with, to run on another host.
        drivers: those that were started.
    """

    folder: Path
    env: dict[str, str]
    enter: Sequence[str] = ()
    drivers: list[subprocess.Popen] = field(default_factory=list)

    def drive(self, address: str, *options: str, **profile: Any) -> subprocess.Popen:
        """Start a driver."""
        facts = {"address": address, "storage": str(self.folder / "results"), **profile}
        (self.folder / "profile.yaml").write_text(json.dumps(facts))
        command = [sys.executable, "-m", "tune_jobs", "run", str(self.folder / "job.py")]
        command += ["--profile", str(self.folder / "profile.yaml"), "--name", "test", "--json"]
        with (self.folder / "errors").open("w") as errors:
            driver = subprocess.Popen(
                [*self.enter, *command, *options],
                env=self.env,
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self.drivers.append(driver)
        return driver

    def end(self, driver: subprocess.Popen) -> dict[str, Any]:
        """Wait for a driver's end: its exit code, and what it printed at last if anything."""
        printed, _ = driver.communicate(timeout=PATIENCE)
        lines = printed.splitlines()
        found = json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {}
        about = {"exit_code": driver.returncode, "printed": lines, "errors": self.errors}
        return {**found, **about}

    @property
    def errors(self) -> str:
        """What the driver wrote on its standard error, without the events."""
        lines = (self.folder / "errors").read_text().splitlines()
        return "\n".join(line for line in lines if not line.startswith("{"))

    @property
    def notes(self) -> list[dict[str, Any]]:
        """Where each epoch was trained, in that order."""
        log = self.folder / "log"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    @property
    def gate(self) -> Path:
        """While this file is there, no trial goes beyond its second epoch."""
        return self.folder / "gate"

    @property
    def waiting(self) -> int:
        """How many trials stand before the gate, or went beyond."""
        return len({note["trial"] for note in self.notes if note["epoch"] > 2})

    def wait_for(self, what: Callable[[], object], driver: subprocess.Popen) -> None:
        """Wait until something holds, as long as the driver lives."""
        deadline = time.monotonic() + PATIENCE
        while not what():
            assert driver.poll() is None, self.errors
            assert time.monotonic() < deadline, "it took too long"
            time.sleep(0.05)


@pytest.fixture(scope="module")
def short_path() -> Iterator[Path]:
    """A folder with a short name, since the names of sockets are bounded."""
    with tempfile.TemporaryDirectory(prefix="tj", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def token_env(short_path) -> dict[str, str]:
    """The environment in which a cluster asks for a token, and everything else has it."""
    token = short_path / "token"
    token.touch(mode=0o600)
    token.write_text("0123456789abcdef" * 4)
    mode = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
    return {**os.environ, **mode, "RAY_TMPDIR": str(short_path), "RAY_DISABLE_USAGE_STATS": "1"}


@pytest.fixture(scope="module")
def make_site(short_path, token_env) -> Iterator[Callable[..., Site]]:
    """Make a folder with the job in it; whatever happens, no driver is left behind."""
    sites = []

    def make_site(enter: Sequence[str] = ()) -> Site:
        folder = Path(tempfile.mkdtemp(prefix="s", dir=short_path))
        shutil.copy(HERE / "searched.py", folder / "job.py")
        shutil.copy(HERE / "searched_optimum.py", folder / "optimum.py")
        (folder / "results").mkdir()
        sites.append(Site(folder, token_env, enter))
        return sites[-1]

    yield make_site
    for driver in (driver for site in sites for driver in site.drivers):
        driver.kill()
        driver.wait()
        driver.stdout.close()


class Cluster:
    """A cluster in a process of its own, whose head trains nothing."""

    def __init__(self, env: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "raylets.py")],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.address = self._ask({"add": {"num_cpus": 0}})["address"]

    def add(self, **node: Any) -> str:
        """Start a node; its id."""
        return self._ask({"add": node})["node"]

    def kill(self, node: str) -> None:
        """Kill what makes a node, as when the machine is gone."""
        self._ask({"kill": node})

    def remove(self, node: str) -> None:
        """End a node in good order, so that the cluster knows at once."""
        self._ask({"remove": node})

    def end(self) -> None:
        self._process.communicate(timeout=60)

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


@pytest.fixture(scope="module")
def cluster(token_env) -> Iterator[Cluster]:
    cluster = Cluster(token_env)
    yield cluster
    cluster.end()


@pytest.fixture
def nodes(cluster) -> Iterator[Any]:
    """Start nodes that are gone after the test."""
    added = []

    def add(**node: Any) -> str:
        added.append(cluster.add(**node))
        return added[-1]

    yield add
    for node in added:
        cluster.remove(node)
