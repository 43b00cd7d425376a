"""A narrower range, or fewer options, of one hyperparameter: what the best trials leave of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tune_jobs.engine.analysis.observed import Observed, name_option
from tune_jobs.engine.space.domains import Choice, Range

FEWEST_BEST = 5
LEVEL = 0.05
LEAST_MARGIN = 0.05
WORTH_IT = 0.9


@dataclass(frozen=True)
class Narrower:
    """A narrower hyperparameter.

    Attributes:
        domain: the narrower range, or the places of the options that stay.
        changes: what changes, such as ``0 .. 1 -> 0.16 .. 0.46`` or ``without 'tanh'``.
        reasons: why, one for each change.
    """

    domain: Range | tuple[int, ...]
    changes: tuple[str, ...]
    reasons: tuple[str, ...]


def is_enough(observed: Observed, best: int) -> bool:
    """Return whether enough of the best trials, and any others, have the hyperparameter.

    Args:
        observed: its values, the best configs having the lowest numbers.
        best: how many configs, of all, are best.
    """
    return FEWEST_BEST <= _count_best(observed, best) < len(observed.values)


def narrow_domain(observed: Observed, best: int) -> Narrower | None:
    """Narrow one hyperparameter; None if it stays as it is.

    Args:
        observed: its values, the best configs having the lowest numbers.
        best: how many configs, of all, are best.
    """
    if not is_enough(observed, best):
        return None
    values = [observed.values[number] for number in sorted(observed.values)]
    count = _count_best(observed, best)
    if isinstance(observed.domain, Choice):
        return _keep_options(observed.domain, values, count)
    return _narrow_range(observed.domain, values, count)


def _count_best(observed: Observed, best: int) -> int:
    return sum(number < best for number in observed.values)


def _keep_options(choice: Choice, places: Sequence[int], best: int) -> Narrower | None:
    """Drop the options that none of the best has, unless they were not tried enough."""
    total, everything = len(places), range(len(choice.options))
    kept, changes, reasons = [], [], []
    for place in everything:
        tried = places.count(place)
        is_clear = _probability_of_none(total, tried, best) <= LEVEL / len(everything)
        if place in places[:best] or not is_clear:
            kept.append(place)
            continue
        changes.append(f"without {name_option(choice, place)}")
        reasons.append(f"none of the best {best} of {total} has it, {tried} were tried")
    return Narrower(tuple(kept), tuple(changes), tuple(reasons)) if changes else None


def _probability_of_none(total: int, tried: int, best: int) -> float:
    """Return the probability that an option is not among the best if all orders are as likely."""
    return math.comb(total - tried, best) / math.comb(total, best)


def _narrow_range(searched: Range, values: Sequence[float], count: int) -> Narrower | None:
    best = values[:count]
    lower, upper = _hold(searched, min(best), max(best), count)
    width = searched.position(upper) - searched.position(lower)
    is_short_of_a_step = upper - lower < (searched.increment or 0)  # floats: 0.3 - 0.2 < 0.1
    if width > WORTH_IT * searched.span or is_short_of_a_step:
        return None
    change = f"{searched.first:.12g} .. {searched.last:.12g} -> {lower:.12g} .. {upper:.12g}"
    reason = (
        f"the best {count} of {len(values)} "
        f"lie in {searched.shown(min(best))} .. {searched.shown(max(best))}"
    )
    return Narrower(searched.between(lower, upper), (change,), (reason,))


def _hold(searched: Range, least: float, most: float, count: int) -> tuple[float, float]:
    """Return what holds the best and a margin, rounded outwards, inside the searched range."""
    low, high = searched.position(least), searched.position(most)
    margin = max((high - low) / (count - 1), LEAST_MARGIN * searched.span)
    bottom = max(low - margin, searched.position(searched.first))
    top = min(high + margin, searched.position(searched.last))
    lower = searched.floor(searched.value_at(bottom))
    upper = searched.ceil(searched.value_at(top))
    return max(min(lower, least), searched.first), min(max(upper, most), searched.last)
