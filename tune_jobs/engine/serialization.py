"""Read and write frozen dataclasses as JSON objects: their annotations say what a file holds.

Written is every field that does not equal its default. Read is what a file has: unknown keys are
ignored, since a newer version may have written them, and a missing field has its default, is None
or is empty, whichever its type allows.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")

# Reads a value of JSON; the text is the path to it, for messages.
Reader = Callable[[object, str], object]

# Larger integers fit into no table.
MOST = 2**63

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
        ValueError: if a value is not of its field's type, or a field that must have a value is
            missing; the message names it.
    """
    read: Callable[[object, str], T] = _dataclass_reader(kind)
    return read(content, "")


def serialize(record: Any) -> dict[str, Any]:
    """Write a dataclass as a JSON object."""
    found = {}
    for each in fields(record):
        value = getattr(record, each.name)
        if not _has_default(each) or value != _default_of(each):
            found[each.name] = _plain(value)
    return found


def _plain(value: object) -> object:
    if is_dataclass(value):
        return serialize(value)
    return [_plain(each) for each in value] if isinstance(value, tuple | list) else value


@cache
def _reader(hint: Any) -> Reader:
    """Return what reads values of a type, and refuses others."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return lambda value, _: value
    if origin in (Union, types.UnionType):
        return _optional_reader(*(each for each in inner if each is not types.NoneType))
    if origin is Literal:
        return _choice_reader(inner)
    if origin is tuple:
        return _tuple_reader(inner)
    if origin is not None:
        return _mapping_reader(inner[1])
    kind: type = hint
    return _dataclass_reader(kind) if is_dataclass(kind) else _scalar_reader(kind)


def _scalar_reader(kind: type) -> Reader:
    return lambda value, name: _expect(value, kind, name)


def _optional_reader(hint: Any) -> Reader:
    read = _reader(hint)
    return lambda value, name: None if value is None else read(value, name)


def _choice_reader(choices: tuple[str, ...]) -> Reader:
    def read(value: object, name: str) -> object:
        if value not in choices:
            raise ValueError(f"{name} is {value!r}, but must be one of {', '.join(choices)}")
        return value

    return read


def _tuple_reader(inner: tuple[Any, ...]) -> Reader:
    """Read lists of any length (``tuple[int, ...]``), or of a known one (``tuple[int, int]``)."""
    read = _reader(inner[0])
    length = None if inner[1:] == (...,) else len(inner)

    def read_all(value: object, name: str) -> object:
        values = _expect(value, list, name)
        if length not in (None, len(values)):
            raise ValueError(f"{name} has {len(values)} values, but must have {length}")
        return tuple(read(each, f"{name}.{place}") for place, each in enumerate(values))

    return read_all


def _mapping_reader(inner: Any) -> Reader:
    read = _reader(inner)

    def read_all(value: object, name: str) -> object:
        values = _expect(value, dict, name)
        return {key: read(each, f"{name}.{key}") for key, each in values.items()}

    return read_all


def _dataclass_reader(kind: type[T]) -> Callable[[object, str], T]:
    readers = _field_readers(kind)  # type: ignore[arg-type]  # a class is hashable

    def read(value: object, name: str) -> T:
        values, found = _expect(value, dict, name), {}
        for each, hint, read_field in readers:
            given, path = values.get(each.name), f"{name}.{each.name}".lstrip(".")
            if given is not None or (each.name in values and _takes_none(hint)):
                found[each.name] = read_field(given, path)
            elif not _has_default(each):
                found[each.name] = _nothing(hint, path)
        return kind(**found)

    return read


@cache
def _field_readers(kind: Any) -> list[tuple[Field[Any], Any, Reader]]:
    hints = get_type_hints(kind)
    return [(each, hints[each.name], _reader(hints[each.name])) for each in fields(kind)]


def _takes_none(hint: Any) -> bool:
    return hint is Any or types.NoneType in get_args(hint)


def _nothing(hint: Any, name: str) -> object:
    """Return what a field without a default holds if the file does not have it."""
    if _takes_none(hint):
        return None
    origin = get_origin(hint)
    if origin is tuple and ... in get_args(hint):
        return ()
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {}
    raise ValueError(f"it has no {name}")


def _has_default(each: Field[Any]) -> bool:
    return each.default is not MISSING or each.default_factory is not MISSING


def _default_of(each: Field[Any]) -> object:
    return each.default if each.default_factory is MISSING else each.default_factory()


def _expect(value: object, kind: type[T], name: str) -> T:
    """Return a value of a type of JSON, refusing others; a whole number is a number, too."""
    if type(value) is not kind and (kind, type(value)) != (float, int):
        raise ValueError(f"{name or 'it'} is {value!r:.60}, but must be {WORDS[kind]}")
    if kind is float and isinstance(value, int) and abs(value) > sys.float_info.max:
        raise ValueError(f"{name} has {len(str(abs(value)))} digits, too many for a number")
    if kind is int and isinstance(value, int) and not -MOST <= value < MOST:
        raise ValueError(f"{name} is an integer of more than 64 bits")
    return value  # type: ignore[return-value]
