"""Which nodes an autoscaler may start, as it was told itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tune_jobs.engine.cluster.capacity import UNBOUNDED, Autoscaler, NodeType, alive_nodes
from tune_jobs.engine.cluster.node_tasks import NoAnswer, ask
from tune_jobs.engine.ray_internals import KUBERAY_CONFIG, cluster_config

LIMIT = 60.0  # seconds; Ray asks Kubernetes up to five times, five seconds apart


def find_autoscaler(limit: float = LIMIT) -> Autoscaler:
    """The autoscaler of the Ray that this process has joined; one without types if there is none.

    A platform may have told Ray; else the configuration is read on the head, from the file that
    ``ray up`` left there, or from Kubernetes.
    """
    import ray

    reported = cluster_config()
    if reported is not None and reported.node_group_configs:
        return _as_reported(reported)
    heads = [node for node in alive_nodes() if node.is_head]
    address = ray.get_runtime_context().gcs_address
    for found in ask(heads, read_configuration, address, KUBERAY_CONFIG, limit=limit).values():
        if isinstance(found, NoAnswer):
            return Autoscaler(problem=found.reason)
        return as_configured(found) if found else Autoscaler()
    return Autoscaler()


def as_configured(config: Mapping[str, Any]) -> Autoscaler:
    """The node types of a cluster launcher's file, which is also KubeRay's form of a cluster."""
    most_nodes = config.get("max_workers", UNBOUNDED)
    head = config.get("head_node_type")
    types = [
        NodeType(
            name,
            kind.get("resources") or {},
            kind.get("min_workers", 0),
            min(most_nodes, kind.get("max_workers", most_nodes)),
        )
        for name, kind in (config.get("available_node_types") or {}).items()
        if not (name == head and not kind.get("max_workers"))
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


def read_configuration(gcs_address: str, kuberay_config: str) -> dict[str, Any] | None:
    """What the head's autoscaler was told, without credentials; None where there is none.

    Runs on the head, travels there by value, and therefore knows nothing but Ray.
    """
    config = _read_file(gcs_address) or _read_kubernetes(kuberay_config)
    wanted = ("available_node_types", "head_node_type", "max_workers")
    bounds = ("resources", "min_workers", "max_workers")
    if config is None:
        return None
    told = {name: config[name] for name in wanted if name in config}
    told["available_node_types"] = {
        name: {bound: kind[bound] for bound in bounds if bound in kind}
        for name, kind in (config.get("available_node_types") or {}).items()
    }
    return told


def _read_file(gcs_address: str) -> dict[str, Any] | None:
    """The file that the autoscaler's process on this machine was started with."""
    from contextlib import suppress
    from pathlib import Path

    import yaml

    option, named = "--autoscaling-config=", None
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if f"--gcs-address={gcs_address}" in words:
                named = next((word for word in words if word.startswith(option)), named)
    if named is None:
        return None
    path = Path(named.removeprefix(option)).expanduser()
    config: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return config


def _read_kubernetes(kuberay_config: str) -> dict[str, Any] | None:
    """The RayCluster that this pod belongs to, where KubeRay runs an autoscaler beside the head."""
    import os
    from importlib import import_module
    from pathlib import Path

    cluster = os.environ.get("RAY_CLUSTER_NAME")
    if not cluster or "--no-monitor" not in os.environ.get("KUBERAY_GEN_RAY_START_CMD", ""):
        return None
    module, _, name = kuberay_config.partition(":")
    produce = getattr(import_module(module), name)
    namespace = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
    config: dict[str, Any] = produce(cluster, namespace.read_text().strip())()
    return config
