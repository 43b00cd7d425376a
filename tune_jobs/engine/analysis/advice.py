"""Advice on where to search next: one answer, for stages, for the summary and for the report.

Each hyperparameter is looked at twice, by the trials ranked from best to worst:

* Narrower (:mod:`~.narrow_domain`). A range shrinks to the best values plus a margin on either
  side, on the range's scale. The margin is the expected difference between the extent of the best
  values and the interval that they come from, if they are spread evenly, and at least 5 % of the
  range. A range that would lose less than a tenth stays. A choice loses an option that none of
  the best has, if so many trials had it that the hypergeometric distribution gives this a
  probability of at most 5 %, divided by the number of options. Inside a branch only the trials
  that took it count; with fewer than 5 best among them, or only best ones, it stays.
* Wider (:mod:`~tune_jobs.engine.analysis.bounds`). If the best crowd at a bound, the best value may
  lie outside, and the range should be widened.

Both may be true: the best lie in the upper third, and some of them at the upper bound. The
probabilities are those of a random search.

A stage narrows whether or not a hyperparameter matters, since it has to be smaller than the stage
before. The recommendation to a reader is more careful: narrow only if the effect is significant
(:mod:`~tune_jobs.engine.analysis.importance`), and widen only if it is not called noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tune_jobs.engine.analysis.bounds import find_crowding
from tune_jobs.engine.analysis.narrow_domain import FEWEST_BEST, Narrower, is_enough, narrow_domain
from tune_jobs.engine.analysis.observed import Observed, observe
from tune_jobs.engine.space.configs import Config
from tune_jobs.engine.space.domains import Choice, Range, Space, is_branching
from tune_jobs.engine.space.membership import identity, members_from_json

if TYPE_CHECKING:
    from tune_jobs.engine.analysis.importance import Effect
    from tune_jobs.engine.experiments.experiment import Experiment

FEWEST_RANKED = 10
# The share of the trials that counts as best, unless a stage says otherwise.
KEEP = 0.25
# How many of the best configs, each counted once, show whether they crowd at a bound.
BEST_AT_BOUNDS = 10


@dataclass(frozen=True)
class Advice:
    """Advice on one hyperparameter: narrower, wider, or keep, and why.

    Attributes:
        label: its place in the space, as searchers call it.
        names: the dotted names by which configs show it: its own, and those of the constants that
            tell the branches of a choice apart.
        branches: the options that lead to it.
        is_enough: whether there were enough trials to narrow it.
        narrower: the narrower range or choice; None to keep it.
        widen: a line for each bound at which the best crowd.
        is_clear: whether its effect is significant.
    """

    label: str
    names: tuple[str, ...]
    branches: tuple[str, ...]
    is_enough: bool
    narrower: Narrower | None
    widen: tuple[str, ...]
    is_clear: bool

    @property
    def changes(self) -> list[str]:
        """A line of evidence for each way in which the best narrow it."""
        if self.narrower is None:
            return []
        pairs = zip(self.narrower.changes, self.narrower.reasons, strict=True)
        return [f"{self.names[0]} {change}: {reason}" for change, reason in pairs]

    @property
    def next_range(self) -> Range | None:
        """The narrower range to search next, if one is recommended."""
        narrower = self.narrower if self.is_clear else None
        return narrower.domain if narrower and isinstance(narrower.domain, Range) else None

    @property
    def sentence(self) -> str:
        """The recommendation to a reader, in words."""
        said = list(self.widen)
        if self.narrower and self.is_clear:
            said += [f"search next: {self._next()}; {', '.join(self.narrower.reasons)}"]
        if said:
            return "; ".join(said)
        if not self.is_enough:
            return "too few trials to say where to search next"
        return "good trials all over it: keep it" if self.is_clear else "no clear effect: keep it"

    def _next(self) -> str:
        if found := self.next_range:
            return f"{found.first:.12g} to {found.last:.12g}"
        return ", ".join(self.narrower.changes) if self.narrower else ""


def advise(
    space: object, ranked: Sequence[Config], *, keep: float = KEEP, effects: Sequence[Effect] = ()
) -> list[Advice]:
    """Advise on each hyperparameter of a space but grids and unbounded domains.

    Args:
        space: what was searched, as a job has it or as read back from its description.
        ranked: the configs of the finished trials, the best first.
        keep: the share of them that counts as best; at least 5 do.
        effects: the hyperparameters' effects, as far as they were measured.

    Raises:
        NotInSpaceError: for a config that comes from another space.
    """
    best = max(FEWEST_BEST, math.ceil(keep * len(ranked) - 1e-9))
    if len(ranked) < FEWEST_RANKED:
        best = 0
    noise = {effect.name for effect in effects if effect.is_noise}
    clear = {effect.name for effect in effects} - noise
    first = dict(enumerate(_first_distinct(ranked, BEST_AT_BOUNDS)))
    crowding = find_crowding(observe(space, first), len(first), noise=noise)
    return [
        Advice(
            each.label,
            names := _names_of(each),
            each.branches,
            is_enough(each, best),
            narrow_domain(each, best),
            crowding.get(each.label, ()),
            is_clear=not clear.isdisjoint(names),
        )
        for each in observe(space, dict(enumerate(ranked)))
    ]


def advise_on(experiment: Experiment, space: Space, effects: Sequence[Effect]) -> list[Advice]:
    """Advise by all trials of an experiment that belong to a space."""
    stored = [experiment.configs[number] for number in experiment.ranked["trial"]]
    return advise(space, members_from_json(space, stored), effects=effects)


def warnings_of(advice: Sequence[Advice]) -> list[str]:
    """Return a line for each bound at which the best crowd."""
    return list(dict.fromkeys(line for each in advice for line in each.widen))


def _names_of(observed: Observed) -> tuple[str, ...]:
    """Return the name, and those of the constants that tell options apart.

    Of options that are sub-spaces, these are the constant texts.
    """
    name, domain = observed.name, observed.domain
    if not isinstance(domain, Choice):
        return (name,)
    options = [option for option in domain.options if isinstance(option, dict)]
    kinds = str if is_branching(domain) else object
    pairs = (pair for option in options for pair in option.items())
    keys = dict.fromkeys(key for key, value in pairs if isinstance(value, kinds))
    return (name, *(f"{name}.{key}" for key in keys))


def _first_distinct(ranked: Sequence[Config], count: int) -> list[Config]:
    found: dict[str, Config] = {}
    for config in ranked:
        if len(found) == count:
            break
        found.setdefault(identity(config), config)
    return list(found.values())
