"""Numbers, durations and foreign text as a reader sees them."""

from __future__ import annotations

import math
import re
import unicodedata
from typing import Any, TypeGuard

from tune_jobs.engine.progress import show

# What stands where there is nothing to say.
NONE = "\N{EN DASH}"
# Controls, half characters, and what turns the direction of writing.
HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


def visible(text: object) -> str:
    """Foreign text without characters that act rather than show."""
    return HIDDEN.sub("\ufffd", str(text))


def shortened(text: object, most: int = 48) -> str:
    """Text of at most so many characters, its middle left out."""
    whole = visible(text)
    if len(whole) <= most:
        return whole
    half = (most - 1) // 2
    return f"{whole[:half]}…{whole[-half:]}"


def columns_of(text: str) -> int:
    """How many columns a text takes, wide characters counted twice."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def number(value: Any, digits: int = 4) -> str:
    """A number as short as it reads well: ``0.0123``, ``1.5e-7``, ``12,345``."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return NONE
    if isinstance(value, int) and abs(value) < 10**7:
        return f"{value:,}"
    try:
        text = f"{float(value):.{digits}g}"
    except OverflowError:
        text = "-∞" if value < 0 else "∞"
    return re.sub(r"e([+-])0*(\d+)", lambda m: f"e{m[1].strip('+')}{m[2]}", text)


def is_number(value: Any) -> TypeGuard[float]:
    """Whether there is a finite number to show."""
    return isinstance(value, int | float) and math.isfinite(value)


def setting(value: Any) -> str:
    """A hyperparameter's value in words."""
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    if isinstance(value, int | float):
        return number(value).replace(",", "")
    return visible(value if isinstance(value, str) else show(value)) or "''"


def duration(seconds: float | None) -> str:
    """Seconds as people say them: ``8.1 s``, ``12 min``, ``3 h 20 min``."""
    if seconds is None or not math.isfinite(seconds):
        return NONE
    if seconds < 100:
        return f"{seconds:.3g} s"
    minutes, hours = round(seconds / 60), int(seconds // 3600)
    if minutes < 100:
        return f"{minutes} min"
    return f"{hours} h {round(seconds % 3600 / 60)} min" if hours < 48 else f"{hours / 24:.1f} days"


def count(amount: int, thing: str) -> str:
    """``1 trial``, ``2 trials``."""
    return f"{amount:,} {thing}{'' if amount == 1 else 's'}"


def listed(things: list[str], most: int = 5) -> str:
    """``a, b and c``; of many the first ones."""
    if len(things) > most:
        return f"{', '.join(things[:most])} and {len(things) - most} more"
    return " and ".join([", ".join(things[:-1]), things[-1]] if len(things) > 1 else things)
