"""Any search space as a flat one of simple domains, and back, so that every searcher knows it.

Ray's searchers know neither a choice between sub-spaces, nor repeated layers, nor
:func:`~tune_jobs.engine.space.near_one.near_one`. A flat space of ``uniform``, ``loguniform``
and ``choice`` is known to all of them; ``decode`` turns what they suggest into the config, in
which hyperparameters of branches that were not taken are absent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any
from urllib.parse import quote

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.space.configs import Config, children
from tune_jobs.engine.space.domains import (
    Choice,
    Domain,
    Grid,
    Normal,
    Range,
    Space,
    Unknown,
    domain_of,
    is_branching,
)
from tune_jobs.engine.space.membership import place_of
from tune_jobs.engine.space.notation import describe

# A normal number is drawn by its quantile, which leaves out this much at either end.
TAIL = 1e-9

# A range with more values than this is continuous to searchers.
MOST_NUMBERS = 100_000


@dataclass(frozen=True)
class Dimension:
    """One hyperparameter as a searcher sees it.

    Attributes:
        simple: a continuous range without a step, or a choice between places.
        branches: for each option of a choice between sub-spaces, the dimensions of the option.
        numbers: of a range with few values, the number that stands for each, rising.
        is_ordered: whether neighbours are alike: numbers, ranked options, and networks of
            rising depth.
    """

    simple: Range | Choice
    branches: tuple[dict[str, Dimension], ...] = ()
    numbers: tuple[float, ...] | None = None
    is_ordered: bool = True


def dimensions(part: object, label: str = "") -> dict[str, Dimension]:
    """Return the hyperparameters of a space by label, those of branches inside their dimension.

    Raises:
        JobError: for ``grid_search`` and ``sample_from``, which no searcher can learn about.
    """
    if domain := domain_of(part):
        return {label: _dimension(domain, label)}
    found: dict[str, Dimension] = {}
    for name, child in children(part):
        found |= dimensions(child, label_of(label, name))
    return found


def can_be_learnt(space: Space) -> bool:
    """Return whether a searcher can learn about a space: it has choices, all of a known kind."""
    try:
        return bool(dimensions(space))
    except JobError:
        return False


def flat_domains(found: Mapping[str, Dimension]) -> dict[str, Range | Choice]:
    """Return all dimensions side by side, active or not, for a searcher without conditions."""
    flat: dict[str, Range | Choice] = {}
    for label, dimension in found.items():
        flat[label] = dimension.simple
        for branch in dimension.branches:
            flat |= flat_domains(branch)
    return flat


@dataclass(frozen=True)
class Suggestion:
    """A searcher's suggestion, read.

    Attributes:
        config: what is trained.
        flat: the flat suggestion that stands for the config, by active labels.
    """

    config: Config
    flat: Mapping[str, float]


def read_suggestion(space: Space, suggested: Mapping[str, Any]) -> Suggestion:
    """Return the config that a searcher's flat suggestion stands for, and what stands for that.

    A searcher that learns the latter knows the same after its search was continued: the history has
    configs only.
    """
    config = decode(space, suggested)
    return Suggestion(config, encode(space, config))


def decode(part: Space, suggested: Mapping[str, Any], label: str = "") -> Config:
    """Return the config that a searcher's flat suggestion stands for."""
    decoded: Config = _decode(part, suggested, label)
    return decoded


def _decode(part: object, suggested: Mapping[str, Any], label: str) -> Any:
    match domain_of(part):
        case Choice() as choice:
            place = min(int(suggested[label]), len(choice.options) - 1)
            option = choice.options[place]
            if not is_branching(choice):
                return option
            return _decode(option, suggested, branch_label(choice, label, place))
        case Range() | Normal() as number:
            return _value(number, suggested[label])
    decoded = {
        name: _decode(child, suggested, label_of(label, name)) for name, child in children(part)
    }
    if isinstance(part, dict):
        return decoded
    return list(decoded.values()) if isinstance(part, list | tuple) else part


def encode(part: object, config: Any, label: str = "") -> dict[str, float]:
    """Return the flat suggestion that stands for a config of the space, by active labels.

    It follows from the config alone: of all numbers that ``decode`` turns into the same value it
    is the middle one.
    """
    match domain_of(part):
        case Choice() as choice:
            place, option = place_of(choice, config)
            if not is_branching(choice):
                return {label: place + 0.5 if choice.is_ordered else place}
            return {label: place} | encode(option, config, branch_label(choice, label, place))
        case Range() | Normal() as number:
            return {label: _drawn(number, config)}
    found: dict[str, float] = {}
    for name, child in children(part):
        found |= encode(child, config[name], label_of(label, name))
    return found


def label_of(label: str, name: str | int) -> str:
    """Return a child's label: unambiguous, and without the slash, which Ray's searchers reserve."""
    quoted = quote(str(name), safe=" ").replace(".", "%2E")
    return f"{label}.{quoted}" if label else quoted


def is_repetition(choice: Choice) -> bool:
    """Return whether a choice is between lists of one sub-space, of several lengths."""
    if not all(isinstance(option, list | tuple) for option in choice.options):
        return False
    longest = describe(max(choice.options, key=len))
    return all(describe(option) == longest[: len(option)] for option in choice.options)


def branch_label(choice: Choice, label: str, place: int) -> str:
    """Return the label of an option; repeated layers share theirs in nets of any depth."""
    return label if is_repetition(choice) else f"{label}#{place}"


def _dimension(domain: Domain, label: str) -> Dimension:
    match domain:
        case Grid():
            raise JobError(
                f"{label}: a searcher that learns cannot use a grid; leave out `searcher`"
            )
        case Unknown("sample_from"):
            raise JobError(f"{label}: sample_from works with RandomSearch only; write a domain")
        case Unknown(name):
            raise JobError(f"{label}: a domain of type {name} works with RandomSearch only")
        case Range(spacing="custom"):
            raise JobError(f"{label}: a custom sampler works with RandomSearch only")
        case Choice() as choice:
            return _choice_dimension(choice, label)
        case Normal():
            return Dimension(Range(TAIL, 1 - TAIL))
        case Range() as found:
            return Dimension(_flat_range(found), numbers=_numbers(found))


def _choice_dimension(choice: Choice, label: str) -> Dimension:
    places = range(len(choice.options))
    if is_branching(choice):
        branches = [
            dimensions(option, branch_label(choice, label, place))
            for place, option in enumerate(choice.options)
        ]
        is_ordered = choice.is_ranked or is_repetition(choice)
        return Dimension(Choice(list(places)), tuple(branches), is_ordered=is_ordered)
    if choice.is_ordered:
        return Dimension(Range(0, len(places)), numbers=tuple(place + 0.5 for place in places))
    return Dimension(Choice(list(places)), is_ordered=False)


def _numbers(found: Range) -> tuple[float, ...] | None:
    """Return the number that stands for each value of a range that has few."""
    values = found.values()
    if values is None or len(values) > MOST_NUMBERS:
        return None
    return tuple(_drawn(found, value) for value in values)


def _flat_range(found: Range) -> Range:
    """Return the range of the number that is drawn: for stepped integers, of their place."""
    step = found.step
    if found.spacing == "near_one":
        return Range(1 - found.upper, 1 - found.lower, "log")
    if found.is_integer and step and step > 1:
        places = math.ceil(found.lower / step), math.floor(found.upper / step) + 1
        return Range(*places, found.spacing)
    if step and not found.is_integer:
        return Range(round(found.lower / step) * step, found.last, found.spacing)
    return Range(found.lower, found.upper, found.spacing)


def _drawn(number: Range | Normal, value: Any) -> float:
    """Return a number that ``_value`` turns into the value."""
    if isinstance(number, Normal):
        distribution = NormalDist(number.mean, number.deviation)
        return float(min(max(distribution.cdf(value), TAIL), 1 - TAIL))
    if number.spacing == "near_one":
        return float(1 - value)
    return float(value // int(number.step or 1) + 0.5) if number.is_integer else float(value)


def _value(number: Range | Normal, drawn: float) -> float:
    if isinstance(number, Normal):
        drawn = NormalDist(number.mean, number.deviation).inv_cdf(drawn)
    elif number.spacing == "near_one":
        return min(max(1 - drawn, number.lower), number.upper)
    elif number.is_integer:
        last = math.ceil(_flat_range(number).upper) - 1
        return min(math.floor(drawn), last) * int(number.step or 1)
    return round(drawn / number.step) * number.step if number.step else float(drawn)
