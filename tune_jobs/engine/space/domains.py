"""Search spaces: plain dicts of Ray domains, conditional where a choice is between sub-spaces."""

from __future__ import annotations

import math
from collections.abc import Iterator
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
)

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.space.configs import children

Space = dict[str, Any]


def compose(*spaces: Space) -> Space:
    """Merge search spaces, refusing two that name the same hyperparameter."""
    merged: Space = {}
    for space in spaces:
        if shared := merged.keys() & space.keys():
            raise JobError(f"two search spaces both define {', '.join(sorted(shared))}")
        merged |= space
    return merged


def near_one(lower: float, upper: float) -> Float:
    """A number whose distance from one is log-uniform, as suits momentum and Adam's betas.

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


def is_grid(part: Any) -> bool:
    """Whether a part of a space is Ray's ``tune.grid_search``."""
    return isinstance(part, dict) and part.keys() == {"grid_search"}


def has_domain(part: Any) -> bool:
    """Whether anything is left to choose in a part of a space."""
    if isinstance(part, Domain) or is_grid(part):
        return True
    return any(has_domain(child) for _, child in children(part))


def is_branching(domain: Any) -> bool:
    """Whether a domain is a choice between sub-spaces rather than between values."""
    return isinstance(domain, Categorical) and any(has_domain(c) for c in domain.categories)


def distinct(part: Any) -> Any:
    """Copy a space so that no two places share an object.

    Ray fills a space in place: in ``[LAYER] * 3`` the three layers would get one layer's values.
    """
    if is_branching(part):
        return tune.choice([distinct(category) for category in part.categories])
    if not children(part) or not has_domain(part):
        return part
    copies = {name: distinct(child) for name, child in children(part)}
    return copies if isinstance(part, dict) else list(copies.values())


def describe(part: Any) -> Any:
    """A space as JSON: domains as the calls that make them."""
    if isinstance(part, Categorical):
        return {"choice": [describe(category) for category in part.categories]}
    if isinstance(part, Domain):
        return as_code(part)
    if isinstance(part, dict):
        return {str(name): describe(child) for name, child in part.items()}
    if isinstance(part, list | tuple):
        return [describe(child) for child in part]
    return part


def as_code(domain: Domain) -> str:
    """A domain as one would write it: ``loguniform(0.0001, 0.1)``."""
    if isinstance(domain, NearOne):
        return f"near_one({domain.lower}, {domain.upper})"
    if isinstance(domain, Categorical):
        return f"choice({domain.categories})"
    if isinstance(domain, Function):
        return "sample_from(...)"
    sampler, step = sampler_and_step(domain)
    name = {"LogUniform": "log", "Normal": ""}.get(type(sampler).__mro__[1].__name__, "")
    name += "randint" if isinstance(domain, Integer) else "uniform"
    if hasattr(sampler, "sd"):
        name, bounds = "randn", [sampler.mean, sampler.sd]
    else:
        bounds = [domain.lower, domain.upper]
    shown = [*bounds, step] if step else bounds
    return f"{'q' if step else ''}{name}({', '.join(f'{value:g}' for value in shown)})"


def sampler_and_step(domain: Domain) -> tuple[Sampler, float | None]:
    """A domain's sampler without its rounding, and the step that it is rounded to."""
    sampler = domain.get_sampler()
    if isinstance(sampler, Quantized):
        return sampler.get_sampler(), sampler.q
    return sampler, None


def is_log(domain: Domain) -> bool:
    """Whether a domain is sampled on a logarithmic scale."""
    return isinstance(sampler_and_step(domain)[0], LogUniform)


def check_space(space: Any) -> None:
    """Refuse a space that could not be searched, naming the hyperparameter and the rule.

    Raises:
        JobError: for anything but a dict with text keys, bounds that are reversed, equal or not
            finite, a log range that is not positive, a step larger than its range, an empty choice.
    """
    if not isinstance(space, dict) or not space:
        raise JobError(f"the space is {space!r}, but must be a dict of name -> domain")
    for label, part in walk(space):
        _check_part(label, part)


def walk(part: Any, label: str = "") -> Iterator[tuple[str, Any]]:
    """Every part of a space with its dotted label, the branches of choices included."""
    yield label, part
    if isinstance(part, Categorical):
        for category in part.categories:
            yield from walk(category, label)
    elif is_grid(part):
        for value in _grid_values(label, part):
            yield from walk(value, label)
    else:
        for name, child in children(part):
            yield from walk(child, f"{label}.{name}" if label else str(name))


def _grid_values(label: str, part: Any) -> list[Any]:
    values = part["grid_search"]
    if not isinstance(values, list) or not values:
        raise JobError(f"{label}: grid_search({values!r}) needs a list with at least one value")
    return values


def _check_part(label: str, part: Any) -> None:
    if isinstance(part, dict):
        for name in part:
            if not isinstance(name, str) or not name:
                raise JobError(
                    f"{label or 'the space'}: name {name!r} is not a text of 1 letter up"
                )
    elif isinstance(part, Categorical):
        if not part.categories:
            raise JobError(f"{label}: choice([]) has no values to choose from")
    elif isinstance(part, Float | Integer):
        _check_range(label, part)


def _check_range(label: str, domain: Any) -> None:
    sampler, step = sampler_and_step(domain)
    if hasattr(sampler, "sd"):
        return
    lower, upper = domain.lower, domain.upper
    if not (math.isfinite(lower) and math.isfinite(upper)):
        raise JobError(f"{label}: {as_code(domain)} needs two finite bounds")
    if lower >= upper:
        raise JobError(f"{label}: {as_code(domain)} needs its lower bound first, below the upper")
    if is_log(domain) and lower <= 0:
        raise JobError(f"{label}: {as_code(domain)} is logarithmic and needs a lower bound above 0")
    if step is not None and not 0 < step <= (upper - lower) * (1 + 1e-9):
        raise JobError(
            f"{label}: {as_code(domain)} has step {step:g}, but its range is only {upper - lower:g}"
        )
    if step is not None and not _is_multiple(lower, step):
        raise JobError(
            f"{label}: {as_code(domain)} gives multiples of {step:g}, and {lower:g} is not one; "
            f"write tune.choice([{lower:g}, {lower + step:g}, ...])"
        )


def _is_multiple(value: float, step: float) -> bool:
    return math.isclose(value / step, round(value / step), abs_tol=1e-9)
