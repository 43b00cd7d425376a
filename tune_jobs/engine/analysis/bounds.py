"""Ranges that may be too narrow: hyperparameters of which the best trials lie at a bound."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tune_jobs.engine.analysis.observed import Observed
from tune_jobs.engine.space.domains import Range

NEAR = 0.05
LEVEL = 0.05
FEWEST_CONFIGS = 3

End = Literal["lower", "upper"]
ENDS: tuple[End, ...] = ("lower", "upper")


@dataclass
class _Number:
    """A range, or the places of a choice between rising numbers, and its values.

    The same name with the same domain in several branches is one number.
    """

    name: str
    range: Range
    options: Sequence[float] | None
    labels: list[str] = field(default_factory=list)
    values: list[float] = field(default_factory=list)


def find_crowding(
    observed: Iterable[Observed], total: int, *, noise: Collection[str] = ()
) -> dict[str, tuple[str, ...]]:
    """Find the hyperparameters whose best values lie near a bound.

    Near is within 5 % of the range, on the range's scale; of few integers or steps it is the bound
    itself. The number of configs near a bound, of those in which the hyperparameter is active, is
    compared with what the domain gives by chance: there is a line if the binomial distribution
    gives that many or more a probability of at most 5 %, divided by the number of hyperparameters
    and bounds looked at (Bonferroni). Chance means configs drawn at random: a searcher that learns
    crowds its configs anywhere more easily, so leave out what
    :func:`~.importance.measure_importance` calls noise. Choices between rising numbers are looked
    at like integers; fewer than 3 configs say nothing.

    Args:
        observed: the hyperparameters, with their values in the best configs.
        total: how many configs these are.
        noise: the dotted names of hyperparameters that are not looked at.

    Returns:
        By label, a line for each bound.
    """
    known = [
        number
        for number in _numbers(observed)
        if len(number.values) >= FEWEST_CONFIGS and number.name not in noise
    ]
    found: dict[str, tuple[str, ...]] = {}
    for number in known:
        level = LEVEL / (len(ENDS) * len(known))
        lines = [_line(number, end, total, level=level) for end in ENDS]
        said = tuple(line for line in lines if line)
        found |= {label: said for label in number.labels if said}
    return found


def _numbers(observed: Iterable[Observed]) -> list[_Number]:
    found: dict[tuple[str, str], _Number] = {}
    for each in observed:
        if number := _number(each):
            same = found.setdefault((each.name, each.domain.as_code()), number)
            same.labels.append(each.label)
            same.values += each.values.values()
    return list(found.values())


def _number(observed: Observed) -> _Number | None:
    domain = observed.domain
    if isinstance(domain, Range):
        return _Number(observed.name, domain, None)
    if len(domain.options) < 2 or not domain.is_rising:
        return None
    places = Range(0, len(domain.options), is_integer=True)
    return _Number(observed.name, places, domain.options)


def _line(number: _Number, end: End, total: int, *, level: float) -> str | None:
    searched, count = number.range, len(number.values)
    limit, slack = _limit(searched, end), (searched.increment or 0) / 2
    sign = 1 if end == "lower" else -1
    near = sum(sign * (value - limit) <= slack for value in number.values)
    bound = searched.first if end == "lower" else searched.last
    value = number.options[int(bound)] if number.options else bound
    is_natural = end == "lower" and value == 0
    if is_natural or _probability(near, count, _chance(searched, end, limit)) > level:
        return None
    at = "at" if abs(limit - bound) < slack else "within 5 % of"
    name = number.name
    whose = f"best have {name}" if count == total else f"best with {name} have it"
    return f"{near} of the {count} {whose} {at} the {end} bound {value:g}: widen it"


def _limit(searched: Range, end: End) -> float:
    """Return the last value that counts as near a bound."""
    step, margin = searched.increment, NEAR * searched.span
    if end == "lower":
        limit = searched.value_at(searched.position(searched.first) + margin)
        return math.floor(limit / step + 1e-9) * step if step else limit
    limit = searched.value_at(searched.position(searched.last) - margin)
    return math.ceil(limit / step - 1e-9) * step if step else limit


def _chance(searched: Range, end: End, limit: float) -> float:
    """Return the probability that the domain gives a value near a bound.

    Integers are drawn from one end to one past the other and cut down; steps are rounded.
    """
    step = searched.increment or 0
    top = searched.last + (step if searched.is_integer else 0)
    if end == "lower":
        low, high = searched.first, limit + (step if searched.is_integer else step / 2)
    else:
        low, high = limit - (0 if searched.is_integer else step / 2), top
    width = searched.position(high) - searched.position(low)
    return min(1.0, width / (searched.position(top) - searched.position(searched.first)))


def _probability(near: int, count: int, chance: float) -> float:
    """Return the probability of that many or more near the bound, by the binomial distribution."""
    return math.fsum(
        math.comb(count, k) * chance**k * (1 - chance) ** (count - k)
        for k in range(near, count + 1)
    )
