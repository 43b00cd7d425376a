"""Rules of a search on Kubernetes: RayJob, also within a RayCronJob."""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml

from tune_jobs.engine.names import nearest
from tune_jobs.lint.environments import is_secret
from tune_jobs.lint.findings import Finding
from tune_jobs.lint.kuberay_schedule import after, continues, run_findings, words_of
from tune_jobs.lint.parts import Part

LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
# A RayJob's cluster is named after it with 6 more characters, a RayCronJob's jobs with up to 11.
LONGEST = {"RayCluster": 53, "RayJob": 47, "RayCronJob": 36}
WAIT = "RAY_JOB_STOP_WAIT_TIME_S"
RUNTIME_ENV = (
    *("working_dir", "py_modules", "py_executable", "pip", "uv", "conda", "env_vars", "excludes"),
    *("image_uri", "container", "java_jars", "worker_process_setup_hook", "config"),
)


def name_findings(resource: Part) -> Iterator[Finding]:
    """What is wrong with the name of a RayCluster, RayJob or RayCronJob."""
    kind, name = resource.text("kind"), resource.text("metadata", "name")
    if not name:
        if not resource.text("metadata", "generateName"):
            yield resource.finding(f"a {kind} needs metadata.name", "metadata")
        return
    if len(name) > LONGEST[kind]:
        yield resource.finding(
            f"the name {name!r} has {len(name)} characters, but a {kind} may have {LONGEST[kind]}",
            *("metadata", "name"),
        )
    if not LABEL.fullmatch(name):
        yield resource.finding(
            f"the name {name!r} must be small letters, digits and '-', and begin with a letter",
            *("metadata", "name"),
        )


def job_findings(spec: Part) -> Iterator[Finding]:
    """What is wrong with a RayJobSpec, apart from its fields and its cluster."""
    yield from _cluster(spec)
    yield from _cleaning(spec)
    yield from _attempts(spec)
    yield from _submission(spec)
    yield from _entrypoint(spec)
    yield from _runtime_env(spec)


def _cluster(spec: Part) -> Iterator[Finding]:
    selector = spec.mapping("clusterSelector")
    if not selector and spec.get("rayClusterSpec") is None:
        yield spec.finding("a RayJob needs rayClusterSpec or clusterSelector")
    if selector and not selector.get("ray.io/cluster"):
        yield spec.finding("clusterSelector needs ray.io/cluster, the name", "clusterSelector")
    if spec.get("rayClusterSpec", "upgradeStrategy") is not None:
        yield spec.finding(
            "upgradeStrategy is refused in a RayJob", "rayClusterSpec", "upgradeStrategy"
        )
    if spec.get("rayClusterSpec", "authOptions", "enableK8sTokenAuth") is True:
        yield spec.finding(
            "enableK8sTokenAuth is refused in a RayJob: use secretName",
            *("rayClusterSpec", "authOptions", "enableK8sTokenAuth"),
        )


def _cleaning(spec: Part) -> Iterator[Finding]:
    shut, ttl = spec.get("shutdownAfterJobFinishes") is True, spec.number("ttlSecondsAfterFinished")
    rules, own = spec.parts("deletionStrategy", "deletionRules"), spec.get("rayClusterSpec")
    if ttl and not shut:
        yield spec.finding(
            f"ttlSecondsAfterFinished {ttl} needs shutdownAfterJobFinishes: true",
            "ttlSecondsAfterFinished",
        )
    elif own is not None and not shut and not rules:
        yield spec.finding(
            "shutdownAfterJobFinishes must be true, or the cluster stays when the job is done",
            "shutdownAfterJobFinishes",
        )
    if rules and shut:
        yield spec.finding(
            "deletionRules and shutdownAfterJobFinishes exclude each other", "deletionStrategy"
        )
    if spec.get("suspend") is True and (not shut or spec.mapping("clusterSelector")):
        yield spec.finding(
            "suspend needs shutdownAfterJobFinishes: true and a cluster of its own", "suspend"
        )


def _attempts(spec: Part) -> Iterator[Finding]:
    retries = spec.number("backoffLimit") or 0
    if not retries:
        return
    if spec.mapping("clusterSelector") or spec.get("submissionMode") == "InteractiveMode":
        yield spec.finding(
            "backoffLimit is refused with clusterSelector and InteractiveMode", "backoffLimit"
        )
    if not continues(words_of(spec.text("entrypoint"))):
        yield spec.finding(
            f"backoffLimit is {retries}: each attempt builds a new cluster and continues only what "
            "is in storage, so the entrypoint needs --resume, and --name with a fixed name",
            "backoffLimit",
        )


def _submission(spec: Part) -> Iterator[Finding]:
    if spec.get("submissionMode") == "SidecarMode":
        for field in ("submitterPodTemplate", "submitterConfig", "clusterSelector"):
            if spec.get(field) is not None:
                yield spec.finding(f"{field} is refused in SidecarMode", field)
    if spec.number("activeDeadlineSeconds") is None:
        yield spec.finding(
            "activeDeadlineSeconds is missing: a job that hangs would keep its GPUs",
            "activeDeadlineSeconds",
        )
    for field in ("entrypointNumGpus", "entrypointNumCpus"):
        if spec.get(field):
            yield spec.finding(
                f"{field} is {spec.get(field)}, but the driver needs none: it would wait for a "
                "worker node, and a job that waits cannot be stopped",
                field,
            )


def _entrypoint(spec: Part) -> Iterator[Finding]:
    words = words_of(spec.text("entrypoint"))
    yield from run_findings(spec)
    if not words:
        if spec.get("submissionMode") != "InteractiveMode":
            yield spec.finding("a RayJob needs an entrypoint", "entrypoint")
        return
    if "tune_jobs" not in words and "tune-jobs" not in words:
        return
    if "--slot" in words and "--profile" in words:
        return
    missing = [each for each in ("--profile", "--name", "--resume") if each not in words]
    if missing:
        yield spec.finding(f"the entrypoint needs {', '.join(missing)}", "entrypoint")
    hours, deadline = after(words, "--max-hours"), spec.number("activeDeadlineSeconds")
    if hours.replace(".", "", 1).isdigit() and deadline and float(hours) * 3600 >= deadline:
        yield spec.finding(
            f"activeDeadlineSeconds {deadline} ends the job before --max-hours {hours} ends the "
            "search in good order",
            "activeDeadlineSeconds",
        )


def _runtime_env(spec: Part) -> Iterator[Finding]:
    text = spec.text("runtimeEnvYAML")
    try:
        content = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        yield spec.finding(f"not YAML: {' '.join(str(error).split())}", "runtimeEnvYAML")
        return
    values = content.get("env_vars") or {} if isinstance(content, dict) else None
    if not isinstance(values, dict) or not all(isinstance(each, str) for each in values.values()):
        yield spec.finding("env_vars must map names to text: quote numbers", "runtimeEnvYAML")
        return
    for field in content:
        if field not in RUNTIME_ENV:
            hint = nearest(str(field), RUNTIME_ENV)
            yield spec.finding(f"Ray ignores {field!r} in a runtime_env{hint}", "runtimeEnvYAML")
    for name in values:
        if is_secret(str(name)):
            yield spec.finding(
                f"{name} would be visible to all who see the job; use a Secret", "runtimeEnvYAML"
            )
    if "tune_jobs" in spec.text("entrypoint") and WAIT not in values:
        yield spec.finding(
            f'env_vars needs {WAIT}: "30": a stop kills the driver after 3 s, too early for it to '
            "end its trials in good order",
            "runtimeEnvYAML",
        )
