"""The points of a space: all of them for a grid, its ends and every option for a check."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from tune_jobs.engine.errors import JobError, reason_of
from tune_jobs.engine.space.checks import check_space
from tune_jobs.engine.space.configs import Config, children, join
from tune_jobs.engine.space.domains import (
    Choice,
    Domain,
    Grid,
    Normal,
    Range,
    Space,
    Unknown,
    domain_of,
    has_domain,
    walk,
)

MOST_GRID_POINTS = 100_000

End = Literal["low", "high"]
NOTHING_CHOSEN: Mapping[str, int] = {}


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
        name: {"grid_search": list(iterate(part, name))} if has_domain(part) else part
        for name, part in space.items()
    }


def count_points(part: object, label: str = "") -> int:
    """Count the configurations of a finite space."""
    if domain := domain_of(part):
        values = values_of(domain, label)
        if isinstance(values, range):
            return len(values)
        return sum(count_points(option, label) for option in values)
    return math.prod(count_points(child, str(name)) for name, child in children(part))


def iterate(part: object, label: str = "") -> Iterator[Any]:
    """Yield all configurations of a finite space."""
    if domain := domain_of(part):
        for option in values_of(domain, label):
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


def point_at(part: Any, index: int, label: str = "") -> Any:
    """Return one configuration of a finite space by its place in :func:`iterate`."""
    if domain := domain_of(part):
        values = values_of(domain, label)
        if isinstance(values, range):
            return values[index]
        for option in values:
            count = count_points(option, label)
            if index < count:
                return point_at(option, index, label)
            index -= count
    found: dict[Any, Any] = {}
    for name, child in reversed(children(part)):
        index, place = divmod(index, count_points(child, str(name)))
        found[name] = point_at(child, place, str(name))
    if isinstance(part, dict):
        return {name: found[name] for name, _ in children(part)}
    return [found[name] for name, _ in children(part)] if isinstance(part, list | tuple) else part


def values_of(domain: Domain, label: str) -> Sequence[Any]:
    """Return all values of a domain that has finitely many.

    Raises:
        JobError: for a continuous one.
    """
    match domain:
        case Choice():
            return domain.options
        case Grid():
            return domain.values
        case Range() if (values := domain.values()) is not None:
            return values
    example = "values"
    if isinstance(domain, Range | Normal):
        example = ", ".join(f"{end:g}" for end in domain.ends)
    raise JobError(
        f"grid search needs a list of values for {label!r}, got {domain.as_code()}; "
        f"write tune.choice([{example}])"
    )


def extremes(space: Space) -> list[Config]:
    """Return the smallest and the largest configuration, then each choice's every option once.

    Smallest and largest are by number, by length of a list of layers, and by place otherwise.
    """
    found = [pick(space, "low"), pick(space, "high")]
    for label, part in walk(space):
        domain = domain_of(part)
        if isinstance(domain, Choice) and not _have_sizes(domain.options):
            found += [pick(space, "low", {label: place}) for place in range(len(domain.options))]
    return found


def pick(part: Any, end: End, chosen: Mapping[str, int] = NOTHING_CHOSEN, label: str = "") -> Any:
    """Return one configuration: every domain at its ``low`` or ``high`` end, or as ``chosen``."""
    match domain_of(part):
        case Choice(options):
            return _pick_option(options, end, chosen, label)
        case Grid() as grid:
            return _pick_option(grid.values, end, chosen, label)
        case Range() | Normal() as number:
            return number.ends[0 if end == "low" else 1]
        case Unknown():
            return _draw(part, label)
    picked = {name: pick(child, end, chosen, join(label, name)) for name, child in children(part)}
    if isinstance(part, dict):
        return picked
    return list(picked.values()) if isinstance(part, list | tuple) else part


def _draw(part: Any, label: str) -> Any:
    try:
        return part.sample()
    except Exception as error:  # the user's own function
        reason = f"{type(error).__name__}: {reason_of(error)}"
        raise JobError(f"{label}: no value can be drawn: {reason}") from error


def _pick_option(options: Sequence[object], end: End, chosen: Mapping[str, int], label: str) -> Any:
    order = sorted(range(len(options)), key=lambda place: _size(options[place]))
    place = chosen.get(label, order[0 if end == "low" else -1])
    return pick(options[min(place, len(order) - 1)], end, chosen, label)


def _size(value: object) -> float:
    if isinstance(value, bool | int | float):
        return float(max(-sys.float_info.max, min(value, sys.float_info.max)))
    return float(len(value)) if isinstance(value, list | tuple) else 0.0


def _have_sizes(values: Sequence[object]) -> bool:
    return all(isinstance(value, bool | int | float | list | tuple) for value in values)
