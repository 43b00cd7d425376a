"""What Kubernetes' own schemas say of a document, with the lines.

They come with the package ``kubernetes-validate``; what it ships is read here in the strict form,
in which a field that Kubernetes does not know is a mistake, and not dropped silently.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import Any

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.names import nearest
from tune_jobs.lint.findings import Finding
from tune_jobs.lint.located import Document, Keys, dotted

RELEASE = "1.34.0"  # KubeRay 1.7 wants 1.28 or later; a field that is newer than this is refused
FILE = f"kubernetes-json-schema/v{RELEASE}-local-strict/_definitions.json"
NAMES = {"string": "text", "object": "a mapping", "array": "a list", "integer": "a whole number"}
NAMES |= {"number": "a number", "boolean": "true or false"}


@cache
def read_definitions() -> dict[str, Any]:
    """Kubernetes' types by name, such as ``io.k8s.api.core.v1.PodTemplateSpec``.

    Raises:
        JobError: where the package is not installed.
    """
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
def read_kinds() -> dict[tuple[str, str], str]:
    """The name of the type of each (apiVersion, kind)."""
    return {
        ("/".join(filter(None, (each["group"], each["version"]))), each["kind"]): name
        for name, definition in read_definitions().items()
        for each in definition.get("x-kubernetes-group-version-kind", ())
    }


def schema_of(name: str, types: dict[str, Any]) -> Any:
    """The schema of one of some types, ready to be held against documents."""
    from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

    return Draft202012Validator({"$defs": types, "$ref": f"#/$defs/{name}"})


def schema_findings(document: Document, schema: Any) -> list[Finding]:
    """What is wrong with a document according to a schema."""
    found = {
        document.finding(text, *keys)
        for error in schema.iter_errors(_without_nulls(document.content))
        for keys, text in _mistakes(error)
    }
    return sorted(found)


def _without_nulls(content: Any) -> Any:
    """A field with nothing after its colon counts as absent for a Kubernetes server."""
    if isinstance(content, dict):
        return {
            str(key): _without_nulls(value) for key, value in content.items() if value is not None
        }
    return [_without_nulls(each) for each in content] if isinstance(content, list) else content


def _mistakes(error: Any) -> Iterator[tuple[Keys, str]]:
    keys: Keys = tuple(error.absolute_path)
    where, value, rule = dotted(keys) or "the document", error.instance, error.validator_value
    if error.validator == "additionalProperties" and rule is False:
        known = sorted(error.schema.get("properties", {}))
        for key in value:
            if key not in known:
                yield (*keys, key), f"{where} has no field {key!r}{nearest(key, known)}"
    elif error.validator == "required":
        for key in rule:
            if key not in value:
                yield keys, f"{where} needs the field {key!r}"
    elif error.validator == "enum":
        choices = [each for each in rule if each is not None]
        hint = nearest(str(value), choices)
        yield keys, f"{where} is {value!r}, but must be one of {', '.join(choices)}{hint}"
    elif error.validator in ("type", "oneOf"):
        yield keys, f"{where} is {_shown(value)}, but must be {_expected(error)}"
    elif error.validator == "minimum":
        yield keys, f"{where} is {value}, but must be >= {rule}"
    else:
        yield keys, f"{where}: {error.message}"


def _expected(error: Any) -> str:
    kinds = [error.schema] if error.validator == "type" else error.validator_value
    names = [each["type"] if isinstance(each["type"], str) else each["type"][0] for each in kinds]
    expected = " or ".join(NAMES[name] for name in names)
    if names == ["string"] and isinstance(error.instance, bool | int | float):
        return f"{expected}: quote it"
    return expected


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)
