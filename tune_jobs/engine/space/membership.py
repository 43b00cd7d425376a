"""Check that configs from a history, a file or another search belong to a space."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.plain import plain
from tune_jobs.engine.space.configs import Config, children, join
from tune_jobs.engine.space.domains import (
    Choice,
    Grid,
    Normal,
    Range,
    Space,
    Unknown,
    domain_of,
    is_branching,
)

Defaults = Mapping[str, object]

NO_DEFAULTS: Defaults = {}

# A value that was written down and read back is this near to a multiple of its step.
TOLERANCE = 1e-6

# The places of more options than this are remembered: a grid may have thousands.
FEW_OPTIONS = 10


class NotInSpaceError(JobError):
    """A config lacks a hyperparameter, has one too many, or a value outside its domain."""


def from_json(
    part: object, stored: object, defaults: Defaults = NO_DEFAULTS, label: str = ""
) -> Any:
    """Return the config of a space that was stored as JSON, with the space's own objects in it.

    Args:
        part: the space, or a part of it.
        stored: the config as it was written down.
        defaults: values, by dotted name, of hyperparameters that the config does not have.
        label: the dotted name of the part.

    Raises:
        NotInSpaceError: naming the first hyperparameter that does not fit, its value and the rule.
    """
    match domain_of(part):
        case Grid() as grid:
            return _find_option(grid.values, stored, label)[1]
        case Choice() as choice:
            return _choice_from_json(choice, stored, defaults, label)
        case Range() | Normal() as number:
            return _number_from_json(number, stored, label)
        case Unknown():
            return stored
    if isinstance(part, dict):
        return _dict_from_json(part, stored, defaults, label)
    if isinstance(part, list | tuple) and children(part):
        return _list_from_json(part, stored, defaults, label)
    return _find_option([part], stored, label)[1]


def place_of(choice: Choice, value: object) -> tuple[int, Any]:
    """Return the place of the option that a value is or comes from, and the option.

    Raises:
        NotInSpaceError: if it is none of them.
    """
    if not is_branching(choice):
        return _find_option(choice.options, value, "")
    stored, fitting = plain(value), []
    for place, branch in enumerate(choice.options):
        try:
            found = from_json(branch, stored)
        except NotInSpaceError:
            continue
        if identity(found) == identity(stored):  # an integer fits a range of floats, too
            return place, branch
        fitting.append((place, branch))
    if fitting:
        return fitting[0]
    raise NotInSpaceError(f"{value!r} comes from no branch of {choice.as_code()}")


def members_from_json(space: Space, stored: Iterable[object]) -> list[Config]:
    """Return the configs that belong to a space; others were tried before it was edited."""
    found = []
    for config in stored:
        with suppress(NotInSpaceError):
            found.append(from_json(space, config))
    return found


def identity(config: object) -> str:
    """Return a text that is the same for equal configs, or values, and no others."""
    return _dump(plain(config))


def _find_option(options: Sequence[Any], value: Any, label: str) -> tuple[int, Any]:
    is_long = len(options) > FEW_OPTIONS
    places = _remember_places(_Same(options)) if is_long else _list_places(options)
    if (place := places.get(_key(value))) is not None:
        return place, options[place]
    shown = ", ".join(repr(option) for option in options)
    rule = f"one of {shown}" if len(options) > 1 else shown
    raise NotInSpaceError(f"{label} is {value!r}, but must be {rule}")


class _Same:
    """Options as a key: the same sequence, since equal ones may hold other objects."""

    def __init__(self, options: Sequence[Any]) -> None:
        self.options = options

    def __hash__(self) -> int:
        return id(self.options)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.options is other.options


@lru_cache(maxsize=100)
def _remember_places(same: _Same) -> dict[float | str, int]:
    return _list_places(same.options)


def _list_places(options: Sequence[Any]) -> dict[float | str, int]:
    """Return the place of each option; of equal ones the first one's."""
    last_to_first = reversed(list(enumerate(options)))
    return {_key(option): place for place, option in last_to_first}


def _key(value: object) -> float | str:
    """Return what is equal for values that are the same option: 1 and 1.0 are."""
    written = plain(value)
    return written if _is_number(written) and written == written else _dump(written)


def _dump(written: object) -> str:
    return json.dumps(written, sort_keys=True)


def _choice_from_json(choice: Choice, stored: object, defaults: Defaults, label: str) -> Any:
    if not is_branching(choice):
        return _find_option(choice.options, stored, label)[1]
    reasons, fitting, exact = [], [], identity(stored)
    for branch in choice.options:
        try:
            found = from_json(branch, stored, defaults, label)
        except NotInSpaceError as reason:
            reasons.append(str(reason))
            continue
        if identity(found) == exact:  # an integer fits a range of floats, too
            return found
        fitting.append(found)
    if fitting:
        return fitting[0]
    raise NotInSpaceError(f"{label} is {stored!r}, which fits no branch: {'; '.join(reasons)}")


def _dict_from_json(
    part: dict[str, object], stored: object, defaults: Defaults, label: str
) -> Config:
    if not isinstance(stored, dict):
        raise NotInSpaceError(f"{label or 'the config'} is {stored!r}, but must be a dict")
    dotted = {name: join(label, name) for name in (*part, *stored)}
    if extra := [name for name in stored if name not in part]:
        raise NotInSpaceError(f"{dotted[extra[0]]} is not a hyperparameter of the space")
    known = {name: defaults[dotted[name]] for name in part if dotted[name] in defaults} | stored
    if missing := [name for name in part if name not in known]:
        raise NotInSpaceError(f"{dotted[missing[0]]} has no value")
    return {
        name: from_json(child, known[name], defaults, dotted[name]) for name, child in part.items()
    }


def _list_from_json(
    part: Sequence[object], stored: object, defaults: Defaults, label: str
) -> list[Any]:
    if not isinstance(stored, list | tuple) or len(stored) != len(part):
        raise NotInSpaceError(f"{label} is {stored!r}, but must have {len(part)} entries")
    return [
        from_json(child, value, defaults, f"{label}.{place}")
        for place, (child, value) in enumerate(zip(part, stored, strict=True))
    ]


def _number_from_json(number: Range | Normal, stored: Any, label: str) -> float:
    fits_kind = _is_number(stored) and (not number.is_integer or isinstance(stored, int))
    if not fits_kind or not number.contains(stored):
        raise NotInSpaceError(f"{label} is {stored!r}, but must come from {number.as_code()}")
    if not number.is_multiple(stored, TOLERANCE):
        raise NotInSpaceError(f"{label} is {stored!r}, but must be a multiple of {number.step:g}")
    return stored if number.is_integer else float(stored)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
