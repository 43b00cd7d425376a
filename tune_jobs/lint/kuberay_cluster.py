"""Rules of a Ray cluster on Kubernetes: those that only KubeRay's controller enforces, and ours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tune_jobs.lint.findings import Finding
from tune_jobs.lint.kuberay_images import ray_containers
from tune_jobs.lint.parts import Part, as_quantity

GPU = "nvidia.com/gpu"
SPOT = {
    "cloud.google.com/gke-spot",
    "cloud.google.com/gke-preemptible",
    "cloud.google.com/gke-provisioning",
    "eks.amazonaws.com/capacityType",
    "karpenter.sh/capacity-type",
    "kubernetes.azure.com/scalesetpriority",
}
ON_DEMAND = {"false", "on_demand", "on-demand", "standard", "regular"}
AUTOSCALER_V2 = "RAY_enable_autoscaler_v2"


def cluster_findings(spec: Part) -> Iterator[Finding]:
    """What is wrong with a RayClusterSpec, apart from its fields and its images."""
    yield from _head(spec)
    yield from _authentication(spec)
    yield from _autoscaler(spec)
    yield from _names(spec)
    for group in spec.parts("workerGroupSpecs"):
        yield from _replicas(group, autoscaled(spec))
        yield from _gpus(group)
    for group in [spec.part("headGroupSpec"), *spec.parts("workerGroupSpecs")]:
        yield from _start_parameters(group)
        yield from _memory(group)


def autoscaled(spec: Part) -> bool:
    """Whether Ray's autoscaler runs beside the head."""
    return spec.get("enableInTreeAutoscaling") is True


def _head(spec: Part) -> Iterator[Finding]:
    head = spec.part("headGroupSpec")
    cpus = head.get("rayStartParams", "num-cpus") or head.get("resources", "CPU")
    if cpus is None:
        yield head.finding('the head needs rayStartParams num-cpus: "0", or trials run on it')
    elif str(cpus) != "0":
        yield head.finding(
            f'num-cpus of the head is {cpus!r}, but must be "0", or trials run on it',
            *("rayStartParams", "num-cpus"),
        )
    pod = head.part("template", "spec")
    for keys, key, value in _placement(pod):
        if key in SPOT and str(value).lower() not in ON_DEMAND:
            yield pod.finding(f"the head may run on a spot node ({key}): it ends the run", *keys)


def _placement(pod: Part) -> Iterator[tuple[tuple[str | int, ...], str, Any]]:
    """Where each node label stands by which a pod is drawn to, or let onto, some nodes."""
    for key, value in pod.mapping("nodeSelector").items():
        yield ("nodeSelector", key), key, value
    for toleration in pod.parts("tolerations"):
        yield toleration.keys[len(pod.keys) :], toleration.text("key"), toleration.get("value")
    for expression in pod.part("affinity", "nodeAffinity").within("matchExpressions"):
        for each in expression.parts():
            if each.get("operator") in ("In", "Exists"):
                for value in each.get("values") or [None]:
                    yield each.keys[len(pod.keys) :], each.text("key"), value


def _authentication(spec: Part) -> Iterator[Finding]:
    modes = [env_value(each, "RAY_AUTH_MODE") for each in ray_containers(spec)]
    by_hand = bool(modes) and all(mode == "token" for mode in modes)
    options = spec.part("authOptions")
    if options.get("mode") != "token" and not by_hand:
        at = next(
            (keys for keys in (("authOptions",), HOST, ("headGroupSpec",)) if spec.get(*keys)), ()
        )
        yield spec.finding(
            "authOptions.mode must be token: KubeRay binds the dashboard, which runs any code that "
            "it is sent, to 0.0.0.0",
            *at,
        )
    if options.get("enableK8sTokenAuth") is True and options.get("secretName"):
        yield options.finding("secretName and enableK8sTokenAuth exclude each other", "secretName")
    head = spec.part("headGroupSpec")
    for keys in (("serviceType",), ("headService", "spec", "type")):
        if head.get(*keys) in ("NodePort", "LoadBalancer"):
            yield head.finding(
                f"{keys[-1]} {head.get(*keys)} sends the token in clear over the network; use "
                "ClusterIP and kubectl port-forward",
                *keys,
            )
    if head.get("enableIngress") is True and not head.parts("ingressOptions", "tls"):
        yield head.finding("an ingress without tls sends the token in clear", "enableIngress")


HOST = ("headGroupSpec", "rayStartParams", "dashboard-host")


def env_value(container: Part, name: str) -> Any:
    """The literal value of a container's environment variable; None where it has none."""
    return next((e.get("value") for e in container.parts("env") if e.get("name") == name), None)


def _autoscaler(spec: Part) -> Iterator[Finding]:
    options, groups = spec.part("autoscalerOptions"), spec.parts("workerGroupSpecs")
    if not autoscaled(spec):
        if options.get() is not None:
            yield options.finding("autoscalerOptions without enableInTreeAutoscaling: true")
        for group in groups:
            low, high = group.number("minReplicas"), group.number("maxReplicas")
            if low is not None and high is not None and low < high:
                yield group.finding(
                    f"minReplicas {low} < maxReplicas {high}, but nothing scales between them: "
                    "set enableInTreeAutoscaling: true",
                    "maxReplicas",
                )
        return
    second = options.get("version") == "v2"
    heads = ray_containers(spec)[:1]
    if options.get("version") and any(env_value(each, AUTOSCALER_V2) for each in heads):
        yield options.finding(f"version and {AUTOSCALER_V2} in env exclude each other", "version")
    second = second or any(env_value(each, AUTOSCALER_V2) in ("1", "true") for each in heads)
    for group in groups:
        if group.get("idleTimeoutSeconds") is not None and not second:
            yield group.finding(
                "idleTimeoutSeconds of a group needs autoscalerOptions.version: v2",
                "idleTimeoutSeconds",
            )
        if group.get("suspend") is True:
            yield group.finding("a group cannot be suspended with the autoscaler on", "suspend")
    idle = [options, *groups]
    if all(part.get("idleTimeoutSeconds") is None for part in idle):
        yield spec.finding(
            "autoscalerOptions.idleTimeoutSeconds is missing: say how long an idle node is kept",
            *(("autoscalerOptions",) if options.get() else ("enableInTreeAutoscaling",)),
        )
    for group in [spec.part("headGroupSpec"), *groups] if second else []:
        policy = group.get("template", "spec", "restartPolicy")
        if policy not in (None, "Never"):
            yield group.finding(
                f"restartPolicy is {policy!r}, but autoscaler v2 wants Never",
                *("template", "spec", "restartPolicy"),
            )


def _names(spec: Part) -> Iterator[Finding]:
    seen: set[str] = set()
    for group in spec.parts("workerGroupSpecs"):
        name = group.text("groupName")
        if name in seen:
            yield group.finding(f"two worker groups are named {name!r}", "groupName")
        seen.add(name)


def _replicas(group: Part, scaled: bool) -> Iterator[Finding]:
    low, high = group.number("minReplicas"), group.number("maxReplicas")
    wanted = group.number("replicas")
    for name, value in (("minReplicas", low), ("maxReplicas", high)):
        if value is None and not scaled:
            yield group.finding(f"without autoscaling a worker group needs {name}")
        elif value is None and name == "maxReplicas":
            yield group.finding("a worker group needs maxReplicas: the default is 2147483647")
    if low is not None and high is not None and low > high:
        yield group.finding(f"minReplicas is {low}, but maxReplicas is {high}", "minReplicas")
    elif wanted is not None and not (low or 0) <= wanted <= (wanted if high is None else high):
        yield group.finding(
            f"replicas is {wanted}, but must be within minReplicas {low or 0} and "
            f"maxReplicas {high}",
            "replicas",
        )
    elif scaled and low is not None and low > 1:
        yield group.finding(
            f"minReplicas is {low}, but a search begins on one node: 0 or 1, and the autoscaler "
            "adds the others as they come",
            "minReplicas",
        )


def _gpus(group: Part) -> Iterator[Finding]:
    container = group.part("template", "spec", "containers", 0)
    limit = container.get("resources", "limits", GPU)
    if limit is not None:
        return
    if container.get("resources", "requests", GPU) is not None:
        yield container.finding(
            f"{GPU} stands in requests only; Kubernetes wants it in limits",
            *("resources", "requests", GPU),
        )
    elif group.get("rayStartParams", "num-gpus") not in (None, "0"):
        yield group.finding(
            f"num-gpus promises Ray GPUs that the container does not get: set {GPU} in its limits",
            *("rayStartParams", "num-gpus"),
        )
    elif _named_for_gpus(group):
        yield container.finding(
            f"a GPU worker group needs {GPU} in the limits of its Ray container", "resources"
        )


def _named_for_gpus(group: Part) -> bool:
    pod = group.part("template", "spec")
    tolerated = {each.text("key") for each in pod.parts("tolerations")}
    selected = " ".join(pod.mapping("nodeSelector"))
    return (
        GPU in tolerated
        or "accelerator" in selected
        or "gpu" in selected
        or "gpu" in group.text("groupName").lower()
    )


def _start_parameters(group: Part) -> Iterator[Finding]:
    parameters = group.mapping("rayStartParams")
    if "labels" in parameters:
        yield group.finding(
            "rayStartParams labels is refused: use the group's field labels",
            *("rayStartParams", "labels"),
        )
    both = {"num-cpus", "num-gpus", "memory", "resources"} & parameters.keys()
    if both and group.mapping("resources"):
        yield group.finding(
            f"rayStartParams {', '.join(sorted(both))} and resources exclude each other",
            "resources",
        )


def _memory(group: Part) -> Iterator[Finding]:
    containers = group.parts("template", "spec", "containers")
    if not containers:
        yield group.finding("a group needs a container", *("template", "spec", "containers"))
        return
    resources = containers[0].part("resources")
    limit, request = resources.get("limits", "memory"), resources.get("requests", "memory")
    if limit is None:
        yield containers[0].finding(
            "the Ray container needs a memory limit: Ray takes it for the node's memory",
            "resources",
        )
    elif request is not None and as_quantity(request) != as_quantity(limit):
        yield resources.finding(
            f"memory request {request} and limit {limit} differ: Ray fills the limit, and the "
            "node evicts what is above its request",
            *("requests", "memory"),
        )
