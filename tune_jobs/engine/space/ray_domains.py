"""Make domains of Ray, for spaces that are changed and for searchers."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from ray import tune
from ray.tune.search.sample import Categorical, Domain

from tune_jobs.engine.space.domains import Choice, Range


class Ranked(Categorical):  # type: ignore[misc]  # Ray's are untyped
    """Ray's choice between options of which neighbours are alike, such as sizes by name."""

    is_ranked = True


def with_bounds(domain: Domain, bounds: Range) -> Domain:
    """Copy one of Ray's domains of numbers, with other bounds."""
    changed = copy.copy(domain)
    changed.lower, changed.upper = bounds.lower, bounds.upper
    return changed


def make_choice(options: Sequence[object], *, is_ranked: bool = False) -> Domain:
    """Make Ray's choice between options, or a :class:`Ranked` one."""
    return Ranked(options).uniform() if is_ranked else tune.choice(options)


def make_flat(domain: Range | Choice) -> Domain:
    """Make the domain of Ray that a searcher sees: ``uniform``, ``loguniform`` or ``choice``."""
    if isinstance(domain, Choice):
        return tune.choice(domain.options)
    make = tune.loguniform if domain.spacing == "log" else tune.uniform
    return make(domain.lower, domain.upper)
