"""Make domains of Ray, for spaces that are changed and for searchers."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from ray import tune
from ray.tune.search.sample import Domain

from tune_jobs.engine.space.configs import children
from tune_jobs.engine.space.domains import Choice, Range, domain_of, has_domain, is_branching


def distinct(part: Any) -> Any:
    """Copy a space so that no two places share an object.

    Ray fills a space in place: in ``[LAYER] * 3`` the three layers would get one layer's values.
    """
    from tune_jobs.engine.space.ray_domains import make_choice

    domain = domain_of(part)
    if isinstance(domain, Choice) and is_branching(domain):
        return make_choice([distinct(option) for option in domain.options])
    if not children(part) or not has_domain(part):
        return part
    copies = {name: distinct(child) for name, child in children(part)}
    return copies if isinstance(part, dict) else list(copies.values())


def with_bounds(domain: Domain, bounds: Range) -> Domain:
    """Copy one of Ray's domains of numbers, with other bounds."""
    changed = copy.copy(domain)
    changed.lower, changed.upper = bounds.lower, bounds.upper
    return changed


def make_choice(options: Sequence[object]) -> Domain:
    """Make Ray's choice between options."""
    return tune.choice(options)


def make_flat(domain: Range | Choice) -> Domain:
    """Make the domain of Ray that a searcher sees: ``uniform``, ``loguniform`` or ``choice``."""
    if isinstance(domain, Choice):
        return tune.choice(domain.options)
    make = tune.loguniform if domain.spacing == "log" else tune.uniform
    return make(domain.lower, domain.upper)
