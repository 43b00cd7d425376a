"""Ranges that may be too narrow: hyperparameters of which the best trials lie at a bound."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ray.tune.search.sample import Categorical, Domain

from tune_jobs.engine.space.configs import Config, children
from tune_jobs.engine.space.domains import Space, as_code, is_branching, is_grid
from tune_jobs.engine.space.membership import place_of
from tune_jobs.engine.space.scale import Scale, scale_of

NEAR = 0.05
LEVEL = 0.05
FEWEST_CONFIGS = 3

End = Literal["lower", "upper"]


@dataclass
class _Seen:
    """A hyperparameter's scale, the numbers of its choice if it is one, and its values."""

    label: str
    scale: Scale
    options: list[float] | None
    values: list[float] = field(default_factory=list)


def find_edges(
    space: Space, configs: Sequence[Config], *, noise: Collection[str] = ()
) -> list[str]:
    """Say of which hyperparameters the best trials lie near a bound, a line each.

    Near is within 5 % of the range, on the domain's own scale; of few integers or steps that is
    the bound itself. How many of the configs in which a hyperparameter is active lie there is
    compared with what the domain gives by chance: a line is written where the binomial
    distribution gives so many a probability of at most 5 %, divided by the number of
    hyperparameters and bounds looked at (Bonferroni). Chance means configs drawn at random: a
    searcher that learns crowds its configs anywhere more easily, so leave out what
    :func:`~.importance.measure_importance` calls noise. Choices between rising
    numbers are looked at like integers; fewer than 3 configs say nothing.

    Args:
        space: the job's.
        configs: those of the best trials, the best first.
        noise: the dotted names of hyperparameters that are not looked at.

    Raises:
        NotInSpaceError: for a config that comes from another space.
    """
    seen: dict[tuple[str, str], _Seen] = {}
    for config in configs:
        for label, domain, value in _numbers(space, config, ""):
            found = seen.setdefault((label, as_code(domain)), _start(label, domain))
            found.values.append(found.options.index(value) if found.options else value)
    known = [
        one for one in seen.values() if len(one.values) >= FEWEST_CONFIGS and one.label not in noise
    ]
    ends: tuple[End, ...] = ("lower", "upper")
    lines = (
        _line(one, end, len(configs), level=LEVEL / (2 * len(known)))
        for one in known
        for end in ends
    )
    return [line for line in lines if line]


def _numbers(part: Any, config: Any, label: str) -> Iterator[tuple[str, Domain, Any]]:
    """The active domains of numbers, each with its dotted label and its value."""
    if is_grid(part):
        return
    if isinstance(part, Categorical):
        _, option = place_of(part, config)
        if is_branching(part):
            yield from _numbers(option, config, label)
        elif _rises(part.categories):
            yield label, part, option
    elif isinstance(part, Domain):
        if scale_of(part):
            yield label, part, config
    else:
        for name, child in children(part):
            yield from _numbers(child, config[name], f"{label}.{name}" if label else str(name))


def _rises(options: Sequence[Any]) -> bool:
    if any(isinstance(option, bool) or not isinstance(option, int | float) for option in options):
        return False
    return len(options) > 1 and all(a < b for a, b in itertools.pairwise(options))


def _start(label: str, domain: Domain) -> _Seen:
    if isinstance(domain, Categorical):
        places = Scale(0, len(domain.categories) - 1, 1, "linear", is_whole=True)
        return _Seen(label, places, list(domain.categories))
    scale = scale_of(domain)
    assert scale is not None
    return _Seen(label, scale, None)


def _line(seen: _Seen, end: End, total: int, *, level: float) -> str | None:
    limit = _limit(seen.scale, end)
    slack = (seen.scale.step or 0) / 2
    sign = 1 if end == "lower" else -1
    near = sum(sign * (value - limit) <= slack for value in seen.values)
    count = len(seen.values)
    if _probability(near, count, _chance(seen.scale, end, limit)) > level:
        return None
    bound = seen.scale.first if end == "lower" else seen.scale.last
    at = "at" if abs(limit - bound) < slack else "within 5 % of"
    shown = f"{seen.options[int(bound)] if seen.options else bound:g}"
    whose = f"best have {seen.label}" if count == total else f"best with {seen.label} have it"
    return f"{near} of the {count} {whose} {at} the {end} bound {shown}: widen it"


def _limit(scale: Scale, end: End) -> float:
    """The last value that counts as near a bound."""
    if end == "lower":
        limit = scale.value_at(scale.position(scale.first) + NEAR * scale.span)
        return math.floor(limit / scale.step + 1e-9) * scale.step if scale.step else limit
    limit = scale.value_at(scale.position(scale.last) - NEAR * scale.span)
    return math.ceil(limit / scale.step - 1e-9) * scale.step if scale.step else limit


def _chance(scale: Scale, end: End, limit: float) -> float:
    """The probability that the domain gives a value near a bound.

    Integers are drawn from one end to one past the other and cut down; steps are rounded.
    """
    step = scale.step or 0
    top = scale.last + (step if scale.is_whole else 0)
    if end == "lower":
        part = scale.first, limit + (step if scale.is_whole else step / 2)
    else:
        part = limit - (0 if scale.is_whole else step / 2), top
    width = scale.position(part[1]) - scale.position(part[0])
    return min(1.0, width / (scale.position(top) - scale.position(scale.first)))


def _probability(near: int, count: int, chance: float) -> float:
    """Of at least so many near the bound, by the binomial distribution."""
    return math.fsum(
        math.comb(count, k) * chance**k * (1 - chance) ** (count - k)
        for k in range(near, count + 1)
    )
