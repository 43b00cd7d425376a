"""Neighbours of a config: the same but for one hyperparameter, a little more or less of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.space.configs import Config, children
from tune_jobs.engine.space.domains import Choice, Grid, Range, Space, domain_of, has_domain
from tune_jobs.engine.space.encoding import decode, dimensions, encode, flat_domains
from tune_jobs.engine.space.membership import identity
from tune_jobs.engine.space.ray_choices import make_choice
from tune_jobs.engine.space.ray_domains import make_flat

# How far a number moves, as a share of its range on the range's scale.
NEAREST, FARTHEST = 0.03, 0.15
MOST_DRAWS = 20  # per neighbour: of few hyperparameters the same ones come again


def neighbours(space: Space, config: Config, count: int, seed: int) -> list[Config]:
    """Return configs of the space that differ from one of them in one hyperparameter each.

    The active hyperparameters are changed in a random order. A number moves by 3 to 15 % of its
    range, on the range's scale; a choice takes another option, whose hyperparameters are drawn at
    random.

    Args:
        space: without grids.
        config: of the space.
        count: how many at most; fewer if the space has no more.
        seed: of everything that is drawn.
    """
    draw = np.random.default_rng(seed)
    try:
        domains, own = flat_domains(dimensions(space)), encode(space, config)
    except JobError:  # nothing is known of one of the domains
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
    domains: dict[str, Range | Choice],
    draw: np.random.Generator,
) -> Config | None:
    """Return a neighbour of the config that a flat suggestion stands for, or None.

    A step that a coarse domain rounds to nothing is doubled.
    """
    here = identity(decode(space, base))
    for times in (1, 2, 4, 8, 16):
        moved = {label: _move(domains[label], base[label], times, draw)}
        neighbour = decode(space, base | moved)
        if identity(neighbour) != here:
            return neighbour
    return None


def _graft(config: Any, decoded: Any, moved: Any) -> Any:
    """Return a config with what has moved, the rest to the last bit: decoding may round."""
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
    """Turn each grid of a space into a choice, so that a few of its points can be tried."""
    return {name: _as_choices(part) for name, part in space.items()}


def _as_choices(part: Any) -> Any:
    domain = domain_of(part)
    if isinstance(domain, Grid):
        return make_choice(domain.values)
    if domain is not None or not has_domain(part):
        return part
    named = {name: _as_choices(child) for name, child in children(part)}
    return named if isinstance(part, dict) else list(named.values())


def _move(domain: Range | Choice, value: Any, times: int, draw: np.random.Generator) -> Any:
    """Return another value of a domain as searchers see it, some steps from the present one."""
    if isinstance(domain, Choice):
        others = [option for option in domain.options if option != value]
        return others[draw.integers(len(others))] if others else value
    step = times * draw.uniform(NEAREST, FARTHEST) * domain.span * draw.choice([-1, 1])
    place = domain.position(value)
    if not domain.position(domain.first) <= place + step <= domain.position(domain.last):
        step = -step
    return domain.clip(domain.value_at(place + step))


def _sample(domain: Range | Choice, draw: np.random.Generator) -> Any:
    return make_flat(domain).sample(random_state=int(draw.integers(2**31)))
