"""Measure wall and CPU seconds of a whole process tree, with daemons and orphans (Linux)."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
TICKS = os.sysconf("SC_CLK_TCK")
EVERY = 0.1  # seconds between samples; a process loses at most so much CPU at its end


@dataclass(frozen=True)
class Usage:
    """The cost of a command.

    Attributes:
        wall: seconds until the command itself had ended.
        cpu: seconds of all processes it started, until the last of them had ended.
        started: the time of day at which it was started.
        killed: whether it ran past its deadline.
    """

    wall: float
    cpu: float
    started: float
    exit_code: int
    killed: bool


def run_apart(module: str, *options: str) -> dict[str, float]:
    """Run a module in a separate process, and read the JSON that it prints last."""
    command = [sys.executable, "-m", module, *options]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(ran.stdout.splitlines()[-1])
    return found


def measure(command: list[str], *, env: dict[str, str], output: Path, deadline: float) -> Usage:
    """Run a command to its end, its output to a file, and kill its tree after ``deadline`` s.

    Orphans are adopted by this process, which must have no other children. CPU time is sampled,
    since Ray's raylet ignores the end of its children, which hides their time from ``getrusage``;
    if that reports more, its value is used.
    """
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    before, sampler = _waited(), Sampler()
    killer = threading.Timer(deadline, _kill_descendants)
    started, clock = time.time(), time.perf_counter()
    with output.open("wb") as sink:
        process = subprocess.Popen(command, env=env, stdout=sink, stderr=subprocess.STDOUT)
    sampler.start()
    killer.start()
    exit_code = process.wait()
    wall = time.perf_counter() - clock
    killed = not killer.is_alive()
    killer.cancel()
    _reap(patience=15)
    sampler.end()
    return Usage(wall, max(sampler.seconds, _waited() - before), started, exit_code, killed)


class Sampler(threading.Thread):
    """Keeps the latest CPU time of every descendant of this process."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._latest: dict[tuple[int, int], float] = {}
        self._ended = threading.Event()

    def run(self) -> None:
        """Sample until the end."""
        while not self._ended.wait(EVERY):
            self._latest |= descendants()

    def end(self) -> None:
        """Stop sampling."""
        self._ended.set()
        self.join()

    @property
    def seconds(self) -> float:
        """The CPU seconds of all of them together."""
        return sum(self._latest.values())


def descendants() -> dict[tuple[int, int], float]:
    """Return the CPU seconds of every descendant of this process, by its id and start."""
    seen: dict[int, tuple[int, int, float]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, IndexError):
            field = stat.read_text().rsplit(")", 1)[1].split()
            used = (int(field[11]) + int(field[12])) / TICKS
            seen[int(stat.parent.name)] = (int(field[1]), int(field[19]), used)
    found, latest = {os.getpid()}, {os.getpid()}
    while latest:
        latest = {pid for pid, (parent, *_) in seen.items() if parent in latest}
        found |= latest
    return {(pid, seen[pid][1]): seen[pid][2] for pid in found - {os.getpid()} if pid in seen}


def _waited() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _reap(patience: float) -> None:
    """Wait for orphans, and kill those that outlive the patience."""
    until = time.monotonic() + patience
    with suppress(ChildProcessError):
        while True:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(EVERY / 2)
            if time.monotonic() > until:
                _kill_descendants()


def _kill_descendants() -> None:
    for pid, _ in descendants():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
