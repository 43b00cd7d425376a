"""The watchdog of a run: it notices at once that the Ray of the run has died.

Ray itself notices after 15 to 60 seconds, and then ends the process that uses it.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from tune_jobs.engine.cluster.processes import in_sessions, open_shared_pipes, title_of
from tune_jobs.engine.ray_internals import STAND_IN, OwnNode, own_node

# Seconds between two looks at a cluster, and for which its head may not answer: it may be
# restarted, and Ray itself gives up after 60.
PATROL, PATIENCE = 1.0, 30.0

# Seconds after which a run that did not hear that its Ray has died is told again.
REPEAT = 3.0

# Seconds after which a run that has not ended is taken to hang in C++ that waits for its Ray.
LIMIT = 5.0

# What a signal to all processes may need to reach the driver, too, and be its reason to end.
GRACE = 0.3

WORDS = {"gcs_server": "GCS"}
AGENT = "agent"


@contextmanager
def watched(tell: Callable[[str], None], end: Callable[[str], None]) -> Iterator[None]:
    """Watch the Ray that this process is connected to, for a block.

    Args:
        tell: called in a thread with what has died, and again until the block ends.
        end: called with it if the block has not ended some seconds later.
    """
    node = own_node()
    if node is None or not hasattr(os, "pidfd_open"):  # Linux has it
        yield
        return
    watchdog = Watchdog(node, tell, end)
    watchdog.start()
    try:
        yield
    finally:
        watchdog.end()


class Watchdog(threading.Thread):
    """Waits for the end of any process that a run cannot do without.

    Args:
        node: what is watched.
        tell: called with what has died, again and again.
        end: called with it if the run hangs.
    """

    def __init__(
        self, node: OwnNode, tell: Callable[[str], None], end: Callable[[str], None]
    ) -> None:
        super().__init__(daemon=True)
        self._node, self._tell, self._end = node, tell, end
        self._parts = parts_of(node)
        self._pipes = hold_agents(node, self._parts)
        self._ended = threading.Event()
        self._wake, self._waker = os.pipe()
        self._answered = time.monotonic()

    def run(self) -> None:
        """Wait, and tell what has died."""
        died = self._wait()
        if died is None:
            return
        self._pipes = []  # they stay open: Ray is stopped after the watch
        self._ended.wait(GRACE)
        told = time.monotonic()
        while not self._ended.is_set():
            self._tell(died)
            self._ended.wait(min(REPEAT, LIMIT))
            if time.monotonic() - told > LIMIT and not self._ended.is_set():
                self._end(died)

    def end(self) -> None:
        """Watch no longer."""
        self._ended.set()
        os.write(self._waker, b".")
        if threading.current_thread() is self:  # it ends the run itself
            return
        self.join()
        for each in (self._wake, self._waker, *self._pipes):
            os.close(each)

    def _wait(self) -> str | None:
        """Return what has died; None if the watch ends before."""
        poll, names = select.poll(), {}
        poll.register(self._wake, select.POLLIN)
        try:
            for pid, name in self._parts.items():
                try:
                    descriptor = os.pidfd_open(pid)
                except ProcessLookupError:
                    return name
                names[descriptor] = name
                poll.register(descriptor, select.POLLIN)
            while not self._ended.is_set():
                for descriptor, _ in poll.poll(1000 * PATROL):
                    if descriptor in names:
                        return names[descriptor]
                if not self._node.processes and self._is_silent():
                    return "GCS"
            return None
        finally:
            for descriptor in names:
                os.close(descriptor)

    def _is_silent(self) -> bool:
        """Return whether the head of a cluster has not answered for too long."""
        host, _, port = self._node.gcs.rpartition(":")
        with suppress(OSError), closing(socket.create_connection((host, int(port)), timeout=5)):
            self._answered = time.monotonic()
        return time.monotonic() - self._answered > PATIENCE


def parts_of(node: OwnNode) -> Mapping[int, str]:
    """Return the processes on this machine that a node cannot do without, and their names.

    Agents are last: they end with their raylet, and of two ends the first one here is told.
    """
    if not node.processes:
        raylet = listener_of(node.raylet)
        return {raylet: "raylet"} if raylet else {}
    parts = {pid: WORDS.get(kind, kind) for kind, pid in node.processes.items()}
    others = {pid for pid in in_sessions({*node.processes.values()}) if pid not in parts}
    return {**parts, **{pid: AGENT for pid in others if _is_agent(title_of(pid))}}


def _is_agent(title: str) -> bool:
    """Return whether a process is one that a raylet does not outlive."""
    return "Agent" in title or title == STAND_IN


def hold_agents(node: OwnNode, parts: Mapping[int, str]) -> list[int]:
    """Keep a local raylet from noticing that one of its agents ends; return the open files.

    It would end itself then, and with it this process. It reads from a pipe until nobody has it
    open for writing.
    """
    raylet = node.processes.get("raylet")
    agents = [pid for pid, name in parts.items() if name == AGENT]
    return [each for pid in agents for each in open_shared_pipes(pid, raylet)] if raylet else []


def listener_of(path: Path) -> int | None:
    """Return the process that listens at a socket in the file system; None if it cannot be told."""
    with suppress(OSError), closing(socket.socket(socket.AF_UNIX)) as connection:
        connection.connect(str(path))
        size = struct.calcsize("3i")
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        return int(struct.unpack("3i", credentials)[0]) or None
    return None
