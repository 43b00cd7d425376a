"""What Ray's own cluster launcher refuses of a `ray up` file, with the line of each mistake.

``ray up`` has no dry run. What it would check first is private to Ray, and tested here.
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

from tune_jobs.engine.names import nearest
from tune_jobs.engine.ray_internals import prepare_cluster_file, validate_cluster_file
from tune_jobs.lint.findings import Finding
from tune_jobs.lint.located import Document, dotted

# What Ray raises where it checks, and where it only stumbles.
REFUSALS = (AssertionError, RuntimeError, ValueError, click.ClickException)
STUMBLES = (AttributeError, KeyError, TypeError)


def check_ray(document: Document, *, explained: bool) -> Iterator[Finding]:
    """What Ray's schema refuses, each mistake with its line; else what its validation refuses.

    What Ray only stumbles over is left out where the file is ``explained`` by better findings.
    """
    refusal: Exception | None = None
    content = {key: value for key, value in document.content.items() if key != "min_workers"}
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        try:
            content = prepare_cluster_file(copy.deepcopy(document.content))
        except (*REFUSALS, *STUMBLES) as error:
            refusal = error
    mistakes = [*_check_schema(document, content)]
    yield from mistakes
    if refusal is None and not mistakes:
        try:
            validate_cluster_file(content)
        except REFUSALS as error:
            refusal = error
    if refusal is None or mistakes or (explained and isinstance(refusal, STUMBLES)):
        return
    yield _refused(document, refusal)


def _check_schema(document: Document, content: dict[str, Any]) -> Iterator[Finding]:
    import jsonschema  # type: ignore[import-untyped]
    import ray.autoscaler

    schema = Path(ray.autoscaler.__file__).with_name("ray-schema.json")
    validator = jsonschema.Draft7Validator(json.loads(schema.read_text(encoding="utf-8")))
    for error in validator.iter_errors(content):
        yield from _describe(document, error)


def _describe(document: Document, error: Any) -> Iterator[Finding]:
    """One mistake in words: unknown keys one by one, each at its own line."""
    keys = tuple(error.absolute_path)
    value = reprlib.repr(error.instance)
    if error.validator == "additionalProperties":
        known = error.schema["properties"]
        for key in [key for key in error.instance if key not in known]:
            text = f"unknown key {dotted((*keys, key))!r}{nearest(str(key), known)}"
            yield document.finding(text.removesuffix("."), *keys, key)
    elif error.validator == "required":
        missing = ", ".join(key for key in error.validator_value if key not in error.instance)
        yield document.finding(f"{dotted(keys) or 'the file'} must have {missing}", *keys)
    elif error.validator == "type":
        text = f"{dotted(keys)} is {value}, but must be of type {error.validator_value}"
        yield document.finding(text, *keys)
    else:
        yield document.finding(f"{dotted(keys)} is {value}: {error.message}", *keys)


def _refused(document: Document, error: Exception) -> Finding:
    """What Ray raised, at the first key of the file that its message names."""
    text = " ".join(str(error).split()) or type(error).__name__
    named = [key for key in re.findall(r"`(\w+)`", text) if key in document.content]
    if isinstance(error, NotImplementedError) and "provider" in document.content:
        named = ["provider"]
    if not named:
        return document.finding(f"refused by Ray: {text}")
    value = reprlib.repr(document.content[named[0]])
    return document.finding(f"{named[0]} is {value}, refused by Ray: {text}", named[0])
