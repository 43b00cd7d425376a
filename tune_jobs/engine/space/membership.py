"""Whether a config belongs to a space: configs come back from a history, a file, another search."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from ray.tune.search.sample import Categorical, Domain, Float, Integer

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.plain import plain
from tune_jobs.engine.space.configs import Config, children
from tune_jobs.engine.space.domains import Space, as_code, is_branching, is_grid, sampler_and_step

NO_DEFAULTS: Mapping[str, Any] = {}


class NotInSpaceError(JobError):
    """A config lacks a hyperparameter, has one too many, or a value outside its domain."""


def from_json(
    part: Any, stored: Any, defaults: Mapping[str, Any] = NO_DEFAULTS, label: str = ""
) -> Any:
    """The config of a space that was stored as JSON, with the space's own objects in it.

    Args:
        part: the space, or a part of it.
        stored: the config as it was written down.
        defaults: values, by dotted name, of hyperparameters that the config does not have.
        label: the dotted name of the part.

    Raises:
        NotInSpaceError: naming the first hyperparameter that does not fit, its value and the rule.
    """
    if is_grid(part):
        return _option(part["grid_search"], stored, label)[1]
    if isinstance(part, Categorical):
        return _parse_choice(part, stored, defaults, label)
    if isinstance(part, Domain):
        return _parse_number(part, stored, label)
    if isinstance(part, dict):
        return _parse_dict(part, stored, defaults, label)
    if isinstance(part, list | tuple) and children(part):
        if not isinstance(stored, list | tuple) or len(stored) != len(part):
            raise NotInSpaceError(f"{label} is {stored!r}, but must have {len(part)} entries")
        return [
            from_json(child, value, defaults, f"{label}.{index}")
            for index, (child, value) in enumerate(zip(part, stored, strict=True))
        ]
    return _option([part], stored, label)[1]


def place_of(domain: Categorical, value: Any) -> tuple[int, Any]:
    """Which option of a choice a value is or comes from: its place and the option.

    Raises:
        NotInSpaceError: where it is none of them.
    """
    if not is_branching(domain):
        return _option(domain.categories, value, "")
    for index, branch in enumerate(domain.categories):
        try:
            from_json(branch, plain(value))
        except NotInSpaceError:
            continue
        return index, branch
    raise NotInSpaceError(f"{value!r} comes from no branch of {as_code(domain)}")


def members_from_json(space: Space, stored: Iterable[Any]) -> list[Config]:
    """Those of some configs that belong to a space; others were tried before it was edited."""
    found = []
    for config in stored:
        with suppress(NotInSpaceError):
            found.append(from_json(space, config))
    return found


def identity(config: Any) -> str:
    """A text that is the same for equal configs, or values, and no others."""
    return json.dumps(plain(config), sort_keys=True)


def _option(options: Sequence[Any], value: Any, label: str) -> tuple[int, Any]:
    wanted = identity(value)
    for index, option in enumerate(options):
        same_number = _is_number(value) and _is_number(option) and value == option
        if same_number or identity(option) == wanted:
            return index, option
    shown = ", ".join(repr(option) for option in options)
    rule = f"one of {shown}" if len(options) > 1 else shown
    raise NotInSpaceError(f"{label} is {value!r}, but must be {rule}")


def _parse_choice(part: Categorical, stored: Any, defaults: Mapping[str, Any], label: str) -> Any:
    if not is_branching(part):
        return _option(part.categories, stored, label)[1]
    reasons = []
    for branch in part.categories:
        try:
            return from_json(branch, stored, defaults, label)
        except NotInSpaceError as reason:
            reasons.append(str(reason))
    raise NotInSpaceError(f"{label} is {stored!r}, which fits no branch: {'; '.join(reasons)}")


def _parse_dict(
    part: dict[str, Any], stored: Any, defaults: Mapping[str, Any], label: str
) -> dict[str, Any]:
    if not isinstance(stored, dict):
        raise NotInSpaceError(f"{label or 'the config'} is {stored!r}, but must be a dict")
    dotted = {name: f"{label}.{name}" if label else str(name) for name in (*part, *stored)}
    if extra := [name for name in stored if name not in part]:
        raise NotInSpaceError(f"{dotted[extra[0]]} is no hyperparameter of the space")
    known = {name: defaults[dotted[name]] for name in part if dotted[name] in defaults} | stored
    if missing := [name for name in part if name not in known]:
        raise NotInSpaceError(f"{dotted[missing[0]]} has no value")
    return {
        name: from_json(child, known[name], defaults, dotted[name]) for name, child in part.items()
    }


def _parse_number(part: Domain, stored: Any, label: str) -> Any:
    if not isinstance(part, Float | Integer):
        return stored  # sample_from, or a domain of one's own: nothing is known of its values
    sampler, step = sampler_and_step(part)
    fits_kind = _is_number(stored) and (isinstance(part, Float) or isinstance(stored, int))
    if not fits_kind or not _is_inside(part, stored, bounded=not hasattr(sampler, "sd")):
        raise NotInSpaceError(f"{label} is {stored!r}, but must come from {as_code(part)}")
    if step and not math.isclose(stored / step, round(stored / step), abs_tol=1e-6):
        raise NotInSpaceError(f"{label} is {stored!r}, but must be a multiple of {step:g}")
    return stored if isinstance(part, Integer) else float(stored)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_inside(part: Any, value: float, *, bounded: bool) -> bool:
    if not math.isfinite(value):
        return False
    if not bounded:
        return True
    if isinstance(part, Integer):
        _, step = sampler_and_step(part)
        return bool(part.lower <= value <= part.upper - (0 if step and step > 1 else 1))
    slack = 1e-9 * max(abs(part.lower), abs(part.upper))
    return bool(part.lower - slack <= value <= part.upper + slack)
