"""A narrower space: what the best configs of a search leave of its space, and the evidence."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ray import tune
from ray.tune.search.sample import Categorical, Domain, Float, Integer

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.space.configs import Config, children
from tune_jobs.engine.space.domains import Space, has_domain, is_branching, is_grid
from tune_jobs.engine.space.encoding import is_repetition
from tune_jobs.engine.space.membership import place_of
from tune_jobs.engine.space.scale import Scale, scale_of

FEWEST_BEST, FEWEST_RANKED = 5, 10
LEVEL = 0.05
LEAST_MARGIN = 0.05
WORTH_IT = 0.9


@dataclass(frozen=True)
class _Evidence:
    """The values of a part of the space: all of them, the best first, and how many are best."""

    values: list[Any]
    best: int

    @property
    def is_enough(self) -> bool:
        return FEWEST_BEST <= self.best < len(self.values)

    def of(self, name: str | int) -> _Evidence:
        """Of a child of the part."""
        return replace(self, values=[value[name] for value in self.values])

    def at(self, wanted: list[bool]) -> _Evidence:
        """Of the wanted trials only."""
        kept = [value for value, is_wanted in zip(self.values, wanted, strict=True) if is_wanted]
        return _Evidence(kept, sum(wanted[: self.best]))


def narrow(space: Space, ranked: Sequence[Config], *, keep: float) -> tuple[Space, list[str]]:
    """The space that the best configs leave, each of them in it, and a line of evidence a change.

    A range shrinks to what holds the best, widened on either side, on its own scale, by what
    their extent is expected to fall short of the interval that they come from if they are spread
    evenly, and by 5 % of the range at least; a range that would lose less than a tenth stays. A
    choice loses an option that none of the best has, where so many trials had it that the
    hypergeometric distribution gives that a probability of at most 5 %, divided by the number of
    options. Inside a branch the trials that took it count; with fewer than 5 best among them, or
    none but best, it stays as it is. Grids, constants and domains without bounds stay too. The
    probabilities are those of a random search.

    Args:
        space: what was searched.
        ranked: the configs of the finished trials, the best first.
        keep: the share of them that counts as best; at least 5 do.

    Raises:
        JobError: for a share not above 0 and at most 1, or fewer than 10 configs.
        NotInSpaceError: for a config that comes from another space.
    """
    if not 0 < keep <= 1:
        raise JobError(f"keep is {keep}, but must be a share above 0 and at most 1")
    if len(ranked) < FEWEST_RANKED:
        raise JobError(
            f"{len(ranked)} finished trials do not show where the best lie; "
            f"a space is narrowed after {FEWEST_RANKED} or more"
        )
    best = max(FEWEST_BEST, math.ceil(keep * len(ranked) - 1e-9))
    lines: list[str] = []
    narrower = _narrow(space, _Evidence(list(ranked), best), "", lines)
    return narrower, lines


def _narrow(part: Any, evidence: _Evidence, label: str, lines: list[str]) -> Any:
    if is_grid(part) or not has_domain(part):
        return part
    if isinstance(part, Categorical):
        return _narrow_choice(part, evidence, label, lines)
    if isinstance(part, Float | Integer):
        return _narrow_number(part, evidence, label, lines)
    if isinstance(part, Domain):
        return copy.copy(part)
    narrower = {
        name: _narrow(child, evidence.of(name), f"{label}.{name}" if label else str(name), lines)
        for name, child in children(part)
    }
    return narrower if isinstance(part, dict) else list(narrower.values())


def _narrow_choice(
    part: Categorical, evidence: _Evidence, label: str, lines: list[str]
) -> Categorical:
    places = [place_of(part, value)[0] for value in evidence.values]
    kept = _kept_places(part, replace(evidence, values=places), label, lines)
    if not is_branching(part):
        return tune.choice([part.categories[place] for place in kept])
    if is_repetition(part):
        lengths = [len(part.categories[place]) for place in kept]
        return tune.choice(_narrow_layers(part, lengths, evidence, label, lines))
    return tune.choice(
        [
            _narrow(part.categories[place], evidence.at([p == place for p in places]), label, lines)
            for place in kept
        ]
    )


def _narrow_layers(
    part: Categorical, lengths: list[int], evidence: _Evidence, label: str, lines: list[str]
) -> list[list[Any]]:
    """Lists of every length, in which a layer is narrowed by all trials that have it."""
    layers = []
    for index, layer in enumerate(max(part.categories, key=len)[: max(lengths)]):
        having = evidence.at([len(value) > index for value in evidence.values])
        layers.append(_narrow(layer, having.of(index), f"{label}.{index}", lines))
    return [[_fresh(layer) for layer in layers[:length]] for length in lengths]


def _fresh(part: Any) -> Any:
    """A copy with domains of its own: without evidence nothing is narrowed."""
    return _narrow(part, _Evidence([], 0), "", [])


def _kept_places(part: Categorical, places: _Evidence, label: str, lines: list[str]) -> list[int]:
    """The options that stay: those of the best, and those that were not tried enough."""
    everything = list(range(len(part.categories)))
    if not places.is_enough:
        return everything
    total = len(places.values)
    kept = []
    for place in everything:
        tried = places.values.count(place)
        is_clear = _probability_of_none(total, tried, places.best) <= LEVEL / len(everything)
        if place not in places.values[: places.best] and is_clear:
            lines.append(
                f"{label} without {_name(part, place)}: none of the best {places.best} of {total} "
                f"has it, {tried} were tried"
            )
        else:
            kept.append(place)
    return kept


def _probability_of_none(total: int, tried: int, best: int) -> float:
    """That an option has no place among the best if all orders are equally likely."""
    return math.comb(total - tried, best) / math.comb(total, best)


def _name(part: Categorical, place: int) -> str:
    """An option as one would call it: a branch by its constants, or by its number."""
    option = part.categories[place]
    if not is_branching(part):
        return repr(option)
    if isinstance(option, dict):
        texts = [value for value in option.values() if isinstance(value, str)]
        return repr(texts[0]) if texts else f"branch {place}"
    return f"length {len(option)}" if isinstance(option, list | tuple) else repr(option)


def _narrow_number(
    part: Float | Integer, evidence: _Evidence, label: str, lines: list[str]
) -> Float | Integer:
    narrower = copy.deepcopy(part)
    scale = scale_of(part)
    if scale is None or not evidence.is_enough:
        return narrower
    best = evidence.values[: evidence.best]
    lower, upper = _range_of(scale, min(best), max(best), len(best))
    width = scale.position(upper) - scale.position(lower)
    is_short_of_a_step = upper - lower < (scale.step or 0)  # by floating point: 0.3 - 0.2 < 0.1
    if width > WORTH_IT * scale.span or is_short_of_a_step:
        return narrower
    _set_bounds(narrower, scale, lower, upper)
    lines.append(
        f"{label} {scale.first:.12g} .. {scale.last:.12g} -> {lower:.12g} .. {upper:.12g}: "
        f"the best {len(best)} of {len(evidence.values)} "
        f"lie in {scale.shown(min(best))} .. {scale.shown(max(best))}"
    )
    return narrower


def _range_of(scale: Scale, least: float, most: float, count: int) -> tuple[float, float]:
    """What holds the best and a margin, rounded outwards, inside the old range."""
    low, high = scale.position(least), scale.position(most)
    margin = max((high - low) / (count - 1), LEAST_MARGIN * scale.span)
    bottom = max(low - margin, scale.position(scale.first))
    top = min(high + margin, scale.position(scale.last))
    lower, upper = scale.floor(scale.value_at(bottom)), scale.ceil(scale.value_at(top))
    return max(min(lower, least), scale.first), min(max(upper, most), scale.last)


def _set_bounds(domain: Float | Integer, scale: Scale, lower: float, upper: float) -> None:
    """Ray's integers without a step end before their upper bound."""
    if not scale.is_whole:
        domain.lower, domain.upper = lower, upper
        return
    is_open = scale.step == 1
    domain.lower, domain.upper = int(lower), int(upper) + is_open
