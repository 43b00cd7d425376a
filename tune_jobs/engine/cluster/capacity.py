"""Count the trials that fit: on a node, on the present nodes, on those an autoscaler may start."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tune_jobs.engine.ray_internals import HEAD, free_resources

# Ray counts resources in ten-thousandths.
GRAIN = 10_000
UNBOUNDED = sys.maxsize

# A profile's words for what Ray writes in capitals.
RAY_NAMES = {"cpu": "CPU", "gpu": "GPU"}


@dataclass(frozen=True)
class Node:
    """A node that has joined the cluster; ``label`` is what it is called in messages."""

    id: str
    label: str
    resources: Mapping[str, float]

    @property
    def is_head(self) -> bool:
        """True if it is the one that the others joined."""
        return HEAD in self.resources


@dataclass(frozen=True)
class NodeType:
    """A kind of node of which an autoscaler keeps ``least`` and starts up to ``most``."""

    name: str
    resources: Mapping[str, float]
    least: int
    most: int


@dataclass(frozen=True)
class Autoscaler:
    """The nodes that may be started: of each type, and nodes beside the head in all.

    ``problem`` says why the types of a running autoscaler are unknown.
    """

    types: Sequence[NodeType] = ()
    most_nodes: int = UNBOUNDED
    problem: str = ""


def trials_on(resources: Mapping[str, float], wanted: Mapping[str, float]) -> int:
    """Count the trials that fit on one node, each with the resources it needs.

    Fractions of a GPU never span two: of 0.6 GPU each, one trial fits on every GPU. Above one, Ray
    gives out whole GPUs only, so that none fits that wants 1.5.
    """
    fitting = [
        _count(name, resources.get(RAY_NAMES.get(name, name), 0), amount)
        for name, amount in wanted.items()
        if amount
    ]
    return min(fitting, default=UNBOUNDED)


def trials_at_once(nodes: Iterable[Node], wanted: Mapping[str, float]) -> int:
    """Count the trials that fit on the present nodes, none of them spread over two."""
    return sum(trials_on(node.resources, wanted) for node in nodes)


def trials_with_all(
    nodes: Sequence[Node], autoscaler: Autoscaler, wanted: Mapping[str, float]
) -> int:
    """Count the trials that fit once the autoscaler has started all the nodes it may.

    A node is taken to be of the type that has as much of what is wanted; a type of one node that
    looks like the head is the head.
    """
    there = Counter(_shape(node.resources, wanted) for node in nodes if not node.is_head)
    heads = [_shape(node.resources, wanted) for node in nodes if node.is_head]
    free = max(0, autoscaler.most_nodes - there.total())
    trials = trials_at_once(nodes, wanted)
    for kind in sorted(autoscaler.types, key=lambda kind: -trials_on(kind.resources, wanted)):
        shape = _shape(kind.resources, wanted)
        if kind.most == 1 and shape in heads:
            continue
        known = min(there[shape], kind.most)
        there[shape] -= known
        started = min(free, kind.most - known)
        free -= started
        trials += started * trials_on(kind.resources, wanted)
    return min(trials, UNBOUNDED)


def alive_nodes() -> list[Node]:
    """List the nodes of the Ray that this process has joined, the head first."""
    import ray

    found = [node for node in ray.nodes() if node["Alive"]]
    labels = [f"{node['NodeManagerAddress']} ({node['NodeManagerHostname']})" for node in found]
    shared = {label for label, times in Counter(labels).items() if times > 1}
    nodes = [
        Node(
            node["NodeID"],
            f"{label[:-1]}, node {node['NodeID'][:6]})" if label in shared else label,
            node["Resources"],
        )
        for node, label in zip(found, labels, strict=True)
    ]
    return sorted(nodes, key=lambda node: (not node.is_head, node.label))


def free_nodes(nodes: Sequence[Node]) -> list[Node]:
    """Return the same nodes with the resources that are free at the moment."""
    free = free_resources()
    return [replace(node, resources=free.get(node.id, {})) for node in nodes]


def _count(name: str, there: float, wanted: float) -> int:
    there, wanted = round(there * GRAIN), round(wanted * GRAIN)
    if name != "gpu":
        return there // max(1, wanted)
    if wanted < GRAIN:
        return there // GRAIN * (GRAIN // max(1, wanted))
    return there // wanted if wanted % GRAIN == 0 else 0


def _shape(resources: Mapping[str, float], wanted: Mapping[str, float]) -> tuple[float, ...]:
    return tuple(float(resources.get(RAY_NAMES.get(name, name), 0)) for name in sorted(wanted))
