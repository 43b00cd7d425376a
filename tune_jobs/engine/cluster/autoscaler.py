"""The nodes that an autoscaler may start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tune_jobs.engine.cluster.capacity import UNBOUNDED, Autoscaler, NodeType, alive_nodes
from tune_jobs.engine.cluster.node_tasks import NoAnswer, ask
from tune_jobs.engine.ray_internals import (
    KUBERAY_CONFIG,
    autoscaler_starts_nodes,
    cluster_config,
)

LIMIT = 60.0  # seconds; Ray asks Kubernetes up to five times, five seconds apart
NAMESPACE = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
UNREPORTED = "Ray does not report those of a `ray up` file"


def find_autoscaler(limit: float = LIMIT) -> Autoscaler:
    """Return the autoscaler of the Ray that this process has joined; without types if it has none.

    A platform reports its node types to Ray, and KubeRay's are in its RayCluster. Those of a
    ``ray up`` file are not reported, so they are unknown.
    """
    reported = cluster_config()
    if reported is not None and reported.node_group_configs:
        return _as_reported(reported)
    heads = [node for node in alive_nodes() if node.is_head]
    for found in ask(heads, read_raycluster, KUBERAY_CONFIG, limit=limit).values():
        if isinstance(found, NoAnswer):
            return Autoscaler(problem=found.reason)
        if found:
            return as_configured(found)
    return Autoscaler(problem=UNREPORTED if autoscaler_starts_nodes() else "")


def as_configured(config: Mapping[str, Any]) -> Autoscaler:
    """Return the node types of a RayCluster, in the form that KubeRay's autoscaler reads."""
    most_nodes = config["max_workers"]
    head = config["head_node_type"]
    types = [
        NodeType(name, kind["resources"], kind["min_workers"], min(most_nodes, kind["max_workers"]))
        for name, kind in config["available_node_types"].items()
        if name != head
    ]
    return Autoscaler(types, most_nodes)


def _as_reported(config: Any) -> Autoscaler:
    types = [
        NodeType(
            kind.name,
            dict(kind.resources),
            kind.min_count,
            kind.max_count if kind.max_count >= 0 else UNBOUNDED,
        )
        for kind in config.node_group_configs
    ]
    return Autoscaler(types)


def read_raycluster(kuberay_config: str, namespace: str = NAMESPACE) -> dict[str, Any] | None:
    """Read the RayCluster of a head whose autoscaler KubeRay runs; None on any other head.

    This runs on the head. It travels there by value, and so knows nothing but Ray.

    Args:
        kuberay_config: the place of Ray's class that reads it.
        namespace: the file with the namespace of the pod.
    """
    import os
    from importlib import import_module
    from pathlib import Path

    cluster = os.environ.get("RAY_CLUSTER_NAME")
    if not cluster or "--no-monitor" not in os.environ.get("KUBERAY_GEN_RAY_START_CMD", ""):
        return None
    module, _, name = kuberay_config.partition(":")
    produce = getattr(import_module(module), name)
    config = produce(cluster, Path(namespace).read_text().strip())()
    return {name: config[name] for name in ("max_workers", "head_node_type")} | {
        "available_node_types": {
            name: {each: kind[each] for each in ("resources", "min_workers", "max_workers")}
            for name, kind in config["available_node_types"].items()
        }
    }
