"""The points of a space: all of them for a grid, its ends and every option for a check."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

from ray import tune
from ray.tune.search.sample import Categorical, Domain, Float, Integer

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.space.configs import Config, children
from tune_jobs.engine.space.domains import (
    Space,
    as_code,
    check_space,
    has_domain,
    is_grid,
    sampler_and_step,
    walk,
)

MOST_GRID_POINTS = 100_000


def as_grid(space: Space) -> Space:
    """Turn every choice, integer and stepped domain into a grid, conditions expanded.

    Raises:
        JobError: for a continuous domain, or more than 100,000 points.
    """
    check_space(space)
    if (points := count_points(space)) > MOST_GRID_POINTS:
        raise JobError(
            f"the grid has {points:,} points, more than {MOST_GRID_POINTS:,}; shorten its lists"
        )
    return {
        name: tune.grid_search(list(iterate(part, name))) if has_domain(part) else part
        for name, part in space.items()
    }


def count_points(part: Any, label: str = "") -> int:
    """How many configurations a finite space holds."""
    if isinstance(part, Domain) or is_grid(part):
        return sum(count_points(option, label) for option in _options(part, label))
    return math.prod(count_points(child, str(name)) for name, child in children(part))


def iterate(part: Any, label: str = "") -> Iterator[Any]:
    """All configurations of a finite space."""
    if isinstance(part, Domain) or is_grid(part):
        for option in _options(part, label):
            yield from iterate(option, label)
        return
    named = children(part)
    if not named:
        yield part
        return
    for values in itertools.product(*(list(iterate(child, str(name))) for name, child in named)):
        if isinstance(part, dict):
            yield dict(zip((name for name, _ in named), values, strict=True))
        else:
            yield list(values)


def values_of(domain: Domain, label: str) -> Sequence[Any]:
    """All values of a domain that has finitely many.

    Raises:
        JobError: for a continuous one.
    """
    if isinstance(domain, Categorical):
        return list(domain.categories)
    _, step = sampler_and_step(domain)
    if isinstance(domain, Integer):
        step = int(step or 1)
        return range(domain.lower, domain.upper + (1 if step > 1 else 0), step)
    if step and math.isfinite(domain.lower):
        first, last = round(domain.lower / step), math.floor(domain.upper / step + 1e-9)
        return [round(k * step, 12) for k in range(first, last + 1)]
    example = f"tune.choice([{domain.lower:g}, {domain.upper:g}])"
    raise JobError(
        f"grid search needs a list of values for {label!r}, got {as_code(domain)}; write {example}"
    )


def _options(part: Any, label: str) -> Sequence[Any]:
    return part["grid_search"] if is_grid(part) else values_of(part, label)


def extremes(space: Space) -> list[Config]:
    """The smallest and the largest configuration, then each choice's every option once.

    Smallest and largest are by number, by length of a list of layers, and by place otherwise.
    """
    found = [pick(space, "low"), pick(space, "high")]
    for label, part in walk(space):
        if isinstance(part, Categorical) and not _sizes(part.categories):
            found += [pick(space, "low", {label: index}) for index in range(len(part.categories))]
    return found


def pick(part: Any, end: str, chosen: dict[str, int] | None = None, label: str = "") -> Any:
    """One configuration: every domain at its ``low`` or ``high`` end, or as ``chosen``."""
    chosen = chosen or {}
    if is_grid(part):
        part = tune.choice(part["grid_search"])
    if isinstance(part, Categorical):
        order = sorted(range(len(part.categories)), key=lambda i: _size(part.categories[i]))
        index = chosen.get(label, order[0 if end == "low" else -1])
        return pick(part.categories[min(index, len(order) - 1)], end, chosen, label)
    if isinstance(part, Float | Integer):
        return _end_of(part, end)
    if isinstance(part, Domain):
        return part.sample()
    picked = {
        name: pick(child, end, chosen, f"{label}.{name}" if label else str(name))
        for name, child in children(part)
    }
    if isinstance(part, dict):
        return picked
    return list(picked.values()) if isinstance(part, list | tuple) else part


def _end_of(domain: Any, end: str) -> float:
    sampler, _ = sampler_and_step(domain)
    if hasattr(sampler, "sd"):
        return float(sampler.mean + (sampler.sd if end == "high" else -sampler.sd))
    if isinstance(domain, Integer):
        values = values_of(domain, "")
        return int(values[0 if end == "low" else -1])
    return float(domain.lower if end == "low" else domain.upper)


def _size(value: Any) -> float:
    if isinstance(value, bool | int | float):
        return float(value)
    return float(len(value)) if isinstance(value, list | tuple) else 0.0


def _sizes(values: Sequence[Any]) -> bool:
    return all(isinstance(value, bool | int | float | list | tuple) for value in values)
