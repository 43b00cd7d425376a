"""CPUs, GPUs and memory of each node, and whether the GPUs that Ray counts are there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tune_jobs.engine.cluster.capacity import Node
from tune_jobs.engine.cluster.doctor.check import Check
from tune_jobs.engine.cluster.doctor.probe import Machine
from tune_jobs.engine.formatting import count, listed

NAME = "machines"


def survey(described: Sequence[tuple[Node, Machine]]) -> Iterator[Check]:
    """Yield a line for each kind of node, and one for nodes whose GPUs are only declared."""
    kinds: dict[str, list[str]] = {}
    for node, description in described:
        text = equipment(node.resources, description["gpus"])
        kinds.setdefault(text, []).append(node.label)
    for text, labels in kinds.items():
        yield Check(NAME, "ok", f"{listed(labels)}: {text}{' each' if labels[1:] else ''}")
    declared = [
        node.label
        for node, description in described
        if node.resources.get("GPU", 0) > len(description["gpus"]) and not description["other_gpus"]
    ]
    if declared:
        yield Check(
            NAME,
            "warning",
            f"Ray counts more GPUs than nvidia-smi finds on {listed(declared)}: Keras would train "
            "on the CPU; install the NVIDIA driver and container toolkit, or remove --num-gpus",
        )


def equipment(resources: Mapping[str, float], gpus: Sequence[str] = ()) -> str:
    """Describe the resources of a node."""
    parts = [
        count(round(resources.get("CPU", 0)), "CPU"),
        count(round(resources.get("GPU", 0)), "GPU") + _models(gpus),
    ]
    names = {"memory": "memory", "object_store_memory": "object store"}
    for key, name in names.items():
        if key in resources:
            parts.append(f"{resources[key] / 1e9:.1f} GB {name}")
    return ", ".join(parts)


def _models(gpus: Sequence[str]) -> str:
    """List the GPUs by model, as ``nvidia-smi`` names them with their MiB."""
    models = []
    for line in dict.fromkeys(gpus):
        name, _, memory = line.rpartition(", ")
        size = f" of {int(memory) * 2**20 / 1e9:.1f} GB" if memory.isdigit() else ""
        models.append(f"{gpus.count(line)} x {name}{size}")
    return f" ({', '.join(models)})" if models else ""
