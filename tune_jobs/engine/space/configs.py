"""Configs by dotted names: ``{"layers.0.units": 64}``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tune_jobs.engine.errors import JobError

Config = dict[str, Any]


def children(part: Any) -> list[tuple[str | int, Any]]:
    """The named parts of a dict, or the numbered ones of a list."""
    if isinstance(part, dict):
        return list(part.items())
    if isinstance(part, list | tuple):
        return list(enumerate(part))
    return []


def flatten(config: Any, label: str = "") -> dict[str, Any]:
    """A nested config with dotted names: ``{"layers.0.units": 64}``."""
    named = children(config)
    if not named:
        return {label: config}
    return {
        key: value
        for name, child in named
        for key, value in flatten(child, f"{label}.{name}" if label else str(name)).items()
    }


def unflatten(flat: Mapping[str, Any]) -> Config:
    """A config from dotted names: ``{"layers.0.units": 64}`` has a list of one layer."""
    tree: dict[str, Any] = {}
    for name, value in flat.items():
        *path, last = name.split(".")
        inner = tree
        for part in path:
            inner = inner.setdefault(part, {})
            if not isinstance(inner, dict):
                raise JobError(f"{name!r} lies inside {part!r}, which has a value of its own")
        inner[last] = value
    config: Config = {name: _lists(part) for name, part in tree.items()}
    return config


def _lists(part: Any) -> Any:
    if not isinstance(part, dict):
        return part
    inner = {name: _lists(child) for name, child in part.items()}
    if inner and set(inner) == {str(index) for index in range(len(inner))}:
        return [inner[str(index)] for index in range(len(inner))]
    return inner
