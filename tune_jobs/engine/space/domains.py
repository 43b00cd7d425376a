"""Search spaces: plain dicts of domains, conditional if a choice is between sub-spaces.

A space is written with Ray's domains. An experiment describes it as JSON, which is read back
without Ray.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.space.choices import Choice, Grid, Unknown
from tune_jobs.engine.space.configs import children
from tune_jobs.engine.space.numbers import Normal, Range, parse_number

Space = dict[str, Any]
Domain: TypeAlias = Range | Normal | Choice | Grid | Unknown


def compose(*spaces: Space) -> Space:
    """Merge search spaces, refusing two that name the same hyperparameter."""
    merged: Space = {}
    for space in spaces:
        if shared := merged.keys() & space.keys():
            raise JobError(f"two search spaces both define {', '.join(sorted(shared))}")
        merged |= space
    return merged


def domain_of(part: object) -> Domain | None:
    """Read a part of a space as a domain; None for constants, dicts and lists."""
    if isinstance(part, Range | Normal | Choice | Grid | Unknown):
        return part
    if isinstance(part, dict):
        return Grid(part["grid_search"]) if part.keys() == {"grid_search"} else None
    if part is None or isinstance(part, str | bool | int | float | list | tuple):
        return None
    # Whatever else may be a domain was made with Ray, so that this import costs nothing.
    from tune_jobs.engine.space.ray_domains import read_domain

    return read_domain(part)


def is_grid(part: object) -> bool:
    """Return whether a part of a space is Ray's ``tune.grid_search``."""
    return isinstance(domain_of(part), Grid)


def has_domain(part: object) -> bool:
    """Return whether anything is left to choose in a part of a space."""
    return domain_of(part) is not None or any(has_domain(child) for _, child in children(part))


def is_branching(choice: Choice) -> bool:
    """Return whether a choice is between sub-spaces rather than between values."""
    return any(has_domain(option) for option in choice.options)


def is_repetition(choice: Choice) -> bool:
    """Return whether a choice is between lists of one sub-space, of several lengths."""
    if not all(isinstance(option, list | tuple) for option in choice.options):
        return False
    longest = describe(max(choice.options, key=len))
    return all(describe(option) == longest[: len(option)] for option in choice.options)


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


def describe(part: object) -> Any:
    """Write a space as JSON, domains as the calls that make them."""
    match domain_of(part):
        case Choice() as choice:
            return {"choice": [describe(option) for option in choice.options]}
        case Range() | Normal() | Unknown() as domain:
            return domain.as_code()
    if isinstance(part, dict):
        return {str(name): describe(child) for name, child in part.items()}
    if isinstance(part, list | tuple):
        return [describe(child) for child in part]
    return part


def read_described(described: object) -> Any:
    """Read a space back from what ``describe`` wrote, with domains that need no Ray."""
    if isinstance(described, str):
        return _read_text(described)
    if isinstance(described, dict):
        options = described.get("choice")
        if described.keys() == {"choice"} and isinstance(options, list):
            return Choice([read_described(option) for option in options])
        return {name: read_described(child) for name, child in described.items()}
    if isinstance(described, list):
        return [read_described(child) for child in described]
    return described


def _read_text(text: str) -> object:
    name, dots, rest = text.partition("(...)")
    if name.isidentifier() and dots and not rest:
        return Unknown(name)
    return parse_number(text) or text


def walk(part: object, label: str = "") -> Iterator[tuple[str, object]]:
    """Yield every part of a space with its dotted name, the options of choices included."""
    yield label, part
    domain = domain_of(part)
    if isinstance(domain, Choice | Grid):
        for option in domain.options if isinstance(domain, Choice) else domain.values:
            yield from walk(option, label)
        return
    for name, child in children(part):
        yield from walk(child, f"{label}.{name}" if label else str(name))
