"""Dates and times that are written as text, in the forms that occur."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

DateOrder = Literal["dmy", "mdy"]
ORDERS = ("dmy", "mdy")

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
CENTURY = 69  # of years of two digits: 68 is 2068 and 69 is 1969, as in Python and POSIX

_TIME = (
    r"(?:[T ,]+(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d+))?)?"
    r"\s*(?P<half>[AaPp]\.?[Mm]\.?)?\s*(?P<zone>Z|UTC|[-+]\d{2}:?\d{2})?)?"
)
_MONTH = r"(?P<month>jan|feb|mar|apr|may|jun|jul|aug|sept?|oct|nov|dec)[a-z]*\.?"
_WEEKDAY = r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,?\s+)?"

YEAR_FIRST = re.compile(r"(?P<year>\d{4})([-/.])(?P<month>\d{1,2})\2(?P<day>\d{1,2})" + _TIME)
YEAR_LAST = re.compile(
    r"(?P<one>\d{1,2})(?P<mark>[-/.])(?P<two>\d{1,2})(?P=mark)(?P<year>\d{4}|\d{2})" + _TIME
)
NAMED = tuple(
    re.compile(_WEEKDAY + day + _TIME, re.IGNORECASE)
    for day in (
        r"(?P<day>\d{1,2})[ -]" + _MONTH + r"[ ,-]+(?P<year>\d{4}|\d{2})",
        _MONTH + r"[ -](?P<day>\d{1,2}),?[ -](?P<year>\d{4})",
    )
)
MONTH_ALONE = (
    re.compile(r"(?P<year>(?:19|20)\d{2})-(?P<month>\d{2})"),
    re.compile(_MONTH + r"[ -](?P<year>\d{4})", re.IGNORECASE),
)
COMPACT = re.compile(r"(?P<year>(?:19|20)\d{2})(?P<month>\d{2})(?P<day>\d{2})" + _TIME)


@dataclass(frozen=True)
class Evidence:
    """What the texts of a column say of the order of day and month.

    Attributes:
        dmy: a text that can only be day before month.
        mdy: a text that can only be month before day.
        both: a text that can be either.
    """

    dmy: str | None = None
    mdy: str | None = None
    both: str | None = None


def parse_date(text: str, order: DateOrder | None) -> datetime | None:
    """Return the time that a text says, of a zone in UTC; None if it is not one.

    Args:
        text: such as 2026-01-31, 31.1.2026 14:30, 31 Jan 2026 or 1/31/26 2:30 PM.
        order: of day and month, if the year is last; None if no text has it so.
    """
    text = text.strip()
    if found := YEAR_FIRST.fullmatch(text) or COMPACT.fullmatch(text):
        return _make(found, int(found["month"]), int(found["day"]))
    if found := YEAR_LAST.fullmatch(text):
        one, two = int(found["one"]), int(found["two"])
        return _make(found, one, two) if order == "mdy" else _make(found, two, one)
    for pattern in (*NAMED, *MONTH_ALONE):
        if found := pattern.fullmatch(text):
            return _make(found, _month_of(found["month"]), int(found.groupdict().get("day") or 1))
    return None


def _month_of(text: str) -> int:
    return int(text) if text.isdigit() else 1 + MONTHS.index(text[:3].lower())


def find_evidence(texts: Iterable[str]) -> Evidence:
    """Return what texts say of the order of day and month."""
    known: dict[str, str] = {}
    for text in texts:
        if found := YEAR_LAST.fullmatch(text.strip()):
            known.setdefault(_say_order(int(found["one"]), int(found["two"]), found["mark"]), text)
    return Evidence(known.get("dmy"), known.get("mdy"), known.get("both"))


def _say_order(one: int, two: int, mark: str) -> str:
    if one > 12:
        return "dmy"
    if two > 12:
        return "mdy"
    return "dmy" if mark == "." else "same" if one == two else "both"


def _make(found: re.Match[str], month: int, day: int) -> datetime | None:
    year, parts = int(found["year"]), found.groupdict()
    if len(found["year"]) == 2:
        year += 2000 if year < CENTURY else 1900
    hour = int(parts.get("hour") or 0)
    if half := parts.get("half"):
        hour = hour % 12 + (12 if half[0] in "pP" else 0)
    micro = int((parts.get("fraction") or "0")[:6].ljust(6, "0"))
    try:
        minute, second = (int(parts.get(unit) or 0) for unit in ("minute", "second"))
        made = datetime(year, month, day, hour, minute, second, micro)
        return made - _offset(parts.get("zone"))
    except (ValueError, OverflowError):
        return None


def _offset(zone: str | None) -> timedelta:
    if zone in (None, "Z", "UTC"):
        return timedelta(0)
    found = datetime.strptime(str(zone), "%z").tzinfo or UTC
    return found.utcoffset(None) or timedelta(0)
