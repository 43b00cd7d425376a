"""Spaces as JSON, which is read back without Ray: a domain is written as the call that makes it."""

from __future__ import annotations

import math
import re
from typing import Any

from tune_jobs.engine.space.domains import Choice, Normal, Range, Unknown, domain_of

NUMBER = r"([-+0-9.e]+)"
CALL = re.compile(
    rf"(?P<step>q?)(?P<spacing>log|near_)?(?P<kind>uniform|randint|one|randn)"
    rf"\({NUMBER}, {NUMBER}(?:, {NUMBER})?\)"
)


def describe(part: object) -> Any:
    """Write a space as JSON, domains as the calls that make them."""
    match domain_of(part):
        case Choice() as choice:
            options = {"choice": [describe(option) for option in choice.options]}
            return options | ({"is_ranked": True} if choice.is_ranked else {})
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
        is_ranked = described.get("is_ranked") is True
        if len(described) == 1 + is_ranked and isinstance(options, list):
            return Choice([read_described(option) for option in options], is_ranked)
        return {name: read_described(child) for name, child in described.items()}
    if isinstance(described, list):
        return [read_described(child) for child in described]
    return described


def _read_text(text: str) -> object:
    name, dots, rest = text.partition("(...)")
    if name.isidentifier() and dots and not rest:
        return Unknown(name)
    return parse_number(text) or text


def parse_number(text: str) -> Range | Normal | None:
    """Read what ``as_code`` wrote; None for any other text, and for bounds that are no range."""
    call = CALL.fullmatch(text)
    if not call:
        return None
    kind, spacing = call["kind"], call["spacing"]
    if (spacing == "near_") != (kind == "one") or (kind == "randn" and spacing):
        return None
    try:
        lower, upper, step = (float(found) if found else None for found in call.groups()[3:])
    except ValueError:
        return None
    if lower is None or upper is None or bool(call["step"]) != bool(step):
        return None
    if kind == "randn":
        return Normal(lower, upper, step) if upper > 0 else None
    return _parsed_range(lower, upper, step, kind, spacing)


def _parsed_range(
    lower: float, upper: float, step: float | None, kind: str, spacing: str | None
) -> Range | None:
    if not (math.isfinite(lower) and math.isfinite(upper) and lower < upper):
        return None
    if kind == "one":
        return Range(lower, upper, "near_one") if lower >= 0 and upper < 1 else None
    if spacing and lower <= 0:
        return None
    if kind == "randint":
        whole = None if step is None else int(step)
        return Range(int(lower), int(upper), "log" if spacing else "linear", whole, is_integer=True)
    return Range(lower, upper, "log" if spacing else "linear", step)
