"""A lint of Kubernetes manifests for KubeRay: offline, with file and line.

The fields are those of KubeRay's pinned release (``kuberay_fields``) and of Kubernetes' own
schemas; the rules are those that only KubeRay's controller enforces, when the object is there
already, and what a search needs besides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tune_jobs.engine.names import nearest
from tune_jobs.lint.environments import secret_findings
from tune_jobs.lint.findings import Finding
from tune_jobs.lint.kuberay_cluster import cluster_findings
from tune_jobs.lint.kuberay_fields import API_VERSION, KINDS, RELEASE, TYPES
from tune_jobs.lint.kuberay_images import image_findings
from tune_jobs.lint.kuberay_job import job_findings, name_findings
from tune_jobs.lint.kuberay_schedule import cron_findings, slot_findings
from tune_jobs.lint.kubernetes import RELEASE as KUBERNETES
from tune_jobs.lint.kubernetes import read_definitions, read_kinds, schema_findings, schema_of
from tune_jobs.lint.kubernetes_rules import plain_findings
from tune_jobs.lint.located import Document, read_documents
from tune_jobs.lint.parts import Part
from tune_jobs.lint.versions import read_versions


def lint_kuberay(path: str | Path) -> list[Finding]:
    """What is wrong with a file of Kubernetes manifests, by line; nothing if all is well.

    Raises:
        JobError: where it is not YAML, cannot be read, or ``kubernetes-validate`` is not installed.
    """
    text, versions = None, read_versions(path)
    found: set[Finding] = set()
    documents = read_documents(path)
    for document in documents:
        text = text or Path(path).read_text(encoding="utf-8")
        found.update(_document(document, text, versions))
    return sorted(found | {*_templates(documents)})


def _templates(documents: Sequence[Document]) -> Iterator[Finding]:
    """Where a CronJob starts the RayJob that is its template at another time than its slots say."""
    wholes = [Part(document) for document in documents]
    crons = [whole.part("spec") for whole in wholes if whole.get("kind") == "CronJob"]
    jobs = [whole.part("spec") for whole in wholes if whole.get("kind") == "RayJob"]
    if len(crons) == 1:
        for job in jobs:
            if job.get("suspend") is True:
                yield from slot_findings(crons[0], job)


def _document(document: Document, text: str, versions: Mapping[str, str]) -> Iterator[Finding]:
    yield from document.repetitions()
    whole = Part(document)
    if name := _type_of(whole):
        yield from schema_findings(document, _schema(name))
        yield from secret_findings(whole)
        yield from plain_findings(whole)
    else:
        yield _unknown(whole)
    if name in KINDS:
        yield from name_findings(whole)
        yield from _ray_findings(whole, text, versions)


@cache
def _schema(name: str) -> Any:
    return schema_of(name, read_definitions() | TYPES)


def _type_of(whole: Part) -> str | None:
    version, kind = whole.text("apiVersion"), whole.text("kind")
    if version == API_VERSION:
        return kind if kind in KINDS else None
    return read_kinds().get((version, kind))


def _unknown(whole: Part) -> Finding:
    version, kind = whole.text("apiVersion"), whole.text("kind")
    if not version or not kind:
        return whole.finding("not a Kubernetes object: it needs apiVersion and kind")
    if version.startswith("ray.io/") and version != API_VERSION:
        return whole.finding(f"apiVersion is {version!r}, but must be {API_VERSION}", "apiVersion")
    known = {*KINDS, *(kind for _, kind in read_kinds())}
    hint = "." if kind in known else nearest(kind, sorted(known))
    return whole.finding(
        f"Kubernetes {KUBERNETES} and KubeRay {RELEASE} have no kind {kind!r} in {version!r}{hint}",
        "kind",
    )


def _ray_findings(whole: Part, text: str, versions: Mapping[str, str]) -> Iterator[Finding]:
    kind, spec = whole.text("kind"), whole.part("spec")
    if kind == "RayCronJob":
        yield from cron_findings(whole, text)
        spec = spec.part("jobTemplate")
    if kind != "RayCluster":
        yield from job_findings(spec)
        spec = spec.part("rayClusterSpec")
    if spec.get() is not None:
        yield from cluster_findings(spec)
        yield from image_findings(spec, versions)
