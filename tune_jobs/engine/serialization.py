"""Frozen dataclasses as JSON objects: their annotations say what a file holds.

Written is every field but those that equal their default. Read is what a file has: a key that no
field knows is ignored, since a newer version may have written it, and one that is missing counts as
its field's default, as None or as an empty collection, whichever the field allows.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")
Reader = Callable[[Any, str], Any]

# What a value of JSON must be for a type, in words.
WORDS = {
    int: "a whole number",
    float: "a number",
    str: "a string",
    bool: "true or false",
    dict: "an object",
    list: "a list",
}


def parse(kind: type[T], content: object) -> T:
    """Read a dataclass from a JSON object.

    Raises:
        ValueError: if a value is not of its field's type, or one without which there is no record
            is missing; the message names it.
    """
    read: Reader = _reader(kind)  # type: ignore[arg-type]  # a class is hashable
    found: T = read(content, "")
    return found


def serialize(record: Any) -> dict[str, Any]:
    """Write a dataclass as a JSON object."""
    found = {}
    for each in fields(record):
        value = getattr(record, each.name)
        if not _has_default(each) or value != _default_of(each):
            found[each.name] = _plain(value)
    return found


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return serialize(value)
    return [_plain(each) for each in value] if isinstance(value, tuple | list) else value


@cache
def _reader(kind: Any) -> Reader:
    """Return what reads values of a type, and refuses others."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return lambda value, _: value
    if origin in (Union, types.UnionType):
        return _read_optional(*(each for each in inner if each is not types.NoneType))
    if origin is Literal:
        return _read_choice(inner)
    if origin is tuple:
        return _read_tuple(inner)
    if origin is not None:
        return _read_mapping(inner[1])
    return _read_dataclass(kind) if is_dataclass(kind) else _read_scalar(kind)


def _read_scalar(kind: type) -> Reader:
    def read(value: Any, name: str) -> Any:
        _check(value, kind, name)
        return value

    return read


def _read_optional(kind: Any) -> Reader:
    read = _reader(kind)
    return lambda value, name: None if value is None else read(value, name)


def _read_choice(choices: tuple[Any, ...]) -> Reader:
    def read(value: Any, name: str) -> Any:
        if value not in choices:
            raise ValueError(f"{name} is {value!r}, but must be one of {', '.join(choices)}")
        return value

    return read


def _read_tuple(inner: tuple[Any, ...]) -> Reader:
    """Read a list of any length (``tuple[int, ...]``), or of a known one (``tuple[int, int]``)."""
    read = _reader(inner[0])
    length = None if inner[1:] == (...,) else len(inner)

    def read_all(value: Any, name: str) -> Any:
        _check(value, list, name)
        if length not in (None, len(value)):
            raise ValueError(f"{name} has {len(value)} values, but must have {length}")
        return tuple(read(each, f"{name}.{place}") for place, each in enumerate(value))

    return read_all


def _read_mapping(inner: Any) -> Reader:
    read = _reader(inner)

    def read_all(value: Any, name: str) -> Any:
        _check(value, dict, name)
        return {key: read(each, f"{name}.{key}") for key, each in value.items()}

    return read_all


def _read_dataclass(kind: Any) -> Reader:
    hints = get_type_hints(kind)
    wanted = [(each, _reader(hints[each.name]), hints[each.name]) for each in fields(kind)]

    def read(value: Any, name: str) -> Any:
        _check(value, dict, name)
        found = {}
        for each, read_field, hint in wanted:
            given, path = value.get(each.name), f"{name}.{each.name}".lstrip(".")
            if given is not None or (each.name in value and _takes_none(hint)):
                found[each.name] = read_field(given, path)
            elif not _has_default(each):
                found[each.name] = _nothing(hint, path)
        return kind(**found)

    return read


def _takes_none(hint: Any) -> bool:
    return hint is Any or types.NoneType in get_args(hint)


def _nothing(hint: Any, name: str) -> Any:
    """What a field without a default holds if the file does not have it."""
    if _takes_none(hint):
        return None
    origin = get_origin(hint)
    if origin is tuple and ... in get_args(hint):
        return ()
    if origin is not None and issubclass(origin, Mapping):
        return {}
    raise ValueError(f"it has no {name}")


def _has_default(each: Field[Any]) -> bool:
    return each.default is not MISSING or each.default_factory is not MISSING


def _default_of(each: Field[Any]) -> Any:
    return each.default if each.default_factory is MISSING else each.default_factory()


def _check(value: Any, kind: type, name: str) -> None:
    """Refuse a value that is not of a type of JSON; a whole number is a number, too."""
    if type(value) is not kind and (kind, type(value)) != (float, int):
        raise ValueError(f"{name or 'it'} is {value!r:.60}, but must be {WORDS[kind]}")
