"""Rules of plain Kubernetes objects that stand beside a Ray cluster."""

from __future__ import annotations

from collections.abc import Iterator

import yaml

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.job.profile import Profile
from tune_jobs.lint.findings import Finding
from tune_jobs.lint.kuberay_schedule import schedule_findings
from tune_jobs.lint.parts import Part, as_quantity


def plain_findings(resource: Part) -> Iterator[Finding]:
    """What is wrong with any object, whatever its kind, apart from its fields."""
    yield from _quantities(resource)
    yield from _mounts(resource)
    if resource.get("kind") == "CronJob":
        yield from _cron_job(resource)
    if resource.get("kind") == "ConfigMap":
        yield from _profiles(resource)


def _quantities(resource: Part) -> Iterator[Finding]:
    for resources in resource.within("resources"):
        for field in ("requests", "limits"):
            for name, value in resources.mapping(field).items():
                if isinstance(value, str | int | float) and as_quantity(value) is None:
                    yield resources.finding(
                        f"{name} is {value!r}, but must be an amount such as 16Gi, 500m or 4",
                        *(field, name),
                    )


def _mounts(resource: Part) -> Iterator[Finding]:
    for template in [*resource.within("template"), *resource.within("submitterPodTemplate")]:
        pod = template.part("spec")
        declared = {volume.text("name") for volume in pod.parts("volumes")}
        for container in [*pod.parts("containers"), *pod.parts("initContainers")]:
            for mount in container.parts("volumeMounts"):
                if mount.text("name") not in declared:
                    yield mount.finding(
                        f"no volume of the pod is named {mount.get('name')!r}", "name"
                    )


def _cron_job(resource: Part) -> Iterator[Finding]:
    spec, name = resource.part("spec"), resource.text("metadata", "name")
    if len(name) > 52:
        yield resource.finding(
            f"the name {name!r} has {len(name)} characters, but a CronJob may have 52",
            *("metadata", "name"),
        )
    policy = spec.get("concurrencyPolicy")
    if policy != "Forbid":
        yield spec.finding(
            f"concurrencyPolicy is {policy or 'Allow'}, but must be Forbid, or runs overlap",
            "concurrencyPolicy",
        )
    if spec.get("startingDeadlineSeconds") is None:
        yield spec.finding(
            "startingDeadlineSeconds is missing: say until when a missed run is still begun, or "
            "after 100 missed ones none starts any more",
            "startingDeadlineSeconds",
        )
    yield from schedule_findings(spec)
    job = spec.part("jobTemplate", "spec")
    if job.get("activeDeadlineSeconds") is None:
        yield job.finding(
            "activeDeadlineSeconds is missing: with Forbid a run that hangs stops all later ones",
            "activeDeadlineSeconds",
        )
    for container in job.parts("template", "spec", "containers"):
        yield from _waits(container)


def _waits(container: Part) -> Iterator[Finding]:
    lists = (container.get(field) for field in ("command", "args"))
    script = " ".join(str(each) for found in lists if isinstance(found, list) for each in found)
    creates = "kubectl" in script and any(word in script for word in ("create", "apply"))
    if creates and "kubectl wait" not in script and "jobDeploymentStatus" not in script:
        yield container.finding(
            "the container ends when it has created the job, so Forbid sees nothing of the run; "
            "let it wait for .status.jobDeploymentStatus",
            *("args",) if container.get("args") else ("command",),
        )


def _profiles(resource: Part) -> Iterator[Finding]:
    """A profile that is handed to a run through a ConfigMap: ``profile.yaml`` and the like."""
    for key, text in resource.mapping("data").items():
        if not str(key).startswith("profile") or not isinstance(text, str):
            continue
        at = ("data", key)
        try:
            profile = Profile(**yaml.safe_load(text))
        except (yaml.YAMLError, TypeError, JobError) as error:
            yield resource.finding(f"not a profile: {' '.join(str(error).split())}", *at)
            continue
        if profile.address == "local":
            yield resource.finding("address is local, but on a cluster it must be auto", *at)
        if profile.max_concurrent_trials is None:
            yield resource.finding(
                "max_concurrent_trials is missing: the autoscaler sees only trials that wait", *at
            )
