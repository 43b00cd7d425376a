"""A narrower space: what a later stage of a search searches."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from tune_jobs.engine.analysis.advice import FEWEST_RANKED, advise
from tune_jobs.engine.analysis.narrow_domain import Narrower
from tune_jobs.engine.errors import JobError
from tune_jobs.engine.space.configs import Config, children
from tune_jobs.engine.space.domains import Choice, Grid, Range, Space, domain_of, has_domain
from tune_jobs.engine.space.encoding import branch_label, label_of
from tune_jobs.engine.space.ray_choices import make_choice
from tune_jobs.engine.space.ray_domains import with_bounds


def narrow(space: Space, ranked: Sequence[Config], *, keep: float) -> tuple[Space, list[str]]:
    """Narrow a space to where the best configs lie, each of them in it, and say why.

    What is left is said by :func:`~.advice.advise`, whether or not a hyperparameter matters. Grids,
    constants and domains without bounds stay.

    Args:
        space: what was searched.
        ranked: the configs of the finished trials, the best first.
        keep: the share of them that counts as best; at least 5 do.

    Returns:
        The narrower space, which shares no domain with the old one, and a line for each change.

    Raises:
        JobError: for a share not above 0 and at most 1, or fewer than 10 configs.
        NotInSpaceError: for a config that comes from another space.
    """
    if not 0 < keep <= 1:
        raise JobError(f"keep must be a share above 0 and at most 1, got {keep}")
    if len(ranked) < FEWEST_RANKED:
        raise JobError(
            f"{len(ranked)} finished trials do not show where the best lie; "
            f"a space is narrowed after {FEWEST_RANKED} or more"
        )
    advice = advise(space, ranked, keep=keep)
    found = {each.label: each.narrower for each in advice if each.narrower}
    return _narrow(space, found, ""), [line for each in advice for line in each.changes]


def _narrow(part: Any, found: Mapping[str, Narrower], label: str) -> Any:
    domain, here = domain_of(part), found.get(label)
    if isinstance(domain, Grid) or not has_domain(part):
        return part
    if isinstance(domain, Choice):
        return _narrow_choice(domain, found, label)
    if domain is not None:
        bounds = here.domain if here else None
        return with_bounds(part, bounds) if isinstance(bounds, Range) else copy.copy(part)
    inner = {name: _narrow(child, found, label_of(label, name)) for name, child in children(part)}
    return inner if isinstance(part, dict) else list(inner.values())


def _narrow_choice(choice: Choice, found: Mapping[str, Narrower], label: str) -> Any:
    here = found.get(label)
    kept = here.domain if here and isinstance(here.domain, tuple) else range(len(choice.options))
    options = [
        _narrow(choice.options[place], found, branch_label(choice, label, place)) for place in kept
    ]
    return make_choice(options, is_ranked=choice.is_ranked)
