"""``--set a.b=value``: a job with one of its facts replaced."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.names import nearest


def override(target: Any, assignment: str) -> Any:
    """A copy of a dataclass or dict with ``path=value`` applied.

    The value is read as Python (``3``, ``0.1``, ``None``, ``[1, 2]``), else as text.

    Raises:
        JobError: for a missing ``=``, an unknown name, or a value of another type than was there.
    """
    path, equals, text = assignment.partition("=")
    if not equals or not path.strip():
        raise JobError(f"--set {assignment!r} must read name=value, or outer.inner=value")
    return _set(target, path.strip().split("."), _parse(text.strip()), path.strip())


def parse_assignments(option: str, assignments: Sequence[str]) -> dict[str, Any]:
    """Values by name, of an option that is given as ``name=value`` any number of times.

    Raises:
        JobError: for a missing ``=``.
    """
    found = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or not name.strip():
            raise JobError(f"{option} {assignment!r} must read name=value")
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
        raise JobError(
            f"--set {path}: no {name!r} here{nearest(name, known)} Known: {', '.join(known)}"
        )
    before = target[name] if isinstance(target, dict) else getattr(target, name)
    after = _set(before, rest, value, path) if rest else _checked(before, value, path)
    if isinstance(target, dict):
        return {**target, name: after}
    return replace(target, **{name: after})


def _names(target: Any) -> list[str]:
    if isinstance(target, dict):
        return [str(name) for name in target]
    if is_dataclass(target):
        return [field.name for field in fields(target)]
    return []


def _checked(before: Any, value: Any, path: str) -> Any:
    """The value, where it is of the kind that it replaces."""
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
    raise JobError(f"--set {path}={value!r}: {before!r} is there, which is a {_kind(before)}")


def _kind(value: Any) -> str:
    kinds = {bool: "true or false", int: "whole number", float: "number", str: "text"}
    return kinds[type(value)]
