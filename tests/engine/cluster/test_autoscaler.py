"""The autoscaler's node types: reported by a platform, read from KubeRay, or unknown."""

import json
import sys
from contextlib import contextmanager
from types import SimpleNamespace

from ray._private.ray_constants import DEBUG_AUTOSCALING_STATUS
from ray._raylet import GCS_AUTOSCALER_CLUSTER_CONFIG_KEY, GCS_AUTOSCALER_STATE_NAMESPACE
from ray.autoscaler._private.kuberay.autoscaling_config import (
    _derive_autoscaling_config_from_ray_cr,
)
from ray.core.generated.autoscaler_pb2 import ClusterConfig, NodeGroupConfig
from ray.experimental.internal_kv import _internal_kv_del, _internal_kv_put

from tune_jobs.engine.cluster import autoscaler
from tune_jobs.engine.cluster.autoscaler import (
    UNREPORTED,
    as_configured,
    find_autoscaler,
    read_raycluster,
)
from tune_jobs.engine.cluster.capacity import Autoscaler, NodeType

POD = {
    "spec": {
        "containers": [
            {
                "name": "ray",
                "resources": {"limits": {"cpu": "8", "nvidia.com/gpu": "1", "memory": "32Gi"}},
            }
        ]
    }
}
RAYCLUSTER = {
    "metadata": {"name": "search", "namespace": "default"},
    "spec": {
        "headGroupSpec": {"rayStartParams": {"num-cpus": "0"}, "template": POD},
        "workerGroupSpecs": [
            {
                "groupName": "gpu",
                "minReplicas": 0,
                "maxReplicas": 4,
                "rayStartParams": {},
                "template": POD,
            }
        ],
    },
}


@contextmanager
def stored(key: str, value: bytes, **place: bytes):
    """A value in Ray's store, as a platform or the autoscaler puts it there."""
    _internal_kv_put(key.encode(), value, **place)
    try:
        yield
    finally:
        _internal_kv_del(key.encode(), **place)


def reported(config: ClusterConfig):
    namespace = GCS_AUTOSCALER_STATE_NAMESPACE.encode()
    return stored(
        GCS_AUTOSCALER_CLUSTER_CONFIG_KEY, config.SerializeToString(), namespace=namespace
    )


def status(*types: str):
    """The autoscaler's last report, with nodes of some types."""
    report = {"autoscaler_report": {"node_type_mapping": dict(enumerate(types))}}
    return stored(DEBUG_AUTOSCALING_STATUS, json.dumps(report).encode())


def test_a_ray_without_autoscaler_has_no_node_types(local_ray) -> None:
    assert find_autoscaler() == Autoscaler()


def test_a_platform_reports_its_node_types(local_ray) -> None:
    groups = [
        NodeGroupConfig(name="gpu", resources={"CPU": 8, "GPU": 2}, min_count=1, max_count=5),
        NodeGroupConfig(name="cpu", resources={"CPU": 8}, max_count=-1),
    ]
    with reported(ClusterConfig(node_group_configs=groups)):
        found = find_autoscaler()

    assert found.types == [
        NodeType("gpu", {"CPU": 8, "GPU": 2}, 1, 5),
        NodeType("cpu", {"CPU": 8}, 0, sys.maxsize),
    ]


def test_the_node_types_of_a_launcher_are_unknown_and_not_absent(local_ray) -> None:
    with status("ray.head.default"):
        assert find_autoscaler() == Autoscaler(problem=UNREPORTED)


def test_an_autoscaler_without_configuration_starts_nothing(local_ray) -> None:
    with status("node_fffffffffffffffff00000", "node_0a1b"):
        assert find_autoscaler() == Autoscaler()
    with stored(DEBUG_AUTOSCALING_STATUS, b'{"monitor_pid": 1}'):
        assert find_autoscaler() == Autoscaler()


def test_a_raycluster_is_read_on_its_head_without_what_nobody_needs(tmp_path, monkeypatch) -> None:
    (tmp_path / "namespace").write_text("default\n")
    asked = []

    def producer(name: str, namespace: str):
        asked.append((name, namespace))
        return lambda: _derive_autoscaling_config_from_ray_cr(RAYCLUSTER)

    monkeypatch.setitem(sys.modules, "kuberay", SimpleNamespace(Producer=producer))
    where = ("kuberay:Producer", str(tmp_path / "namespace"))

    assert read_raycluster(*where) is None
    monkeypatch.setenv("RAY_CLUSTER_NAME", "search")
    monkeypatch.setenv("KUBERAY_GEN_RAY_START_CMD", "ray start --head --no-monitor")
    found = read_raycluster(*where)

    assert asked == [("search", "default")]
    assert found.keys() == {"max_workers", "head_node_type", "available_node_types"}
    (gpu,) = as_configured(found).types
    assert (gpu.name, gpu.least, gpu.most, found["max_workers"]) == ("gpu", 0, 4, 4)
    assert (gpu.resources["CPU"], gpu.resources["GPU"]) == (8, 1)


def refuse(kuberay_config: str) -> None:
    raise PermissionError("HTTPError:\n403")


def test_a_raycluster_that_cannot_be_read_is_a_problem_and_not_an_absence(
    local_ray, monkeypatch
) -> None:
    monkeypatch.setattr(autoscaler, "read_raycluster", refuse)

    found = find_autoscaler()

    assert (found.types, found.problem) == ((), "PermissionError: HTTPError: 403")
