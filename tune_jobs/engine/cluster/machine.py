"""This machine: what a run may use of it, and its environment."""

from __future__ import annotations

import os
from pathlib import Path

from tune_jobs.engine.cluster.capacity import Node


def local_resources() -> dict[str, float]:
    """Count this machine's CPUs that this process may use, and its NVIDIA GPUs."""
    affinity = getattr(os, "sched_getaffinity", None)
    cpus = len(affinity(0)) if affinity else os.cpu_count() or 1
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        gpus = len([device for device in visible.split(",") if device.strip() not in ("", "-1")])
    else:
        gpus = len(list(Path("/proc/driver/nvidia/gpus").glob("*")))
    return {"CPU": cpus, "GPU": gpus}


def local_node() -> Node:
    """Return this machine as a node."""
    return Node("", "this machine", local_resources())
