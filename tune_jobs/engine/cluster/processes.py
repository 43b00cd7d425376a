"""The processes of a machine, as Linux lists them; elsewhere none are found."""

from __future__ import annotations

import os
import signal
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path


def in_sessions(leaders: Collection[int]) -> Iterator[int]:
    """Yield the processes of the sessions that some processes lead, the leaders included."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if os.getsid(int(folder.name)) in leaders:
                yield int(folder.name)


def title_of(pid: int) -> str:
    """Return what a process calls itself; empty if it has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[0]
    return ""


def kill_sessions(leaders: Collection[int]) -> None:
    """Kill every process of the sessions that some processes lead."""
    for pid in in_sessions(leaders):
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def kill_stopped(pids: Collection[int]) -> None:
    """Kill those processes that are stopped."""
    for pid in pids:
        with suppress(OSError):
            text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
            if text.rpartition(")")[2].split()[0] == "T":
                os.kill(pid, signal.SIGKILL)
