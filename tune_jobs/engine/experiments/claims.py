"""The processes behind claims: which run of which machine a claim is, and whether it is there."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

Claim = dict[str, Any]


def describe_self() -> Claim:
    """Describe this process, as a claim does."""
    return {
        "host": platform.node(),
        "boot": _boot(),
        "pid": os.getpid(),
        "started": _process_start(os.getpid()),
    }


def name_of(claim: Claim) -> str:
    """Name a claim's process."""
    return f"process {claim.get('pid')} on {claim.get('host')}"


def is_here(claim: Claim) -> bool:
    """Return whether the claim's process is or was on this machine, where one can look."""
    return bool(claim.get("boot")) and (claim.get("host"), claim["boot"]) == (
        platform.node(),
        _boot(),
    )


def is_running(claim: Claim) -> bool:
    """Return whether a claim's process runs on this machine."""
    return is_here(claim) and _process_start(claim.get("pid", -1)) == claim.get("started")


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
