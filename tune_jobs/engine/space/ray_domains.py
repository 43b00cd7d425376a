"""Ray's domains: the one place that knows their classes.

Everything else works with :class:`~tune_jobs.engine.space.numbers.Range` and the like.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from ray import tune
from ray.tune.search.sample import (
    Categorical,
    Domain,
    Float,
    Function,
    Integer,
    LogUniform,
    Quantized,
    Sampler,
    Uniform,
)
from ray.tune.search.sample import Normal as NormalSampler

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.space.choices import Choice, Unknown
from tune_jobs.engine.space.numbers import Normal, Range, Spacing


def near_one(lower: float, upper: float) -> Float:
    """Return a number whose distance from one is log-uniform, as suits momentum and Adam's betas.

    ``near_one(0.9, 0.999)`` gives 0.9 to 0.99 and 0.99 to 0.999 the same share.

    Raises:
        JobError: unless 0 <= lower < upper < 1.
    """
    if not 0 <= lower < upper < 1:
        raise JobError(f"near_one({lower}, {upper}) needs 0 <= lower < upper < 1")
    return NearOne(lower, upper)


class NearOne(Float):  # type: ignore[misc]  # Ray's are untyped
    """A Ray domain on [lower, upper], log-uniform in ``1 - value``."""

    class _DistanceLogUniform(Sampler):  # type: ignore[misc]
        def sample(
            self, domain: NearOne, config: Any = None, size: int = 1, random_state: Any = None
        ) -> Any:
            """Draw ``size`` values, a single one as a plain number, as Ray's samplers do."""
            distance = domain.distance.sample(config, size, random_state=random_state)
            return 1 - distance if size == 1 else [1 - d for d in distance]

    default_sampler_cls = _DistanceLogUniform

    @property
    def distance(self) -> Float:
        """The domain of ``1 - value``."""
        return tune.loguniform(1 - self.upper, 1 - self.lower)


def read_domain(part: object) -> Range | Normal | Choice | Unknown | None:
    """Read one of Ray's domains; None for anything else."""
    if isinstance(part, Categorical):
        return Choice(part.categories)
    if isinstance(part, Float | Integer):
        return _read_number(part)
    if isinstance(part, Domain):
        return Unknown("sample_from" if isinstance(part, Function) else type(part).__name__)
    return None


def _read_number(domain: Float | Integer) -> Range | Normal:
    sampler, step = domain.get_sampler(), None
    if isinstance(sampler, Quantized):
        sampler, step = sampler.get_sampler(), sampler.q
    if isinstance(sampler, NormalSampler):
        return Normal(sampler.mean, sampler.sd, step)
    spacing = _spacing_of(domain, sampler)
    return Range(domain.lower, domain.upper, spacing, step, isinstance(domain, Integer))


def _spacing_of(domain: Float | Integer, sampler: Sampler) -> Spacing:
    if isinstance(domain, NearOne):
        return "near_one"
    if isinstance(sampler, LogUniform):
        return "log"
    return "linear" if isinstance(sampler, Uniform) else "custom"


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
