"""Map values to places on an axis, between 0 and 1, and label the axis."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tune_jobs.engine.formatting import count, number, setting, shortened
from tune_jobs.engine.goal import Goal

Tick = tuple[float, str]

# Doubles that can be subtracted from each other without overflow.
LARGEST = 1e300
# Values that differ by a larger factor are shown by their logarithms.
WIDE = 10.0
# Values that differ by a smaller factor look alike on a linear and on a logarithmic axis.
LEAST_FACTOR = 1.5
# The fence of outliers in interquartile ranges, of many values and of fewer than eight.
TUKEY, FEW = 1.5, 5.0


class Scale(Protocol):
    """An axis: the places of values, and its labels."""

    def position(self, value: Any) -> float:
        """Return the place of a value from 0 to 1; a value beyond the axis is at its end."""

    def ticks(self, most: int) -> list[Tick]:
        """Return labelled places, about as many as ``most`` at most."""


@dataclass(frozen=True)
class Linear:
    """Equal steps."""

    low: float
    high: float
    is_whole: bool = False

    def position(self, value: float) -> float:
        """Return the place of a value."""
        return _clamp((value - self.low) / (self.high - self.low))

    def ticks(self, most: int) -> list[Tick]:
        """Return multiples of 1, 2 or 5 times a power of ten."""
        step = _round_step((self.high - self.low) / max(1, most))
        step = max(1.0, step) if self.is_whole else step
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        digits = max(0, -math.floor(math.log10(step)))
        plain = digits <= 6 and max(abs(self.low), abs(self.high)) < 1e6
        values = [index * step for index in range(first, min(last, first + 50) + 1)]
        labels = [f"{v:.{digits}f}" if plain else number(v) for v in values]
        return [(self.position(v), text) for v, text in zip(values, labels, strict=True)]


@dataclass(frozen=True)
class Log:
    """Equal factors; both bounds are above zero."""

    low: float
    high: float

    def position(self, value: float) -> float:
        """Return the place of a value; one that is not positive is at the lower end."""
        if value <= 0:
            return 0.0
        return _clamp(math.log(value / self.low) / math.log(self.high / self.low))

    def ticks(self, most: int) -> list[Tick]:
        """Return powers of ten, with their double and fivefold if there is room."""
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        every = max(1, math.ceil((last - first) / max(1, most)))
        exponents = range(first, last + 1, every)
        for factors in ((1, 2, 5), (1, 3), (1,)):
            values = [f * 10.0**e for e in exponents for f in factors]
            inside = [v for v in values if self.low * 0.999 <= v <= self.high * 1.001]
            if len(inside) <= most or factors == (1,):
                break
        if len(inside) < 2:
            inside = [self.low, self.high]
        return [(self.position(value), _brief(value)) for value in inside]


@dataclass(frozen=True)
class NearOne:
    """Equal factors of the distance from one, as for momentum."""

    low: float
    high: float

    def position(self, value: float) -> float:
        """Return the place of a value; one that is not below one is at the upper end."""
        if value >= 1:
            return 1.0
        whole = math.log((1 - self.low) / (1 - self.high))
        return _clamp(math.log((1 - self.low) / (1 - value)) / whole)

    def ticks(self, most: int) -> list[Tick]:
        """Return 0, 0.9, 0.99 and so on."""
        values = [1 - 10.0**-digits for digits in range(13)]
        inside = [v for v in values if self.low - 1e-9 <= v <= self.high + 1e-12]
        inside = inside[-most:] if len(inside) >= 2 else [self.low, self.high]
        return [(self.position(value), f"{value:.12g}") for value in inside]


@dataclass(frozen=True)
class Categories:
    """A place for each of a few values."""

    labels: tuple[str, ...]

    def position(self, value: object) -> float:
        """Return the middle of a value's place; of the last place for an unknown value."""
        label = setting(value)
        index = self.labels.index(label) if label in self.labels else len(self.labels) - 1
        return (index + 0.5) / len(self.labels)

    def ticks(self, most: int) -> list[Tick]:
        """Return every label, shortened if there are many."""
        room = max(4, 44 // len(self.labels)) if most < 8 else 24
        places = [(index + 0.5) / len(self.labels) for index in range(len(self.labels))]
        labels = [shortened(label, room) for label in self.labels]
        every = math.ceil(len(labels) / max(most, 6))
        return list(zip(places, labels, strict=True))[::every]


def fit_values(values: Sequence[float], goal: Goal) -> Linear | Log:
    """Fit a scale that shows the good values well: far worse ones are at its end."""
    low, high = good_range(values, goal)
    if low > 0 and goal.minimises and high / low > WIDE:
        return Log(low / 1.1, high * 1.1)
    return fit_linear(low, high)


def good_range(values: Sequence[float], goal: Goal) -> tuple[float, float]:
    """Return the range of values, without those that are far worse than the others."""
    finite = sorted(_bounded(value) for value in values if math.isfinite(value))
    if not finite:
        return 0.0, 1.0
    return _without_outliers(finite, goal) if len(finite) > 2 else (finite[0], finite[-1])


def fit_linear(low: float, high: float) -> Linear:
    """Fit a linear scale with a margin, around a single value too."""
    margin = (high - low) * 0.04
    if margin <= abs(high) * 1e-12:
        margin = abs(high) * 0.05 or 1.0
    return Linear(low - margin, high + margin)


def other_scale(scale: Linear | Log, values: Iterable[float]) -> Linear | Log | None:
    """Return the logarithmic scale of a linear one and the reverse; None if it shows no more."""
    inside = [value for value in values if scale.low <= value <= scale.high]
    if not inside or min(inside) <= 0 or max(inside) < LEAST_FACTOR * min(inside):
        return None
    low, high = min(inside), max(inside)
    return fit_linear(low, high) if isinstance(scale, Log) else Log(low / 1.1, high * 1.1)


def say_outliers(values: Iterable[float], scale: Scale) -> str:
    """Count the values beyond an axis in a sentence; empty if there are none."""
    if not isinstance(scale, Linear | Log):
        return ""
    amount = sum(not scale.low <= value <= scale.high for value in values)
    return f"{count(amount, 'outlier')} {'is' if amount == 1 else 'are'} clipped." if amount else ""


def _without_outliers(ordered: list[float], goal: Goal) -> tuple[float, float]:
    """Return the range of sorted values, its bad end cut by Tukey's fence.

    Of few values the fence is wider, and quartiles are rounded towards the good end, so that one
    failed trial among three does not belong to the quartile that it is measured by.
    """
    losses = sorted(goal.sign * value for value in ordered)
    last = len(losses) - 1
    upper, worst = losses[3 * last // 4], losses[-1]
    spread = upper - losses[last // 4] or abs(upper) or 1.0
    fence = (TUKEY if last >= 7 else FEW) * spread
    if not math.isfinite(fence) or worst <= upper + 2 * fence:
        return ordered[0], ordered[-1]
    ends = sorted([goal.sign * losses[0], goal.sign * (upper + fence)])
    return ends[0], ends[1]


def _brief(value: float) -> str:
    """Write a number, with a power of ten if that is shorter than its zeros."""
    if 0.005 < value < 1e5:
        return number(value, 2)
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"


def _bounded(value: float) -> float:
    return max(-LARGEST, min(LARGEST, value))


def _clamp(share: float) -> float:
    return max(0.0, min(1.0, share))


def _round_step(rough: float) -> float:
    """Round up to 1, 2, 5 or 10 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
