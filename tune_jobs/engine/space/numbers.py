"""Hyperparameters that are numbers: ranges on their scale, and how they are written down.

A :class:`Range` or a :class:`Normal` is read once, from a domain of Ray
(:func:`~tune_jobs.engine.space.ray_domains.read_domain`) or from the text that describes it
(:func:`parse_number`).
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

Spacing = Literal["linear", "log", "near_one", "custom"]

# Floating point makes of a multiple something that is this far from one at most.
TOLERANCE = 1e-9

NUMBER = r"([-+0-9.e]+)"
CALL = re.compile(
    rf"(?P<step>q?)(?P<spacing>log|near_)?(?P<kind>uniform|randint|one|randn)"
    rf"\({NUMBER}, {NUMBER}(?:, {NUMBER})?\)"
)


@dataclass(frozen=True)
class Range:
    """Numbers between two bounds.

    Attributes:
        lower: the lower bound, which can be drawn.
        upper: the upper bound; as in Ray, integers stay below it unless they have a larger step.
        spacing: the scale on which values are drawn evenly: ``linear``, ``log``, or ``near_one``,
            which is logarithmic in the distance from one; ``custom`` for a sampler of the user's.
        step: what values are rounded to multiples of, None for no rounding.
        is_integer: whether values are integers.
    """

    lower: float
    upper: float
    spacing: Spacing = "linear"
    step: float | None = None
    is_integer: bool = False

    @property
    def increment(self) -> float | None:
        """The number that all values are multiples of; None for a continuous range."""
        return int(self.step or 1) if self.is_integer else self.step

    @property
    def first(self) -> float:
        """The smallest value that can be drawn."""
        if not self.is_integer:
            return self.lower
        return math.ceil(self.lower / int(self.step or 1)) * int(self.step or 1)

    @property
    def last(self) -> float:
        """The largest value that can be drawn."""
        if not self.is_integer:
            step = self.step
            return math.floor(self.upper / step + TOLERANCE) * step if step else self.upper
        step = int(self.step or 1)
        return self.upper // step * step if step > 1 else self.upper - 1

    @property
    def ends(self) -> tuple[float, float]:
        """The bounds that a check tries; of integers the smallest and the largest."""
        if self.is_integer:
            values = self._integers()
            return values[0], values[-1]
        return float(self.lower), float(self.upper)

    @property
    def span(self) -> float:
        """The distance between the smallest and the largest value, on the range's scale."""
        return self.position(self.last) - self.position(self.first)

    def position(self, value: float) -> float:
        """Return a value's place on the scale, where equal distances weigh the same."""
        if self.spacing == "log":
            return math.log(value)
        return -math.log1p(-value) if self.spacing == "near_one" else float(value)

    def value_at(self, position: float) -> float:
        """Return the value at a place of the scale."""
        if self.spacing == "log":
            return math.exp(position)
        return -math.expm1(-position) if self.spacing == "near_one" else position

    def clip(self, value: float) -> float:
        """Return the value, or the end that it lies beyond."""
        return min(max(value, self.first), self.last)

    def floor(self, value: float) -> float:
        """Return the next lower value with two significant digits, or multiple of the step."""
        return self._rounded(value, math.floor)

    def ceil(self, value: float) -> float:
        """Return the next higher value with two significant digits, or multiple of the step."""
        return self._rounded(value, math.ceil)

    def shown(self, value: float) -> str:
        """Write a value with its significant digits."""
        return f"{self._rounded(value, round):.12g}"

    def contains(self, value: float) -> bool:
        """Return whether a value lies between the bounds; ``is_multiple`` looks at the step."""
        if self.is_integer:
            return self.lower <= value <= self.upper - (0 if (self.step or 1) > 1 else 1)
        slack = TOLERANCE * max(abs(self.lower), abs(self.upper))
        return self.lower - slack <= value <= self.upper + slack

    def is_multiple(self, value: float, tolerance: float = TOLERANCE) -> bool:
        """Return whether a value is a multiple of the step, if there is a step."""
        return _is_multiple(value, self.step, tolerance)

    def values(self) -> Sequence[float] | None:
        """List all values; None for a continuous range."""
        if self.is_integer:
            return self._integers()
        if not self.step:
            return None
        first = round(self.lower / self.step)
        last = math.floor(self.upper / self.step + TOLERANCE)
        return [round(place * self.step, 12) for place in range(first, last + 1)]

    def between(self, first: float, last: float) -> Range:
        """Return the range with another smallest and largest value."""
        if not self.is_integer:
            return replace(self, lower=first, upper=last)
        return replace(self, lower=int(first), upper=int(last) + (self.increment == 1))

    def as_code(self) -> str:
        """Write the range as the call that makes it: ``loguniform(0.0001, 0.1)``."""
        if self.spacing == "near_one":
            return f"near_one({self.lower}, {self.upper})"
        name = "log" if self.spacing == "log" else ""
        name += "randint" if self.is_integer else "uniform"
        return _as_call(name, self.lower, self.upper, self.step)

    def _integers(self) -> range:
        step = int(self.step or 1)
        return range(int(self.lower), int(self.upper) + (1 if step > 1 else 0), step)

    def _rounded(self, value: float, rounding: Callable[[float], int]) -> float:
        unit = self.increment or self._unit(value)
        quotient = value / unit
        nearest = round(quotient)
        # What is a multiple but for the error of floating point stays where it is.
        whole = nearest if abs(quotient - nearest) < 1e-6 else rounding(quotient)
        return whole * unit if self.is_integer else float(f"{whole * unit:.12g}")

    def _unit(self, value: float) -> float:
        is_even = self.spacing in ("linear", "custom")
        size = {"log": value, "near_one": 1 - value}.get(self.spacing, self.last - self.first)
        return float(10.0 ** (math.floor(math.log10(size)) - (2 if is_even else 1)))


@dataclass(frozen=True)
class Normal:
    """Normally distributed numbers, which have no bounds.

    Attributes:
        mean: of the distribution.
        deviation: its standard deviation.
        step: what values are rounded to multiples of, None for no rounding.
    """

    mean: float
    deviation: float
    step: float | None = None

    is_integer: ClassVar[bool] = False

    @property
    def ends(self) -> tuple[float, float]:
        """One standard deviation below and above the mean, which a check tries."""
        return float(self.mean - self.deviation), float(self.mean + self.deviation)

    def contains(self, value: float) -> bool:
        """Return whether a value can be drawn."""
        return abs(value) <= sys.float_info.max  # false for NaN, and for integers beyond floats

    def is_multiple(self, value: float, tolerance: float = TOLERANCE) -> bool:
        """Return whether a value is a multiple of the step, if there is a step."""
        return _is_multiple(value, self.step, tolerance)

    def as_code(self) -> str:
        """Write the distribution as the call that makes it: ``randn(0, 1)``."""
        return _as_call("randn", self.mean, self.deviation, self.step)


def parse_number(text: str) -> Range | Normal | None:
    """Read what ``as_code`` wrote; None for any other text, and for bounds that are no range."""
    call = CALL.fullmatch(text)
    if not call:
        return None
    kind, spacing = call["kind"], call["spacing"]
    if (spacing == "near_") != (kind == "one") or (kind == "randn" and spacing):
        return None
    try:
        lower, upper, step = (float(found) if found else None for found in call.groups()[3:])
    except ValueError:
        return None
    if lower is None or upper is None or bool(call["step"]) != bool(step):
        return None
    if kind == "randn":
        return Normal(lower, upper, step) if upper > 0 else None
    return _parsed_range(lower, upper, step, kind, spacing)


def _parsed_range(
    lower: float, upper: float, step: float | None, kind: str, spacing: str | None
) -> Range | None:
    if not (math.isfinite(lower) and math.isfinite(upper) and lower < upper):
        return None
    if kind == "one":
        return Range(lower, upper, "near_one") if lower >= 0 and upper < 1 else None
    if spacing and lower <= 0:
        return None
    if kind == "randint":
        whole = None if step is None else int(step)
        return Range(int(lower), int(upper), "log" if spacing else "linear", whole, is_integer=True)
    return Range(lower, upper, "log" if spacing else "linear", step)


def _as_call(name: str, one: float, other: float, step: float | None) -> str:
    shown = [one, other, step] if step else [one, other]
    return f"{'q' if step else ''}{name}({', '.join(f'{value:g}' for value in shown)})"


def _is_multiple(value: float, step: float | None, tolerance: float) -> bool:
    return not step or math.isclose(value / step, round(value / step), abs_tol=tolerance)
