"""Neighbours of a config: the same but for one hyperparameter, a little more or less of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from ray import tune
from ray.tune.search.sample import Categorical, Domain

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.space.configs import Config, children
from tune_jobs.engine.space.domains import Space, has_domain, is_grid
from tune_jobs.engine.space.encoding import decode, dimensions, encode, flat_domains
from tune_jobs.engine.space.membership import identity
from tune_jobs.engine.space.scale import scale_of

# How far a number moves, as a part of its range on its own scale.
NEAREST, FARTHEST = 0.03, 0.15
MOST_DRAWS = 20  # for each neighbour: of few hyperparameters the same ones come again


def neighbours(space: Space, config: Config, count: int, seed: int) -> list[Config]:
    """Configs of the space that differ from one of them in one hyperparameter each.

    They go through its active hyperparameters in a random order. A number moves by 3 to 15 % of its
    range, on its own scale; a choice is made otherwise, and what hangs on it is drawn at random.

    Args:
        space: without grids.
        config: of the space.
        count: how many at most; fewer where there are no more.
        seed: of all that is drawn.
    """
    draw = np.random.default_rng(seed)
    try:
        domains, own = flat_domains(dimensions(space)), encode(space, config)
    except JobError:  # a domain of which nothing is known
        return []
    found: dict[str, Config] = {}
    labels: list[str] = []
    for _ in range(MOST_DRAWS * count if own else 0):
        if len(found) == count:
            break
        labels = labels or list(draw.permutation(sorted(own)))
        base = {name: _sample(domain, draw) for name, domain in domains.items()} | own
        moved = _next_to(space, base, labels.pop(), domains, draw)
        if moved is not None:
            neighbour = _graft(config, decode(space, base), moved)
            found.setdefault(identity(neighbour), neighbour)
    return list(found.values())


def _next_to(
    space: Space,
    base: dict[str, Any],
    label: str,
    domains: dict[str, Domain],
    draw: np.random.Generator,
) -> Config | None:
    """A neighbour of what a flat suggestion stands for; None where one hyperparameter has none.

    Where a domain is so coarse that a step comes to nothing, it is doubled.
    """
    here = identity(decode(space, base))
    for times in (1, 2, 4, 8, 16):
        moved = {label: _move(domains[label], base[label], times, draw)}
        neighbour = decode(space, base | moved)
        if identity(neighbour) != here:
            return neighbour
    return None


def _graft(config: Any, decoded: Any, moved: Any) -> Any:
    """What has moved in a config, the rest of it to the last bit: decoding may round."""
    if identity(decoded) == identity(moved):
        return config
    if isinstance(moved, dict) and isinstance(decoded, dict):
        return {
            name: _graft(config[name], decoded[name], child) if name in decoded else child
            for name, child in moved.items()
        }
    if isinstance(moved, list) and isinstance(decoded, list):
        both = zip(config, decoded, moved, strict=False)
        return [_graft(*each) for each in both] + moved[len(decoded) :]
    return moved


def as_choices(space: Space) -> Space:
    """The space with each grid as a choice, so that a few of its points can be tried."""
    return {name: _as_choices(part) for name, part in space.items()}


def _as_choices(part: Any) -> Any:
    if is_grid(part):
        return tune.choice(part["grid_search"])
    if isinstance(part, Domain) or not (_has_grid(part) or has_domain(part)):
        return part
    named = {name: _as_choices(child) for name, child in children(part)}
    return named if isinstance(part, dict) else list(named.values())


def _has_grid(part: Any) -> bool:
    return is_grid(part) or any(_has_grid(child) for _, child in children(part))


def _move(domain: Domain, value: Any, times: int, draw: np.random.Generator) -> Any:
    """Another value of a domain as searchers see it, some steps from the one that there is."""
    if isinstance(domain, Categorical):
        others = [option for option in domain.categories if option != value]
        return others[draw.integers(len(others))] if others else value
    scale = scale_of(domain)
    if scale is None:
        return value
    step = times * draw.uniform(NEAREST, FARTHEST) * scale.span * draw.choice([-1, 1])
    place, low, high = scale.position(value), *map(scale.position, (scale.first, scale.last))
    if not low <= place + step <= high:
        step = -step
    return min(max(scale.value_at(place + step), scale.first), scale.last)


def _sample(domain: Domain, draw: np.random.Generator) -> Any:
    return domain.sample(random_state=int(draw.integers(2**31)))
