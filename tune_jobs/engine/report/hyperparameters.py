"""The hyperparameters of an experiment: the domains it describes, and the axes these ask for.

An experiment's description holds its space as JSON, which
:func:`~tune_jobs.engine.space.notation.read_described` reads back. Nothing is evaluated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
from tune_jobs.engine.space.configs import children
from tune_jobs.engine.space.domains import Range, Spacing, domain_of, walk
from tune_jobs.engine.space.notation import read_described

MOST_CATEGORIES = 12


@dataclass(frozen=True)
class Hull:
    """The smallest range that covers those of one dotted name in all branches of a space.

    Attributes:
        low: the smallest value that can be drawn.
        high: the largest.
        spacing: the scale of all of them; ``linear`` if they differ.
        is_integer: whether all values are integers.
    """

    low: float
    high: float
    spacing: Spacing
    is_integer: bool

    def __str__(self) -> str:
        spread = {"log": ", logarithmic", "near_one": ", near one"}.get(self.spacing, "")
        return f"{number(self.low)} to {number(self.high)}{spread}"


@dataclass(frozen=True)
class Hyperparameter:
    """A dotted name, the values of the trials in which it was active, and its axis."""

    name: str
    values: Mapping[int, object]
    scale: Scale
    range: Hull | None

    @property
    def is_number(self) -> bool:
        """True if its values lie on a continuous axis."""
        return not isinstance(self.scale, Categories)


def find_hyperparameters(
    described: object, configs: Mapping[int, Mapping[str, object]]
) -> list[Hyperparameter]:
    """Find whatever differs, or could, between the configs of trials; constants are left out."""
    drawn, chosen = _domains(described)
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


def as_number(value: object) -> float | None:
    """Return a finite number that can be drawn, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if abs(found) <= LARGEST else None


def _scale_of(
    values: Mapping[int, object], drawn: Hull | None, chosen: Sequence[object], *, is_set: bool
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
    if drawn.spacing == "near_one" and high < 1:
        return NearOne(low, high)
    return Linear(low, high, drawn.is_integer) if low < high else fit_linear(low, high)


def _categories(values: Sequence[object]) -> Categories:
    """Order the values, numbers before texts; of very many take the most frequent."""
    kinds: dict[str, object] = {setting(value): value for value in values}
    if len(kinds) > MOST_CATEGORIES:
        frequent = Counter(setting(value) for value in values).most_common(MOST_CATEGORIES - 1)
        return Categories((*(label for label, _ in frequent), "others"))
    return Categories(tuple(sorted(kinds, key=lambda label: _order(kinds[label], label))))


def _order(value: object, label: str) -> tuple[bool, float, str]:
    found = as_number(value)
    return (found is None, found or 0.0, label)


def _domains(described: object) -> tuple[dict[str, Hull], dict[str, list[object]]]:
    """Return the ranges and the options that a described space has for each dotted name."""
    ranges: dict[str, list[Range]] = {}
    chosen: dict[str, list[object]] = {}
    for name, part in walk(read_described(described)):
        domain = domain_of(part)
        if isinstance(domain, Range):
            ranges.setdefault(name, []).append(domain)
        elif domain is None and name and not children(part):
            chosen.setdefault(name, []).append(part)
    return {name: _hull(found) for name, found in ranges.items()}, chosen


def _hull(ranges: Sequence[Range]) -> Hull:
    spacings = {each.spacing for each in ranges}
    return Hull(
        min(each.first for each in ranges),
        max(each.last for each in ranges),
        spacings.pop() if len(spacings) == 1 else "linear",
        all(each.is_integer for each in ranges),
    )
