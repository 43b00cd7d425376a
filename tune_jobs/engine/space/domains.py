"""Search spaces: plain dicts of domains, conditional if a choice is between sub-spaces.

A space is written with Ray's domains. Everything else works with a :class:`Range`, a
:class:`Choice` and the like, which :func:`domain_of` reads from them.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, TypeAlias

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.space.configs import children

Space = dict[str, Any]
Spacing = Literal["linear", "log", "near_one", "custom"]

# Floating point makes of a multiple something that is this far from one at most.
TOLERANCE = 1e-9


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


@dataclass(frozen=True)
class Choice:
    """One of several options: values, or sub-spaces.

    Attributes:
        options: as the space has them, so that a config gets the space's own objects.
        is_ranked: whether neighbours are alike though they are no rising numbers.
    """

    options: Sequence[Any]
    is_ranked: bool = False

    @property
    def is_ordered(self) -> bool:
        """True if neighbours are alike: rising numbers, or ranked options."""
        return self.is_ranked or self.is_rising

    @property
    def is_rising(self) -> bool:
        """True if the options are rising numbers."""
        if not all(_is_number(option) for option in self.options):
            return False
        return all(one < other for one, other in itertools.pairwise(self.options))

    def as_code(self) -> str:
        """Write the choice as the call that makes it."""
        return f"choice({list(self.options)})"


@dataclass(frozen=True)
class Grid:
    """One of the values of ``tune.grid_search``, each of which is tried.

    Attributes:
        given: what the user wrote for the values.
    """

    given: object

    @property
    def values(self) -> list[Any]:
        """The values; none if anything but a list was given."""
        return self.given if isinstance(self.given, list) else []

    def as_code(self) -> str:
        """Write the grid as the call that makes it."""
        return f"grid_search({self.given!r})"


@dataclass(frozen=True)
class Unknown:
    """A domain of which nothing is known but how to draw from it.

    Attributes:
        name: ``sample_from``, or the class of the user's own domain.
    """

    name: str

    def as_code(self) -> str:
        """Write the domain without its arguments."""
        return f"{self.name}(...)"


Domain: TypeAlias = Range | Normal | Choice | Grid | Unknown


def compose(*spaces: Space) -> Space:
    """Merge search spaces, refusing two that name the same hyperparameter."""
    merged: Space = {}
    for space in spaces:
        if shared := merged.keys() & space.keys():
            raise JobError(f"two search spaces both define {', '.join(sorted(shared))}")
        merged |= space
    return merged


def domain_of(part: object) -> Domain | None:
    """Read a part of a space as a domain; None for constants, dicts and lists."""
    if isinstance(part, Range | Normal | Choice | Grid | Unknown):
        return part
    if isinstance(part, dict):
        return Grid(part["grid_search"]) if part.keys() == {"grid_search"} else None
    if part is None or isinstance(part, str | bool | int | float | list | tuple):
        return None
    return _read_domain_of_ray(part)


def is_grid(part: object) -> bool:
    """Return whether a part of a space is Ray's ``tune.grid_search``."""
    return isinstance(domain_of(part), Grid)


def has_domain(part: object) -> bool:
    """Return whether anything is left to choose in a part of a space."""
    return domain_of(part) is not None or any(has_domain(child) for _, child in children(part))


def is_branching(choice: Choice) -> bool:
    """Return whether a choice is between sub-spaces rather than between values."""
    return any(has_domain(option) for option in choice.options)


def distinct(part: Any) -> Any:
    """Copy a space so that no two places share an object.

    Ray fills a space in place: in ``[LAYER] * 3`` the three layers would get one layer's values.
    """
    from tune_jobs.engine.space.ray_choices import make_choice

    domain = domain_of(part)
    if isinstance(domain, Choice) and is_branching(domain):
        options = [distinct(option) for option in domain.options]
        return make_choice(options, is_ranked=domain.is_ranked)
    if not children(part) or not has_domain(part):
        return part
    copies = {name: distinct(child) for name, child in children(part)}
    return copies if isinstance(part, dict) else list(copies.values())


def walk(part: object, label: str = "") -> Iterator[tuple[str, object]]:
    """Yield every part of a space with its dotted name, the options of choices included."""
    yield label, part
    domain = domain_of(part)
    if isinstance(domain, Choice | Grid):
        for option in domain.options if isinstance(domain, Choice) else domain.values:
            yield from walk(option, label)
        return
    for name, child in children(part):
        yield from walk(child, f"{label}.{name}" if label else str(name))


def _read_domain_of_ray(part: object) -> Range | Normal | Choice | Unknown | None:
    from ray.tune.search import sample  # here, since a space that was written down needs no Ray

    if isinstance(part, sample.Categorical):
        return Choice(part.categories, getattr(part, "is_ranked", False))
    if isinstance(part, sample.Float | sample.Integer):
        return _read_number(part)
    if isinstance(part, sample.Domain):
        is_function = isinstance(part, sample.Function)
        return Unknown("sample_from" if is_function else type(part).__name__)
    return None


def _read_number(domain: Any) -> Range | Normal:
    from ray.tune.search import sample

    sampler, step = domain.get_sampler(), None
    if isinstance(sampler, sample.Quantized):
        sampler, step = sampler.get_sampler(), sampler.q
    if isinstance(sampler, sample.Normal):
        return Normal(sampler.mean, sampler.sd, step)
    is_integer = isinstance(domain, sample.Integer)
    return Range(domain.lower, domain.upper, _spacing_of(domain, sampler), step, is_integer)


def _spacing_of(domain: object, sampler: object) -> Spacing:
    from ray.tune.search import sample

    from tune_jobs.engine.space.near_one import NearOne

    if isinstance(domain, NearOne):
        return "near_one"
    if isinstance(sampler, sample.LogUniform):
        return "log"
    return "linear" if isinstance(sampler, sample.Uniform) else "custom"


def _as_call(name: str, one: float, other: float, step: float | None) -> str:
    shown = [one, other, step] if step else [one, other]
    return f"{'q' if step else ''}{name}({', '.join(f'{value:g}' for value in shown)})"


def _is_multiple(value: float, step: float | None, tolerance: float) -> bool:
    return not step or math.isclose(value / step, round(value / step), abs_tol=tolerance)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
