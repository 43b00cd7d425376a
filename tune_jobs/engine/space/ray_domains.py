"""Make domains of Ray, for spaces that are changed and for searchers."""

from __future__ import annotations

import copy

from ray import tune
from ray.tune.search.sample import Domain

from tune_jobs.engine.space.domains import Choice, Range


def with_bounds(domain: Domain, bounds: Range) -> Domain:
    """Copy one of Ray's domains of numbers, with other bounds."""
    changed = copy.copy(domain)
    changed.lower, changed.upper = bounds.lower, bounds.upper
    return changed


def make_flat(domain: Range | Choice) -> Domain:
    """Make the domain of Ray that a searcher sees: ``uniform``, ``loguniform`` or ``choice``."""
    if isinstance(domain, Choice):
        return tune.choice(domain.options)
    make = tune.loguniform if domain.spacing == "log" else tune.uniform
    return make(domain.lower, domain.upper)
