"""Rules for a Ray cluster on Kubernetes that searches run on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tune_jobs.lint.findings import Finding
from tune_jobs.lint.parts import Part
from tune_jobs.lint.versions import LOCK, image_problem

GPU = "nvidia.com/gpu"


def check_cluster(spec: Part, versions: Mapping[str, str]) -> Iterator[Finding]:
    """Yield the mistakes in a RayClusterSpec."""
    workers = spec.parts("workerGroupSpecs")
    yield from _check_head(spec.part("headGroupSpec"))
    yield from _check_token(spec)
    yield from _check_versions(spec, versions.get("ray", ""))
    for group in workers:
        yield from _check_growth(group)
        yield from _check_gpus(group)
    for container in _ray_containers(spec):
        yield from _check_memory(container)


def _check_head(head: Part) -> Iterator[Finding]:
    cpus = head.get("rayStartParams", "num-cpus") or head.get("resources", "CPU")
    if str(cpus) != "0":
        got = "" if cpus is None else f", got {cpus!r}"
        text = f'rayStartParams num-cpus of the head must be "0", or trials run on it{got}'
        yield head.finding(text, "rayStartParams", "num-cpus")
    for keys in (("serviceType",), ("headService", "spec", "type")):
        if head.get(*keys) in ("NodePort", "LoadBalancer"):
            yield head.finding(
                f"{keys[-1]} {head.get(*keys)} sends the token in clear over the network; use "
                "ClusterIP and kubectl port-forward",
                *keys,
            )


def _check_token(spec: Part) -> Iterator[Finding]:
    modes = [_environment_of(each).get("RAY_AUTH_MODE") for each in _ray_containers(spec)]
    is_by_hand = bool(modes) and {*modes} == {"token"}
    if spec.get("authOptions", "mode") != "token" and not is_by_hand:
        yield spec.finding(
            "authOptions.mode must be token: KubeRay binds the dashboard, which runs any code that "
            "it is sent, to 0.0.0.0",
            "authOptions",
            "mode",
        )


def _check_versions(spec: Part, ray: str) -> Iterator[Finding]:
    stated = spec.get("rayVersion")
    if stated is None:
        yield spec.finding("rayVersion is missing: token authentication needs it")
    elif ray and stated != ray:
        yield spec.finding(f"rayVersion is {stated!r}, but {LOCK} has ray {ray}", "rayVersion")
    for container in _ray_containers(spec):
        if problem := image_problem("image", container.text("image"), ray):
            yield container.finding(problem, "image")


def _check_growth(group: Part) -> Iterator[Finding]:
    low, high = group.number("minReplicas") or 0, group.number("maxReplicas")
    if high is None:
        yield group.finding("maxReplicas is missing: the default is 2147483647 nodes")
    elif low > high:
        text = f"minReplicas must be at most maxReplicas {high}, got {low}"
        yield group.finding(text, "minReplicas")


def _check_gpus(group: Part) -> Iterator[Finding]:
    """Find a group that should have GPUs, but gives none to Ray: trials would wait forever."""
    container = group.part("template", "spec", "containers", 0)
    tolerations = group.parts("template", "spec", "tolerations")
    wants = "gpu" in group.text("groupName").lower() or any(
        each.get("key") == GPU for each in tolerations
    )
    promised = group.get("rayStartParams", "num-gpus") not in (None, "0")
    if (wants or promised) and container.get("resources", "limits", GPU) is None:
        yield container.finding(f"a GPU group needs {GPU} in resources.limits", "resources")


def _check_memory(container: Part) -> Iterator[Finding]:
    limit = container.get("resources", "limits", "memory")
    request = container.get("resources", "requests", "memory")
    if limit is None:
        yield container.finding(
            "resources.limits.memory is missing: Ray takes it for the memory of the node",
            "resources",
        )
    elif request not in (None, limit):
        yield container.finding(
            f"memory request {request} and limit {limit} must be equal: Ray fills the limit, and "
            "Kubernetes evicts a pod above its request",
            "resources",
            "requests",
            "memory",
        )


def _ray_containers(spec: Part) -> list[Part]:
    """Return the first container of each group, which is the one that runs Ray."""
    groups = [spec.part("headGroupSpec"), *spec.parts("workerGroupSpecs")]
    lists = [group.parts("template", "spec", "containers") for group in groups]
    return [containers[0] for containers in lists if containers]


def _environment_of(container: Part) -> dict[str, str]:
    return {each.text("name"): each.text("value") for each in container.parts("env")}
