"""Lint of `ray up` files: what Ray itself refuses, and what keeps nodes apart or open to all.

`ray up` has no dry run. What it would check first is private to Ray, and tested here.
"""

from __future__ import annotations

import copy
import io
import json
import re
import reprlib
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import click

from tune_jobs.engine.ray_internals import prepare_cluster_file, validate_cluster_file
from tune_jobs.lint.findings import Finding
from tune_jobs.lint.located import Keys, dotted
from tune_jobs.lint.parts import Part
from tune_jobs.lint.ray_nodes import check_nodes
from tune_jobs.lint.schemas import check_schema

# What Ray raises if it refuses a file, and what it raises by accident.
REFUSALS = (AssertionError, RuntimeError, ValueError, click.ClickException)
ACCIDENTS = (AttributeError, KeyError, TypeError)


def lint_ray_up(whole: Part) -> Iterator[Finding]:
    """Yield the mistakes in a `ray up` file."""
    if odd := [*_find_odd_keys(whole.get(), ())]:
        for keys in odd:
            place = dotted(keys[:-1]) or "the file"
            yield whole.finding(f"{place} has the key {keys[-1]!r}, but must have text", *keys)
        return
    findings = [*whole.document.repetitions()]
    if "cluster_name" not in whole.mapping():
        findings.append(whole.finding("cluster_name is missing: all clusters would be 'default'"))
    findings += check_nodes(whole)
    yield from findings
    yield from _check_ray(whole, explained=bool(findings))


def _check_ray(whole: Part, *, explained: bool) -> Iterator[Finding]:
    """Yield what Ray's schema refuses, and if that is nothing, what its validation refuses.

    An accident of Ray is left out if other findings explain the file already.
    """
    refusal: Exception | None = None
    content = {key: value for key, value in whole.mapping().items() if key != "min_workers"}
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        try:
            content = prepare_cluster_file(copy.deepcopy(whole.mapping()))
        except (*REFUSALS, *ACCIDENTS) as error:
            refusal = error
    mistakes = [*_check_schema(whole, content)]
    yield from mistakes
    if refusal is None and not mistakes:
        try:
            validate_cluster_file(content)
        except REFUSALS as error:
            refusal = error
    if refusal is None or mistakes or (explained and isinstance(refusal, ACCIDENTS)):
        return
    yield _refused(whole, refusal)


def _check_schema(whole: Part, content: dict[str, Any]) -> Iterator[Finding]:
    import ray.autoscaler
    from jsonschema import Draft7Validator  # type: ignore[import-untyped]

    schema = Path(ray.autoscaler.__file__).with_name("ray-schema.json")
    validator = Draft7Validator(json.loads(schema.read_text(encoding="utf-8")))
    yield from check_schema(whole, validator, content)


def _refused(whole: Part, error: Exception) -> Finding:
    """Return what Ray raised, at the first key of the file that its message names."""
    text = " ".join(str(error).split()) or type(error).__name__
    named = [key for key in re.findall(r"`(\w+)`", text) if key in whole.mapping()]
    if isinstance(error, NotImplementedError) and "provider" in whole.mapping():
        named = ["provider"]
    if not named:
        return whole.finding(f"refused by Ray: {text}")
    value = reprlib.repr(whole.get(named[0]))
    return whole.finding(f"{named[0]} is {value}, refused by Ray: {text}", named[0])


def _find_odd_keys(value: Any, keys: Keys) -> Iterator[Keys]:
    """Yield keys that are not text, such as a name of digits only: Ray stumbles over them."""
    for key in value if isinstance(value, dict) else ():
        if isinstance(key, str):
            yield from _find_odd_keys(value[key], (*keys, key))
        else:
            yield (*keys, key)
