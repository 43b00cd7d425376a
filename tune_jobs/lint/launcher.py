"""Lint of `ray up` files: what Ray itself refuses, and the traps that it accepts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tune_jobs.lint.commands import check_commands
from tune_jobs.lint.findings import Finding
from tune_jobs.lint.images import check_images
from tune_jobs.lint.located import Document, Keys, dotted, read_documents
from tune_jobs.lint.mounts import check_mounts
from tune_jobs.lint.node_types import check_node_types
from tune_jobs.lint.pins import check_pins
from tune_jobs.lint.ray_schema import check_ray

CHECKS = (check_node_types, check_mounts, check_commands, check_images, check_pins)


def lint_launcher(path: str | Path) -> list[Finding]:
    """All mistakes in a `ray up` file.

    Raises:
        NotYamlError: where it is no YAML.
        JobError: where it cannot be read.
    """
    documents = read_documents(path)
    if not documents:
        return [Finding(str(path), 1, "is empty, but `ray up` needs cluster_name and provider")]
    if len(documents) > 1:
        return [documents[1].finding("a second YAML document, but `ray up` reads only one")]
    return sorted(set(_check(documents[0])))


def _check(document: Document) -> Iterator[Finding]:
    if not isinstance(document.content, dict):
        yield document.finding(f"holds {document.content!r}, but must map keys to values")
        return
    odd = [*_find_odd_keys(document, document.content, ())]
    if odd:
        yield from odd
        return
    findings = [*document.repetitions()]
    if "cluster_name" not in document.content:
        findings.append(document.finding("no cluster_name: Ray takes 'default', as all others do"))
    for check in CHECKS:
        findings += check(document)
    yield from findings
    yield from check_ray(document, explained=bool(findings))


def _find_odd_keys(document: Document, value: Any, keys: Keys) -> Iterator[Finding]:
    """Keys that are no text, such as a name of digits only: Ray stumbles over them."""
    for key in value if isinstance(value, dict) else ():
        if isinstance(key, str):
            yield from _find_odd_keys(document, value[key], (*keys, key))
        else:
            place = dotted(keys) or "the file"
            yield document.finding(f"{place} has the key {key!r}, but must have text", *keys, key)
