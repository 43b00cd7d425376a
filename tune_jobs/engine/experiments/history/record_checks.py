"""Check that what a history holds under a record's keys is of the types of its fields."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

Check = Callable[[Any], bool]

# Larger ones fit into no table.
MOST = 2**63


def checks_of(record: type, names: Sequence[str]) -> list[Check]:
    """Return a check for each of a record's fields."""
    hints = get_type_hints(record)
    return [_check_of(hints[name]) for name in names]


def _check_of(hint: Any) -> Check:
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        checks = [_check_of(each) for each in inner if each is not types.NoneType]
        return lambda value: value is None or any(check(value) for check in checks)
    if origin is Literal:
        return lambda value: value in inner
    if origin in (Sequence, list):
        return _list_check(_check_of(inner[0]))
    if origin in (Mapping, dict):
        return _mapping_check(_check_of(inner[1]))
    return {int: _is_integer, float: _is_number, str: _is_text}.get(hint, _is_anything)


def _list_check(check: Check) -> Check:
    return lambda value: type(value) is list and all(map(check, value))


def _mapping_check(check: Check) -> Check:
    if check is _is_anything:
        return lambda value: type(value) is dict
    return lambda value: type(value) is dict and all(map(check, value.values()))


def _is_integer(value: object) -> bool:
    return type(value) is int and -MOST <= value < MOST


def _is_number(value: object) -> bool:
    """Return whether a value is a number; an earlier version wrote null for NaN."""
    return type(value) is float or value is None or _is_integer(value)


def _is_text(value: object) -> bool:
    return type(value) is str


def _is_anything(_: object) -> bool:
    return True
