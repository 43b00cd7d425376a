"""Configs by dotted names: ``{"layers.0.units": 64}``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tune_jobs.engine.errors import JobError

Config = dict[str, Any]

# The key of a trial's config with the configs that its worker is given next.
IN_STEP = "in_step"


def children(part: object) -> list[tuple[str | int, Any]]:
    """Return the named parts of a dict, or the numbered ones of a list."""
    if isinstance(part, dict):
        return list(part.items())
    if isinstance(part, list | tuple):
        return list(enumerate(part))
    return []


def join(label: str, name: str | int) -> str:
    """Return the dotted name of a child."""
    return f"{label}.{name}" if label else str(name)


def flatten(config: object, label: str = "") -> Config:
    """Give a nested config dotted names: ``{"layers.0.units": 64}``."""
    named = children(config)
    if not named:
        return {label: config}
    return {
        key: value
        for name, child in named
        for key, value in flatten(child, join(label, name)).items()
    }


def unflatten(flat: Mapping[str, object]) -> Config:
    """Make a config of dotted names: ``{"layers.0.units": 64}`` has a list of one layer."""
    tree: Config = {}
    for name, value in flat.items():
        *path, last = name.split(".")
        inner = tree
        for part in path:
            inner = inner.setdefault(part, {})
            if not isinstance(inner, dict):
                raise JobError(f"{name!r} lies inside {part!r}, which has a value itself")
        inner[last] = value
    return {name: _lists(part) for name, part in tree.items()}


def _lists(part: object) -> object:
    if not isinstance(part, dict):
        return part
    inner = {name: _lists(child) for name, child in part.items()}
    if inner and set(inner) == {str(index) for index in range(len(inner))}:
        return [inner[str(index)] for index in range(len(inner))]
    return inner


def without_followers(config: Config) -> Config:
    """Return the config of a trial without those that its worker is given next."""
    return {name: value for name, value in config.items() if name != IN_STEP}
