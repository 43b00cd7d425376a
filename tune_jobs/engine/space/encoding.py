"""Any search space as a flat one of simple domains, and back, so that every searcher knows it.

Ray's searchers know neither a choice between sub-spaces, nor repeated layers, nor
:func:`~tune_jobs.engine.space.domains.near_one`. A flat space of ``uniform``, ``loguniform`` and
``choice`` is known to all of them; ``decode`` turns what they suggest into the config, in
which hyperparameters of branches that were not taken are absent.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any
from urllib.parse import quote

from ray import tune
from ray.tune.search.sample import Categorical, Domain, Float, Function, Integer, Uniform

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.space.configs import Config, children
from tune_jobs.engine.space.domains import (
    NearOne,
    Space,
    describe,
    is_branching,
    is_grid,
    is_log,
    sampler_and_step,
)
from tune_jobs.engine.space.membership import place_of

# A normal number is drawn by its quantile, which leaves out this much at either end.
TAIL = 1e-9


@dataclass(frozen=True)
class Dimension:
    """One hyperparameter: the simple domain that a searcher sees, and what hangs on its value."""

    simple: Domain
    branches: tuple[dict[str, Dimension], ...] = ()


def dimensions(part: Any, label: str = "") -> dict[str, Dimension]:
    """The hyperparameters of a space by label, those of branches inside their dimension.

    Raises:
        JobError: for ``grid_search`` and ``sample_from``, which no searcher can learn about.
    """
    if is_grid(part):
        raise JobError(f"{label}: a searcher that learns cannot use a grid; leave out `searcher`")
    if isinstance(part, Domain):
        return {label: _dimension(part, label)}
    found: dict[str, Dimension] = {}
    for name, child in children(part):
        found |= dimensions(child, _join(label, name))
    return found


def flat_domains(found: dict[str, Dimension]) -> dict[str, Domain]:
    """All dimensions side by side, active or not, for a searcher without conditions."""
    flat: dict[str, Domain] = {}
    for label, dimension in found.items():
        flat[label] = dimension.simple
        for branch in dimension.branches:
            flat |= flat_domains(branch)
    return flat


def decode(part: Space, suggested: dict[str, Any], label: str = "") -> Config:
    """The config that a searcher's flat suggestion stands for."""
    decoded: Config = _decode(part, suggested, label)
    return decoded


def _decode(part: Any, suggested: dict[str, Any], label: str) -> Any:
    if isinstance(part, Categorical):
        index = _place(part, suggested[label])
        branch = part.categories[index]
        if not is_branching(part):
            return branch
        return _decode(branch, suggested, _branch_label(part, label, index))
    if isinstance(part, Domain):
        return _value(part, suggested[label])
    decoded = {
        name: _decode(child, suggested, _join(label, name)) for name, child in children(part)
    }
    if isinstance(part, dict):
        return decoded
    return list(decoded.values()) if isinstance(part, list | tuple) else part


def encode(part: Any, config: Any, label: str = "") -> dict[str, Any]:
    """The flat suggestion that stands for a config of the space, by active labels.

    It follows from the config alone: of all numbers that ``decode`` turns into the same value it
    is the middle one.
    """
    if isinstance(part, Categorical):
        index, branch = place_of(part, config)
        drawn = {label: index + 0.5 if _is_ordered(part) else index}
        if not is_branching(part):
            return drawn
        return drawn | encode(branch, config, _branch_label(part, label, index))
    if isinstance(part, Domain):
        return {label: _drawn(part, config)}
    found: dict[str, Any] = {}
    for name, child in children(part):
        found |= encode(child, config[name], _join(label, name))
    return found


def _dimension(domain: Domain, label: str) -> Dimension:
    if isinstance(domain, Function):
        raise JobError(f"{label}: sample_from works with RandomSearch only; write a domain")
    if not is_branching(domain):
        return Dimension(_simple(domain))
    branches = tuple(
        dimensions(category, _branch_label(domain, label, index))
        for index, category in enumerate(domain.categories)
    )
    return Dimension(tune.choice(list(range(len(branches)))), branches)


def _join(label: str, name: str | int) -> str:
    """A label without the slash, which Ray's searchers keep for themselves, and unambiguous."""
    quoted = quote(str(name), safe=" ").replace(".", "%2E")
    return f"{label}.{quoted}" if label else quoted


def _branch_label(domain: Categorical, label: str, index: int) -> str:
    """Repeated layers share their labels: the first layer is one thing in nets of any depth."""
    return label if is_repetition(domain) else f"{label}#{index}"


def is_repetition(domain: Categorical) -> bool:
    """Whether a choice is between lists of one sub-space, of several lengths."""
    if not all(isinstance(category, list | tuple) for category in domain.categories):
        return False
    longest = describe(max(domain.categories, key=len))
    return all(describe(category) == longest[: len(category)] for category in domain.categories)


def _simple(domain: Domain) -> Domain:
    if isinstance(domain, Categorical):
        places = len(domain.categories)
        return tune.uniform(0, places) if _is_ordered(domain) else tune.choice(list(range(places)))
    if isinstance(domain, NearOne):
        return domain.distance
    sampler, _ = sampler_and_step(domain)
    if hasattr(sampler, "sd"):
        return tune.uniform(TAIL, 1 - TAIL)
    if not isinstance(domain, Float | Integer) or (
        not isinstance(sampler, Uniform) and not is_log(domain)
    ):
        raise JobError(f"a domain of type {type(domain).__name__} works with RandomSearch only")
    lower, upper = _grid_bounds(domain)
    return tune.loguniform(lower, upper) if is_log(domain) else tune.uniform(lower, upper)


def _grid_bounds(domain: Any) -> tuple[float, float]:
    """The bounds of the number that is drawn: for stepped integers, of their place in the grid."""
    _, step = sampler_and_step(domain)
    if isinstance(domain, Integer) and step and step > 1:
        return math.ceil(domain.lower / step), math.floor(domain.upper / step) + 1
    if step and isinstance(domain, Float):
        return round(domain.lower / step) * step, math.floor(domain.upper / step + 1e-9) * step
    return domain.lower, domain.upper


def _is_ordered(domain: Categorical) -> bool:
    """Whether the options are rising numbers, so that neighbours are alike."""
    options = domain.categories
    if any(isinstance(option, bool) or not isinstance(option, int | float) for option in options):
        return False
    return all(a < b for a, b in itertools.pairwise(options))


def _place(domain: Categorical, drawn: float) -> int:
    return min(int(drawn), len(domain.categories) - 1)


def _drawn(domain: Any, value: Any) -> float:
    """A number that ``_value`` turns into the value."""
    if isinstance(domain, NearOne):
        return float(1 - value)
    sampler, step = sampler_and_step(domain)
    if isinstance(domain, Integer):
        value = value // int(step or 1) + 0.5
    if hasattr(sampler, "sd"):
        return float(min(max(NormalDist(sampler.mean, sampler.sd).cdf(value), TAIL), 1 - TAIL))
    return float(value)


def _value(domain: Any, drawn: float) -> Any:
    if isinstance(domain, NearOne):
        return min(max(1 - drawn, domain.lower), domain.upper)
    sampler, step = sampler_and_step(domain)
    if hasattr(sampler, "sd"):
        drawn = NormalDist(sampler.mean, sampler.sd).inv_cdf(drawn)
    if isinstance(domain, Integer):
        last = math.ceil(_grid_bounds(domain)[1]) - 1
        return min(math.floor(drawn), last) * int(step or 1)
    if step:
        return round(drawn / step) * step
    return float(drawn)
