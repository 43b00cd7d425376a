"""Mistakes that a JSON schema finds, in words and with their lines; Kubernetes' own schemas.

The latter come with the package ``kubernetes-validate``. They are read in their strict form, which
refuses a field that Kubernetes does not know instead of dropping it silently.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import Any

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.names import nearest
from tune_jobs.lint.findings import Finding
from tune_jobs.lint.located import Keys, dotted
from tune_jobs.lint.parts import Part

KUBERNETES = "1.34.0"  # KubeRay 1.7 needs 1.28 or later
FILE = f"kubernetes-json-schema/v{KUBERNETES}-local-strict/_definitions.json"
POD = "io.k8s.api.core.v1.PodTemplateSpec"
NAMES = {"string": "text", "object": "a mapping", "array": "a list", "integer": "a whole number"}
NAMES |= {"number": "a number", "boolean": "true or false"}


def check_schema(part: Part, validator: Any, content: Any) -> Iterator[Finding]:
    """Yield what a validator of jsonschema finds in the content of a part of a document."""
    for error in validator.iter_errors(content):
        for keys, text in _mistakes(error, part.keys):
            yield part.document.finding(text, *keys)


def check_kubernetes(part: Part, name: str) -> Iterator[Finding]:
    """Yield what Kubernetes' schema of a type finds in a part of a document.

    Raises:
        JobError: if ``kubernetes-validate`` is not installed.
    """
    yield from check_schema(part, _validator_of(name), _without_nulls(part.get()))


@cache
def read_kinds() -> dict[tuple[str, str], str]:
    """Return the name of the type of each (apiVersion, kind).

    Raises:
        JobError: if ``kubernetes-validate`` is not installed.
    """
    return {
        ("/".join(filter(None, (each["group"], each["version"]))), each["kind"]): name
        for name, definition in _read_definitions().items()
        for each in definition.get("x-kubernetes-group-version-kind", ())
    }


@cache
def _read_definitions() -> dict[str, Any]:
    try:
        text = resources.files("kubernetes_validate").joinpath(FILE).read_text(encoding="utf-8")
    except ModuleNotFoundError:
        raise JobError(
            "checking Kubernetes manifests needs kubernetes-validate: "
            'pip install "tune-jobs[cluster]"'
        ) from None
    definitions: dict[str, Any] = json.loads(text)["$defs"]
    return definitions


@cache
def _validator_of(name: str) -> Any:
    from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

    return Draft202012Validator({"$defs": _read_definitions(), "$ref": f"#/$defs/{name}"})


def _without_nulls(content: Any) -> Any:
    """Drop fields with nothing after their colon: they count as absent."""
    if isinstance(content, dict):
        return {key: _without_nulls(value) for key, value in content.items() if value is not None}
    return [_without_nulls(each) for each in content] if isinstance(content, list) else content


def _mistakes(error: Any, above: Keys) -> Iterator[tuple[Keys, str]]:
    """Yield the mistakes of one error, each with its place: unknown keys one by one."""
    keys: Keys = (*above, *error.absolute_path)
    where, value, rule = dotted(keys) or "the file", error.instance, error.validator_value
    if error.validator == "additionalProperties" and rule is False:
        known = sorted(error.schema.get("properties", {}))
        for key in (each for each in value if each not in known):
            yield (*keys, key), f"unknown key {dotted((*keys, key))!r}{nearest(str(key), known)}"
    elif error.validator == "required":
        missing = ", ".join(each for each in rule if each not in value)
        yield keys, f"{where} must have {missing}"
    elif error.validator == "enum":
        choices = ", ".join(str(each) for each in rule if each is not None)
        yield keys, f"{where} must be one of {choices}, got {reprlib.repr(value)}"
    elif error.validator in ("type", "oneOf"):
        yield keys, f"{where} must be {_expected(error)}, got {reprlib.repr(value)}"
    else:
        yield keys, f"{where} is {reprlib.repr(value)}: {error.message}"


def _expected(error: Any) -> str:
    rules = [error.schema] if error.validator == "type" else error.validator_value
    types = [rule.get("type") for rule in rules]
    names = [each if isinstance(each, str) else (each or ["object"])[0] for each in types]
    return " or ".join(NAMES[name] for name in names)
