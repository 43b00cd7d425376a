"""``--set a.b=value``: override a field of a job."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.names import nearest

# Sets that are a fraction or a table; the recipe of the data checks them.
SETS = ("data.validation", "data.test")

KINDS = {bool: "True or False", int: "an integer", float: "a number", str: "text"}


def override(target: Any, assignment: str) -> Any:
    """Return a copy of a dataclass or dict with ``path=value`` applied.

    The value is read as Python (``3``, ``0.1``, ``None``, ``[1, 2]``) if possible, else as text.

    Raises:
        JobError: if ``=`` is missing, a name is unknown, or the value has another type.
    """
    path, equals, text = assignment.partition("=")
    if not equals or not path.strip():
        raise JobError(f"--set must have the form field=value, got {assignment!r}")
    return _set(target, path.strip().split("."), _parse(text.strip()), path.strip())


def parse_assignments(option: str, assignments: Sequence[str]) -> dict[str, Any]:
    """Parse a repeatable option of the form ``name=value`` into values by name.

    Raises:
        JobError: if ``=`` is missing.
    """
    found = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or not name.strip():
            raise JobError(f"{option} must have the form name=value, got {assignment!r}")
        found[name.strip()] = _parse(text.strip())
    return found


def _parse(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _set(target: Any, names: list[str], value: Any, path: str) -> Any:
    name, *rest = names
    known = _names(target)
    if name not in known:
        listed = f" Known: {', '.join(known)}" if known else " It has no fields"
        raise JobError(f"--set {path}: no field {name!r}{nearest(name, known)}{listed}")
    before = target[name] if isinstance(target, dict) else getattr(target, name)
    if before is None and rest:
        before = _absent(name)
    after = _set(before, rest, value, path) if rest else _checked(before, value, path)
    if isinstance(target, dict):
        return {**target, name: after}
    return replace(target, **{name: after})


def _absent(name: str) -> Any:
    """Return what a job has in place of a field that is None, if fields of that are set."""
    from tune_jobs.engine.data.evaluation import Evaluation
    from tune_jobs.engine.job.finalists import Finalists

    return {"evaluation": Evaluation(), "finalists": Finalists()}.get(name)


def _names(target: Any) -> list[str]:
    if isinstance(target, dict):
        return [str(name) for name in target]
    if is_dataclass(target):
        return [field.name for field in fields(target)]
    return []


def _checked(before: Any, value: Any, path: str) -> Any:
    """Return the value if its type is that of the value it replaces, or the data check it."""
    if path in SETS:
        return value
    if isinstance(before, tuple):
        return tuple(value) if isinstance(value, list | tuple) else tuple(str(value).split(","))
    plain = (bool, int, float, str)
    if not isinstance(before, plain) or value is None:
        return value
    number = isinstance(before, float) and isinstance(value, int) and not isinstance(value, bool)
    if isinstance(value, type(before)) and isinstance(value, bool) == isinstance(before, bool):
        return value
    if number:
        return value
    raise JobError(f"--set: {path} must be {KINDS[type(before)]}, got {value!r}")
