"""Values as JSON knows them."""

from __future__ import annotations

import json
import math
from numbers import Real
from typing import Any

# Levels of nesting in a file: more than any space has, and few enough to be walked recursively.
MOST_LEVELS = 200

# Of each end of a text that somebody else made up, this many characters are kept.
KEPT = 10_000


def plain(value: Any) -> Any:
    """Convert a value for JSON: numpy's numbers to numbers, tuples to lists, the rest to text."""
    if isinstance(value, str):
        return whole(value)
    if isinstance(value, dict):
        return {whole(str(key)): plain(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [plain(child) for child in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        inner = value.item()
        return repr(value) if type(inner) is type(value) else plain(inner)
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return whole(repr(value))


def whole(text: str) -> str:
    r"""Write half a character as its code, ``\udce9``: no file or table can hold it.

    Python makes such text of bytes that are not UTF-8, as in names of files.
    """
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def bounded(text: str) -> str:
    """Return text that can be stored: of a long one the first and the last 10,000 characters."""
    if len(text) > 2 * KEPT:
        left = len(text) - 2 * KEPT
        text = f"{text[:KEPT]}\n... {left:,} characters left out ...\n{text[-KEPT:]}"
    return whole(text)


def parse_json(text: str | bytes) -> Any:
    """Read JSON; half characters, which earlier versions wrote, become their codes.

    Raises:
        ValueError: if it is not JSON, or nested so deeply that it cannot be read.
    """
    try:
        found = json.loads(text)
        return found if isinstance(text, str) and not _may_have_halves(text) else plain(found)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def checked_depth(found: Any) -> Any:
    """Return JSON that was read, unless it is nested so deeply that working on it might fail.

    Raises:
        ValueError: if it is nested too deeply.
    """
    level, depth = ([found] if isinstance(found, dict | list) else []), 0
    while level:
        depth += 1
        if depth > MOST_LEVELS:
            raise ValueError(f"it is nested more than {MOST_LEVELS} levels deep")
        inner = [each.values() if isinstance(each, dict) else each for each in level]
        level = [value for each in inner for value in each if isinstance(value, dict | list)]
    return found


def _may_have_halves(text: str) -> bool:
    return "\\ud" in text or "\\uD" in text or not text.isascii()


def as_number(value: Any) -> float | None:
    """Return a number, or an array or tensor that holds just one, as a float; else None."""
    if getattr(value, "ndim", None) == 0:
        convert = getattr(value, "item", None) or getattr(value, "numpy", None)
        value = convert() if convert else value
    if not isinstance(value, Real) or isinstance(value, bool):
        return None
    try:
        return float(value)
    except OverflowError:  # an integer of more than 300 digits
        return math.inf if isinstance(value, int) and value > 0 else -math.inf


def finite(value: Any) -> Any:
    """Replace numbers in JSON that are not finite by null, which its standard requires."""
    if isinstance(value, dict):
        return {key: finite(child) for key, child in value.items()}
    if isinstance(value, list):
        return [finite(child) for child in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
