"""The scale of a numeric domain: linear, logarithmic, or logarithmic in the distance from one."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ray.tune.search.sample import Domain, Float, Integer

from tune_jobs.engine.space.domains import NearOne, is_log, sampler_and_step


@dataclass(frozen=True)
class Scale:
    """Where the values of a bounded numeric domain lie.

    Attributes:
        first: the smallest value that the domain gives.
        last: the largest.
        step: what values are multiples of, None for a continuous domain.
        kind: ``linear``, ``log`` or ``near_one``.
        is_whole: whether values are integers.
    """

    first: float
    last: float
    step: float | None
    kind: str
    is_whole: bool

    @property
    def span(self) -> float:
        """The distance between the ends, on the scale."""
        return self.position(self.last) - self.position(self.first)

    def position(self, value: float) -> float:
        """The place of a value on the scale, where equal distances weigh the same."""
        if self.kind == "log":
            return math.log(value)
        return -math.log1p(-value) if self.kind == "near_one" else float(value)

    def value_at(self, position: float) -> float:
        """The value at a place of the scale."""
        if self.kind == "log":
            return math.exp(position)
        return -math.expm1(-position) if self.kind == "near_one" else position

    def floor(self, value: float) -> float:
        """The next lower value with two digits that mean something, or multiple of the step."""
        return self._rounded(value, math.floor)

    def ceil(self, value: float) -> float:
        """The next higher such value."""
        return self._rounded(value, math.ceil)

    def shown(self, value: float) -> str:
        """A value with as many digits as mean something."""
        return f"{self._rounded(value, round):.12g}"

    def _rounded(self, value: float, rounding: Callable[[float], int]) -> float:
        unit = self.step or self._unit(value)
        quotient = value / unit
        nearest = round(quotient)
        # What is a multiple but for the error of floating point stays where it is.
        whole = nearest if abs(quotient - nearest) < 1e-6 else rounding(quotient)
        return whole * unit if self.is_whole else float(f"{whole * unit:.12g}")

    def _unit(self, value: float) -> float:
        size = {"log": value, "near_one": 1 - value}.get(self.kind, self.last - self.first)
        return float(10.0 ** (math.floor(math.log10(size)) - (2 if self.kind == "linear" else 1)))


def scale_of(domain: Domain) -> Scale | None:
    """The scale of a domain; None where it has no bounds or is not of numbers."""
    if not isinstance(domain, Float | Integer):
        return None
    sampler, step = sampler_and_step(domain)
    if hasattr(sampler, "sd"):
        return None
    kind = "near_one" if isinstance(domain, NearOne) else "log" if is_log(domain) else "linear"
    if isinstance(domain, Float):
        last = math.floor(domain.upper / step + 1e-9) * step if step else domain.upper
        return Scale(domain.lower, last, step, kind, is_whole=False)
    step = int(step or 1)
    last = domain.upper // step * step if step > 1 else domain.upper - 1
    return Scale(math.ceil(domain.lower / step) * step, last, step, kind, is_whole=True)
