"""Numbers that are written as text, with thousands separators, decimal commas, currencies."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

SPACES = "\u00a0\u202f\u2009"

SIGNS = re.compile(
    r"(?:US\$|[$€£¥₹₽₩₺]|USD|EUR|GBP|CHF|JPY|CAD|AUD|SEK|NOK|DKK|PLN|CZK|INR|CNY|Fr\.|kr\.?|zł|%|‰)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Notation:
    """How the numbers of a column are written.

    Attributes:
        decimal: the mark before fractions.
        thousands: the mark between groups of three digits; "" for none.
    """

    decimal: str = "."
    thousands: str = ""

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """What a number without sign, currency and per cent looks like."""
        mark, group = re.escape(self.decimal), re.escape(self.thousands)
        grouped = rf"|[1-9]\d{{0,2}}(?:{group}\d{{3}})+" if group else ""
        return re.compile(rf"(?:(?:\d+{grouped})(?:{mark}\d*)?|{mark}\d+)(?:[eE][-+]?\d+)?")


GROUPS = (("", ",", "'", " "), ("", ".", "'", " "))
NOTATIONS = tuple(
    Notation(decimal, group)
    for decimal, groups in zip(".,", GROUPS, strict=True)
    for group in groups
)


@dataclass(frozen=True)
class Numerals:
    """Texts read as numbers.

    Attributes:
        notation: how they are written.
        values: a number for each text, None if it is not one.
        other: another notation that reads as many of them, but as other numbers.
    """

    notation: Notation
    values: list[float | None]
    other: Notation | None = None


def read_numerals(texts: Sequence[str], decimal: str = ".") -> Numerals:
    """Read texts as numbers, in the notation that reads most of them.

    Args:
        texts: distinct texts.
        decimal: the mark that is expected, of the two that are possible.
    """
    bodies = [_strip(text) for text in texts]
    order = sorted(NOTATIONS, key=lambda each: each.decimal != decimal)
    counts = {each: sum(bool(each.pattern.fullmatch(body)) for _, body in bodies) for each in order}
    best = max(order, key=counts.__getitem__)  # the first of equals
    read = [_value(*body, best) for body in bodies]
    rivals = [n for n in order if counts[n] == counts[best] and n.decimal != best.decimal]
    other = next((n for n in rivals if [_value(*body, n) for body in bodies] != read), None)
    return Numerals(best, read, other)


def parse_number(text: str, notation: Notation) -> float | None:
    """Return the number that a text is in a notation; None if it is not one."""
    return _value(*_strip(text), notation)


def is_plain(text: str) -> bool:
    """Return whether a text is a number that needs no reading: an optional sign and digits."""
    return bool(re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", text))


def _strip(text: str) -> tuple[bool, str]:
    """Return whether a number is negative, and its digits and marks."""
    body = text.translate(dict.fromkeys(map(ord, SPACES), " ")).replace("\u2019", "'").strip()
    body = body.replace("\u2212", "-")
    negative = body.startswith("(") and body.endswith(")")
    body = body[1:-1].strip() if negative else body
    if not body[:1].isdigit() or not body[-1:].isdigit():
        body = SIGNS.sub("", body, count=2).strip()
        if body[:1] in ("-", "+"):
            negative ^= body[0] == "-"
            body = SIGNS.sub("", body[1:].strip(), count=1).strip()
    return negative, body


def _value(negative: bool, body: str, notation: Notation) -> float | None:
    if not notation.pattern.fullmatch(body):
        return None
    if notation.thousands:
        body = body.replace(notation.thousands, "")
    number = float(body.replace(notation.decimal, "."))
    return -number if negative else number
