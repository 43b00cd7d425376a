"""Numbers, durations and foreign text as a reader sees them."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from typing import TypeGuard

from tune_jobs.engine.errors import JobError

# Shown for a missing value.
NONE = "\N{EN DASH}"
# Controls, half characters, what turns the direction of writing, and invisible tags.
HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
    "\ufff9-\ufffb\ufffe\uffff\U000e0000-\U000e007f]"
)


def visible(text: object) -> str:
    """Return text without characters that act rather than show."""
    return HIDDEN.sub("\ufffd", str(text))


def shortened(text: object, most: int = 48) -> str:
    """Shorten text to a number of characters by leaving out its middle."""
    whole = visible(text)
    if len(whole) <= most:
        return whole
    half = (most - 1) // 2
    return f"{whole[:half]}…{whole[-half:]}"


def columns_of(text: str) -> int:
    """Count the columns that a text takes, wide characters twice."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def number(value: float | None, digits: int = 4) -> str:
    """Format a number as short as it reads well: ``0.0123``, ``1.5e-7``, ``12,345``."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return NONE
    if isinstance(value, int) and abs(value) < 10**7:
        return f"{value:,}"
    try:
        text = f"{float(value):.{digits}g}"
    except OverflowError:
        text = "-∞" if value < 0 else "∞"
    return re.sub(r"e([+-])0*(\d+)", lambda m: f"e{m[1].strip('+')}{m[2]}", text)


def rounded(value: float) -> str:
    """Format a difference to two digits, or whole from 100: ``0.022``, ``35``, ``1,204``."""
    return f"{value:,.0f}" if abs(value) >= 99.5 else f"{value:.2g}"


def is_number(value: object) -> TypeGuard[float]:
    """Return whether a value is a finite number."""
    return isinstance(value, int | float) and math.isfinite(value)


def setting(value: object) -> str:
    """Format a hyperparameter's value."""
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    if isinstance(value, int | float):
        return number(value).replace(",", "")
    return visible(value if isinstance(value, str) else show(value)) or "''"


def duration(seconds: float | None) -> str:
    """Format seconds: ``8.1 s``, ``12 min``, ``3 h 20 min``."""
    if seconds is None or not math.isfinite(seconds):
        return NONE
    if seconds < 100:
        return f"{seconds:.3g} s"
    minutes, hours = round(seconds / 60), int(seconds // 3600)
    if minutes < 100:
        return f"{minutes} min"
    if hours >= 48:
        return f"{hours / 24:.1f} days".replace(".0 ", " ")
    rest = round(seconds % 3600 / 60)
    return f"{hours} h {rest} min" if rest else f"{hours} h"


def parse_duration(text: str) -> float:
    """Read ``45s``, ``90m``, ``26h`` or ``30d`` as seconds.

    Raises:
        JobError: for anything else.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])", text.strip())
    if not found:
        raise JobError(f"{text!r} is not a duration; write it like 45s, 90m, 26h or 30d")
    return float(found[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[found[2]]


def size(bytes_: float) -> str:
    """Format bytes: ``812 B``, ``3.4 MiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if bytes_ < 1024:
            return f"{bytes_:.{0 if unit == 'B' else 1}f} {unit}"
        bytes_ /= 1024
    return f"{bytes_:.1f} TiB"


def columns(rows: list[list[str]], right: Collection[int] = ()) -> list[str]:
    """Align the cells of rows in columns, one line per row.

    Args:
        rows: the cells; the first row is the head.
        right: the columns that end, rather than begin, below each other.
    """
    rows = [[" ".join(visible(cell).splitlines()) for cell in row] for row in rows]
    widths = [max(columns_of(row[place]) for row in rows) for place in range(len(rows[0]))]

    def fit(cell: str, place: int) -> str:
        gap = " " * (widths[place] - columns_of(cell))
        return gap + cell if place in right else cell + gap

    return ["  ".join(fit(c, place) for place, c in enumerate(row)).rstrip() for row in rows]


def count(amount: int, thing: str) -> str:
    """Count things in words: ``1 trial``, ``2 trials``."""
    return f"{amount:,} {thing}{'' if amount == 1 else 's'}"


def listed(things: Sequence[str], most: int = 5) -> str:
    """List things in words: ``a, b and c``; of many only the first."""
    if len(things) > most:
        return f"{', '.join(things[:most])} and {len(things) - most} more"
    return " and ".join([", ".join(things[:-1]), things[-1]] if len(things) > 1 else things)


def brief(config: Mapping[str, object]) -> str:
    """Format a config: ``layers=[160/0.1 32/0], optimizer=adam(learning_rate=0.01)``."""
    return ", ".join(f"{name}={show(value)}" for name, value in config.items())


def show(value: object) -> str:
    """Format a value as short as it reads well; of a list of layers the values only."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        layers = [
            "/".join(map(show, v.values())) if isinstance(v, dict) else show(v) for v in value
        ]
        return f"[{' '.join(layers)}]"
    if isinstance(value, dict):
        rest = {name: inner for name, inner in value.items() if name != "name"}
        return f"{value.get('name', '')}({brief(rest)})" if rest else str(value.get("name", "{}"))
    return str(value)
