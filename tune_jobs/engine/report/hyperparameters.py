"""The hyperparameters of an experiment: their domains, as written down, and the axes these ask for.

An experiment's description holds its space as JSON (:func:`~.space.domains.describe`):
domains are texts such as ``loguniform(0.0001, 0.1)``, choices are lists. Nothing is evaluated.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tune_jobs.engine.formatting import number, setting
from tune_jobs.engine.report.axes import (
    LARGEST,
    Categories,
    Linear,
    Log,
    NearOne,
    Scale,
    fit_linear,
)

Spacing = Literal["linear", "log", "near one"]

NUMBER = r"([-+0-9.e]+)"
RANGE = re.compile(rf"(q?)(log|near_)?(uniform|randint|one)\({NUMBER}, {NUMBER}(?:, {NUMBER})?\)")
MOST_CATEGORIES = 12


@dataclass(frozen=True)
class Range:
    """Where numbers are drawn from, and how they are spread over it."""

    low: float
    high: float
    spacing: Spacing
    is_whole: bool

    def __str__(self) -> str:
        spread = {"linear": "", "log": ", logarithmic", "near one": ", near one"}[self.spacing]
        return f"{number(self.low)} to {number(self.high)}{spread}"


@dataclass(frozen=True)
class Hyperparameter:
    """A dotted name, the values of the trials in which it was active, and its axis."""

    name: str
    values: Mapping[int, Any]
    scale: Scale
    range: Range | None

    @property
    def is_number(self) -> bool:
        """Whether its values lie on a continuous axis."""
        return not isinstance(self.scale, Categories)


def find_hyperparameters(
    space: Any, configs: Mapping[int, Mapping[str, Any]]
) -> list[Hyperparameter]:
    """Whatever differs, or could, between the configs of trials; constants are left out."""
    drawn, chosen = _domains(space)
    names = list(dict.fromkeys(name for config in configs.values() for name in config))
    found = []
    for name in names:
        values = {trial: config[name] for trial, config in configs.items() if name in config}
        labels = {setting(value) for value in values.values()}
        labels |= {setting(value) for value in chosen.get(name, [])}
        if name in drawn or len(labels) > 1 or len(values) < len(configs):
            is_set = name in chosen and name not in drawn
            scale = _scale_of(values, drawn.get(name), chosen.get(name, []), is_set=is_set)
            found.append(Hyperparameter(name, values, scale, drawn.get(name)))
    return found


def as_number(value: Any) -> float | None:
    """A finite number that can be drawn, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if abs(found) <= LARGEST else None


def _scale_of(
    values: Mapping[int, Any], drawn: Range | None, chosen: list[Any], *, is_set: bool
) -> Scale:
    numbers = [as_number(value) for value in values.values()]
    known = [value for value in numbers if value is not None]
    few = len({setting(v) for v in [*values.values(), *chosen]}) <= MOST_CATEGORIES
    if len(known) < len(numbers) or not known or (few and (is_set or not drawn)):
        return _categories([*values.values(), *chosen])
    low, high = min(known), max(known)
    if drawn is None:
        return fit_linear(low, high)
    low, high = min(low, drawn.low), max(high, drawn.high)
    if drawn.spacing == "log" and drawn.low > 0:
        return Log(drawn.low, high)
    if drawn.spacing == "near one" and high < 1:
        return NearOne(low, high)
    return Linear(low, high, drawn.is_whole) if low < high else fit_linear(low, high)


def _categories(values: list[Any]) -> Categories:
    """Numbers in their order, then texts; of very many the most frequent."""
    kinds: dict[str, Any] = {setting(value): value for value in values}
    if len(kinds) > MOST_CATEGORIES:
        frequent = Counter(setting(value) for value in values).most_common(MOST_CATEGORIES - 1)
        return Categories((*(label for label, _ in frequent), "others"))
    return Categories(tuple(sorted(kinds, key=lambda label: _order(kinds[label], label))))


def _order(value: Any, label: str) -> tuple[bool, float, str]:
    found = as_number(value)
    return (found is None, found or 0.0, label)


def _domains(space: Any) -> tuple[dict[str, Range], dict[str, list[Any]]]:
    """The ranges and the choices that a described space holds for each dotted name."""
    drawn: dict[str, Range] = {}
    chosen: dict[str, list[Any]] = {}
    for name, leaf in _leaves(space, ""):
        found = _parse(leaf)
        if found is None:
            chosen.setdefault(name, []).append(leaf)
        else:
            drawn[name] = _joined(drawn[name], found) if name in drawn else found
    return drawn, chosen


def _leaves(part: Any, label: str) -> Iterator[tuple[str, Any]]:
    """Every value or domain that a dotted name can have."""
    if isinstance(part, dict) and part.keys() in ({"choice"}, {"grid_search"}):
        (categories,) = part.values()
        for category in categories if isinstance(categories, list) else [categories]:
            yield from _leaves(category, label)
    elif isinstance(part, dict | list) and part:
        items = part.items() if isinstance(part, dict) else enumerate(part)
        for name, child in items:
            yield from _leaves(child, f"{label}.{name}" if label else str(name))
    elif label:
        yield label, part


def _parse(leaf: Any) -> Range | None:
    """A range as it is written in a description, or None for any other value."""
    match = RANGE.fullmatch(leaf) if isinstance(leaf, str) else None
    if not match:
        return None
    try:
        low, high = float(match[4]), float(match[5])
    except ValueError:
        return None
    spacing: Spacing = "linear"
    if match[2]:
        spacing = "log" if match[2] == "log" else "near one"
    is_whole = match[3] == "randint"
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        return None
    return Range(low, high - 1 if is_whole and high - low > 1 else high, spacing, is_whole)


def _joined(one: Range, other: Range) -> Range:
    """The range that covers two."""
    spacing = one.spacing if one.spacing == other.spacing else "linear"
    low, high = min(one.low, other.low), max(one.high, other.high)
    return Range(low, high, spacing, one.is_whole and other.is_whole)
