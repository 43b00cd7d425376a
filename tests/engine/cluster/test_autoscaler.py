"""The autoscaler's node types, where a platform, the launcher's file or KubeRay tells of them."""

import subprocess
import sys
from contextlib import contextmanager

import pytest
import ray
import yaml
from ray._raylet import GCS_AUTOSCALER_CLUSTER_CONFIG_KEY, GCS_AUTOSCALER_STATE_NAMESPACE
from ray.autoscaler._private.kuberay.autoscaling_config import (
    _derive_autoscaling_config_from_ray_cr,
)
from ray.core.generated.autoscaler_pb2 import ClusterConfig, NodeGroupConfig
from ray.experimental.internal_kv import _internal_kv_del, _internal_kv_put

from tune_jobs.engine.cluster.autoscaler import as_configured, find_autoscaler, read_configuration
from tune_jobs.engine.cluster.capacity import Autoscaler, NodeType
from tune_jobs.engine.ray_internals import KUBERAY_CONFIG

LAUNCHER = {
    "max_workers": 6,
    "head_node_type": "head",
    "provider": {"type": "aws", "secret": "hidden"},
    "available_node_types": {
        "head": {"resources": {"CPU": 4}, "max_workers": 0},
        "gpu": {"resources": {"CPU": 8, "GPU": 1}, "min_workers": 1, "max_workers": 4},
        "spot": {"resources": {"CPU": 8, "GPU": 1}, "max_workers": 99},
        "bare": {"node_config": {"key": "hidden"}},
    },
}


@contextmanager
def reported(config: ClusterConfig):
    """What a platform tells Ray of its node types."""
    key = GCS_AUTOSCALER_CLUSTER_CONFIG_KEY.encode()
    place = {"namespace": GCS_AUTOSCALER_STATE_NAMESPACE.encode()}
    _internal_kv_put(key, config.SerializeToString(), **place)
    try:
        yield
    finally:
        _internal_kv_del(key, **place)


@contextmanager
def monitored(path):
    """A process with the command line of Ray's autoscaler."""
    address = ray.get_runtime_context().gcs_address
    options = [f"--gcs-address={address}", f"--autoscaling-config={path}"]
    process = subprocess.Popen([sys.executable, "-c", "input()", *options], stdin=subprocess.PIPE)
    try:
        yield
    finally:
        process.communicate(b"\n")


def test_a_ray_without_autoscaler_has_no_node_types(local_ray) -> None:
    assert find_autoscaler() == Autoscaler()


def test_a_platform_tells_ray_its_node_types(local_ray) -> None:
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


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux' list of processes")
def test_the_launchers_file_is_read_on_the_head(local_ray, tmp_path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(yaml.safe_dump(LAUNCHER, sort_keys=False))
    with monitored(path):
        found = find_autoscaler()
        sent = read_configuration(ray.get_runtime_context().gcs_address, KUBERAY_CONFIG)

    assert found == as_configured(LAUNCHER)
    assert "gpu" in repr(sent)
    assert "hidden" not in repr(sent)
    assert found == Autoscaler(
        [
            NodeType("gpu", {"CPU": 8, "GPU": 1}, 1, 4),
            NodeType("spot", {"CPU": 8, "GPU": 1}, 0, 6),
            NodeType("bare", {}, 0, 6),
        ],
        6,
    )


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux' list of processes")
def test_a_file_that_cannot_be_read_is_a_problem_and_not_an_absence(local_ray, tmp_path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text("a: [")
    with monitored(path):
        found = find_autoscaler()

    assert not found.types
    assert "ParserError" in found.problem
    assert "\n" not in found.problem


def test_a_raycluster_of_kuberay_is_understood() -> None:
    limits = {"cpu": "8", "nvidia.com/gpu": "1", "memory": "32Gi"}
    pod = {"spec": {"containers": [{"name": "ray", "resources": {"limits": limits}}]}}
    cluster = {
        "metadata": {"name": "search", "namespace": "default"},
        "spec": {
            "headGroupSpec": {"rayStartParams": {"num-cpus": "0"}, "template": pod},
            "workerGroupSpecs": [
                {
                    "groupName": "gpu",
                    "minReplicas": 0,
                    "maxReplicas": 4,
                    "rayStartParams": {},
                    "template": pod,
                }
            ],
        },
    }

    found = as_configured(_derive_autoscaling_config_from_ray_cr(cluster))

    (gpu,) = found.types
    assert (gpu.name, gpu.least, gpu.most, found.most_nodes) == ("gpu", 0, 4, 4)
    assert (gpu.resources["CPU"], gpu.resources["GPU"]) == (8, 1)
