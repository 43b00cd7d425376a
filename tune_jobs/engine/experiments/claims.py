"""The processes behind claims: which run of which machine a claim is, and whether it is there."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

Claim = dict[str, Any]


def describe_self() -> Claim:
    """What a claim says of this process."""
    return {
        "host": platform.node(),
        "boot": _boot(),
        "pid": os.getpid(),
        "started": _process_start(os.getpid()),
    }


def name_of(claim: Claim) -> str:
    """What a claim's process is called."""
    return f"process {claim.get('pid')} on {claim.get('host')}"


def is_here(claim: Claim) -> bool:
    """Whether the claim's process is or was one of this machine, so that one can look."""
    return bool(claim.get("boot")) and (claim.get("host"), claim["boot"]) == (
        platform.node(),
        _boot(),
    )


def is_running(claim: Claim) -> bool:
    """Whether a claim's process is one of this machine that runs."""
    return is_here(claim) and _process_start(claim.get("pid", -1)) == claim.get("started")


def _boot() -> str:
    """What is the same for all processes that can see each other: boot and process namespace."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _process_start(pid: int) -> str | None:
    """When a process was started, as Linux counts; None where there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        state, *rest = text.rpartition(")")[2].split()
        return None if state in "ZX" else rest[18]  # a zombie has ended
    except (OSError, IndexError, ValueError):
        return None
