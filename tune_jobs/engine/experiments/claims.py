"""The processes behind claims: which run of which machine a claim is, and whether it is there."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tune_jobs.engine.serialization import parse


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The progress of a run, as its claim says it.

    Attributes:
        states: how many trials ended in each state.
        target: how many trials there will be.
        in_finals: whether the finalists are trained.
        best: the best value so far.
        left: seconds that the search, or the finals, will take, counted from its last move.
        writes: the experiment that a run of a series writes.
    """

    states: Mapping[str, int] = field(default_factory=dict)
    target: int | None = None
    in_finals: bool = False
    best: float | None = None
    left: float | None = None
    writes: str | None = None


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A process that holds an experiment, or asks for it.

    Attributes:
        host: its machine.
        boot: the boot and the process namespace of that; empty if unknown.
        pid: its number there.
        started: when it was started, as its machine counts.
        holds: whether it holds the experiment.
        beats: how often the claim was written.
        time: when it was last written, in seconds since 1970.
        moved: when its run last made progress, in seconds since 1970.
        facts: how far its run is.
    """

    host: str
    boot: str = ""
    pid: int
    started: str | None = None
    holds: bool = False
    beats: int = 0
    time: float | None = None
    moved: float | None = None
    facts: Facts = Facts()

    @classmethod
    def from_json(cls, content: object) -> Claim:
        """Read a claim.

        Raises:
            ValueError: if the content is not one; the message says why.
        """
        return parse(cls, content)


def describe_self() -> Claim:
    """Describe this process, as a claim does."""
    pid = os.getpid()
    return Claim(host=platform.node(), boot=_boot(), pid=pid, started=_process_start(pid))


def name_of(claim: Claim) -> str:
    """Name a claim's process."""
    return f"process {claim.pid} on {claim.host}"


def is_here(claim: Claim) -> bool:
    """Return whether the claim's process is or was on this machine, where one can look."""
    return bool(claim.boot) and (claim.host, claim.boot) == (platform.node(), _boot())


def is_running(claim: Claim) -> bool:
    """Return whether a claim's process runs on this machine."""
    return is_here(claim) and _process_start(claim.pid) == claim.started


def _boot() -> str:
    """Return the boot and the process namespace, which all processes that see each other share."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _process_start(pid: int) -> str | None:
    """Return when a process was started, as Linux counts; None if there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        state, *rest = text.rpartition(")")[2].split()
        return None if state in "ZX" else rest[18]  # a zombie has ended
    except (OSError, IndexError, ValueError):
        return None
