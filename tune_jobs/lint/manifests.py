"""Lint of Kubernetes manifests, KubeRay's among them.

Kubernetes' schemas check the fields of its own objects and of all pods. The fields of KubeRay's
resources are checked by the cluster (``kubectl apply --dry-run=server``); here are the rules that
bite only when a search runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.job.profile import SECRET, Profile
from tune_jobs.engine.names import nearest
from tune_jobs.lint.commands import KnownOptions
from tune_jobs.lint.findings import Finding
from tune_jobs.lint.located import Document
from tune_jobs.lint.parts import Part
from tune_jobs.lint.ray_clusters import check_cluster
from tune_jobs.lint.ray_jobs import check_job
from tune_jobs.lint.runs import Start
from tune_jobs.lint.schemas import KUBERNETES, POD, check_kubernetes, read_kinds
from tune_jobs.lint.versions import read_versions

RAY, RAY_KINDS = "ray.io/v1", ("RayCluster", "RayJob", "RayCronJob")
# The longest name of each kind: names of pods and jobs are made of it.
LONGEST = {"RayCluster": 53, "RayJob": 47, "RayCronJob": 36, "CronJob": 52}
ABOUT = ("_PATH", "_FILE", "_NAME", "_MODE", "_DIR")  # a variable that says where a secret is


def lint_manifests(documents: Sequence[Document], known: KnownOptions) -> Iterator[Finding]:
    """Yield the mistakes in a file of Kubernetes manifests.

    Raises:
        JobError: if ``kubernetes-validate`` is not installed.
    """
    wholes = [Part(document) for document in documents]
    crons = [whole.part("spec") for whole in wholes if whole.get("kind") == "CronJob"]
    for whole in wholes:
        yield from whole.document.repetitions()
        yield from _check_name(whole)
        yield from _check_secrets(whole)
        if whole.get("apiVersion") == RAY and whole.get("kind") in RAY_KINDS:
            yield from _check_ray(whole, crons, known)
        else:
            yield from _check_plain(whole)


def _check_plain(whole: Part) -> Iterator[Finding]:
    version, kind = whole.text("apiVersion"), whole.text("kind")
    name = read_kinds().get((version, kind))
    if not version or not kind:
        yield whole.finding("not a Kubernetes object: it must have apiVersion and kind")
    elif version.startswith("ray.io/") and version != RAY:
        yield whole.finding(f"apiVersion must be {RAY}, got {version!r}", "apiVersion")
    elif name is None:
        kinds = {*RAY_KINDS, *(kind for _, kind in read_kinds())}
        hint = "." if kind in kinds else nearest(kind, sorted(kinds))
        text = f"Kubernetes {KUBERNETES} and {RAY} have no kind {kind!r} in {version!r}{hint}"
        yield whole.finding(text, "kind")
    else:
        yield from check_kubernetes(whole, name)
    if kind == "ConfigMap":
        yield from _check_profiles(whole)


def _check_ray(whole: Part, crons: Sequence[Part], known: KnownOptions) -> Iterator[Finding]:
    kind, spec = whole.text("kind"), whole.part("spec")
    if kind == "RayCronJob":
        start = _start_of(spec.mapping(), overlaps=True)
        spec = spec.part("jobTemplate")
    else:
        is_template = spec.get("suspend") is True and len(crons) == 1
        start = _start_of(crons[0].mapping() if is_template else {})
    if kind != "RayCluster":
        yield from check_job(spec, start, known)
        spec = spec.part("rayClusterSpec")
    if spec.mapping():
        yield from check_cluster(spec, read_versions(whole.document.path))
    for pod in [*spec.within("template"), *whole.within("submitterPodTemplate")]:
        yield from check_kubernetes(pod, POD)


def _start_of(schedule: Mapping[str, Any], *, overlaps: bool = False) -> Start:
    zone = schedule.get("timeZone")
    return Start(
        cron=str(schedule.get("schedule", "")),
        zone="UTC" if zone == "Etc/UTC" else str(zone) if zone else None,
        overlaps=overlaps,
    )


def _check_name(whole: Part) -> Iterator[Finding]:
    kind, name = whole.text("kind"), whole.text("metadata", "name")
    if len(name) > LONGEST.get(kind, len(name)):
        text = f"a {kind} name may have {LONGEST[kind]} characters, got {name!r} with {len(name)}"
        yield whole.finding(text, "metadata", "name")


def _check_secrets(whole: Part) -> Iterator[Finding]:
    for field in ("data", "stringData") if whole.get("kind") == "Secret" else ():
        for key in (key for key, value in whole.mapping(field).items() if value):
            text = f"the value of {key!r} is in a file; use `kubectl create secret generic`"
            yield whole.finding(text, field, key)
    for variable in (each for env in whole.within("env") for each in env.parts()):
        name = variable.text("name")
        if variable.get("value") and SECRET.search(name) and not name.endswith(ABOUT):
            text = f"{name} is a secret and must come from one (valueFrom.secretKeyRef)"
            yield variable.finding(text, "value")


def _check_profiles(whole: Part) -> Iterator[Finding]:
    """Check profiles that a run reads from a ConfigMap: ``profile.yaml`` and the like."""
    for key, text in whole.mapping("data").items():
        if not str(key).startswith("profile") or not isinstance(text, str):
            continue
        try:
            profile = Profile(**yaml.safe_load(text))
        except (yaml.YAMLError, TypeError, JobError) as error:
            problem = f"not a profile: {' '.join(str(error).split())}"
            yield whole.finding(problem, "data", key)
            continue
        if profile.address == "local":
            yield whole.finding("address must be auto on a cluster, got local", "data", key)
        if profile.max_concurrent_trials is None:
            problem = "max_concurrent_trials is missing: the autoscaler sees only waiting trials"
            yield whole.finding(problem, "data", key)
