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


def is_alive(pid: int) -> bool:
    """Return whether a process runs; one that has ended and that nobody has waited for does not."""
    try:
        os.kill(pid, 0)
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return text.rpartition(")")[2].split()[0] != "Z"


def kill_sessions(leaders: Collection[int]) -> None:
    """Kill every process of the sessions that some processes lead."""
    for pid in in_sessions(leaders):
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def open_shared_pipes(writer: int, reader: int) -> list[int]:
    """Open for writing the pipes that one process has open for writing and another one for reading.

    What cannot be opened is left out.
    """
    read, opened = {*_pipes_of(reader, os.O_RDONLY).values()}, []
    for path, pipe in _pipes_of(writer, os.O_WRONLY).items():
        if pipe in read:
            with suppress(OSError):
                opened.append(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
    return opened


def _pipes_of(pid: int, mode: int) -> dict[Path, str]:
    """Return the pipes that a process has open in a mode, by the paths of its descriptors."""
    found: dict[Path, str] = {}
    for path in _descriptors_of(pid):
        with suppress(OSError):
            facts = Path(f"/proc/{pid}/fdinfo/{path.name}").read_text(encoding="utf-8")
            flags = int(facts.partition("flags:")[2].split()[0], 8)
            target = str(path.readlink())
            if target.startswith("pipe:") and flags & os.O_ACCMODE == mode:
                found[path] = target
    return found


def _descriptors_of(pid: int) -> list[Path]:
    with suppress(OSError):
        return [*Path(f"/proc/{pid}/fd").iterdir()]
    return []
