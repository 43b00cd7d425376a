"""Rules for a search as a RayJob: how it is started, retried, ended and cleaned up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import yaml

from tune_jobs.engine.job.profile import SECRET
from tune_jobs.lint.commands import KnownOptions, find_commands, parse_options
from tune_jobs.lint.findings import Finding
from tune_jobs.lint.parts import Part
from tune_jobs.lint.runs import Start, check_command, is_resumable

WAIT = "RAY_JOB_STOP_WAIT_TIME_S"


def check_job(spec: Part, start: Start, known: KnownOptions) -> Iterator[Finding]:
    """Yield the mistakes in a RayJobSpec, apart from those in its cluster."""
    yield from _check_cleaning(spec)
    yield from _check_reservation(spec)
    yield from _check_runtime_env(spec)
    try:
        commands = find_commands(spec.text("entrypoint"))
    except ValueError as error:
        text = f"no shell can read the entrypoint: {str(error).lower()}"
        yield spec.finding(text, "entrypoint")
        return
    yield from _check_attempts(spec, commands, known)
    for words in commands:
        yield from _check_entrypoint(spec, words, start, known)


def _check_cleaning(spec: Part) -> Iterator[Finding]:
    shuts = spec.get("shutdownAfterJobFinishes") is True
    has_rules = bool(spec.parts("deletionStrategy", "deletionRules"))
    if spec.number("ttlSecondsAfterFinished") and not shuts:
        text = "ttlSecondsAfterFinished needs shutdownAfterJobFinishes: true"
        yield spec.finding(text, "ttlSecondsAfterFinished")
    elif spec.mapping("rayClusterSpec") and not shuts and not has_rules:
        yield spec.finding(
            "shutdownAfterJobFinishes must be true, or the cluster outlives the job",
            "shutdownAfterJobFinishes",
        )
    if spec.number("activeDeadlineSeconds") is None:
        text = "activeDeadlineSeconds is missing: a job that hangs would keep its GPUs"
        yield spec.finding(text, "activeDeadlineSeconds")


def _check_reservation(spec: Part) -> Iterator[Finding]:
    for field in ("entrypointNumGpus", "entrypointNumCpus"):
        if spec.get(field):
            yield spec.finding(
                f"{field} is {spec.get(field)}, but the driver needs none: it would wait for a "
                "worker node, and a waiting job cannot be stopped",
                field,
            )


def _check_attempts(
    spec: Part, commands: list[list[str]], known: KnownOptions
) -> Iterator[Finding]:
    retries = spec.number("backoffLimit")
    if retries and not any(is_resumable(words, known) for words in commands):
        yield spec.finding(
            f"backoffLimit is {retries}: each attempt builds a new cluster and continues only what "
            "is in storage, so the entrypoint needs --resume and a fixed --name",
            "backoffLimit",
        )


def _check_entrypoint(
    spec: Part, words: list[str], start: Start, known: KnownOptions
) -> Iterator[Finding]:
    seconds = spec.number("activeDeadlineSeconds")
    start = replace(start, limit=seconds, limited_by=f"activeDeadlineSeconds {seconds}")
    for problem in check_command(words, start, known):
        yield spec.finding(problem, "entrypoint")
    if "--profile" not in parse_options(words, known.get(words[0], {})):
        text = "--profile is missing: the run would start a Ray of its own in the head's pod"
        yield spec.finding(text, "entrypoint")


def _check_runtime_env(spec: Part) -> Iterator[Finding]:
    try:
        content = yaml.safe_load(spec.text("runtimeEnvYAML")) or {}
    except yaml.YAMLError as error:
        yield spec.finding(f"not YAML: {' '.join(str(error).split())}", "runtimeEnvYAML")
        return
    variables = content.get("env_vars") or {} if isinstance(content, dict) else None
    if not isinstance(variables, dict):
        yield spec.finding("env_vars must map names to text", "runtimeEnvYAML")
        return
    for name, value in variables.items():
        if not isinstance(value, str):
            yield spec.finding(f"env_vars.{name} must be text: quote it", "runtimeEnvYAML")
        if SECRET.search(str(name)):
            text = f"env_vars.{name} is visible to all who see the job; use a Secret"
            yield spec.finding(text, "runtimeEnvYAML")
    if "tune_jobs" in spec.text("entrypoint") and WAIT not in variables:
        yield spec.finding(
            f'env_vars needs {WAIT}: "30": a stop kills the driver after 3 s, too early for it to '
            "stop its trials at a checkpoint",
            "runtimeEnvYAML",
        )
