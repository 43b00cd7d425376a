"""Times as systemd writes them: calendar events and spans, as systemd.time(7) says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from zoneinfo import available_timezones

from tune_jobs.engine.names import nearest
from tune_jobs.lint.cron import Times

SHORT = {
    "minutely": "*-*-* *:*:00",
    "hourly": "*-*-* *:00:00",
    "daily": "*-*-* 00:00:00",
    "weekly": "Mon *-*-* 00:00:00",
    "monthly": "*-*-01 00:00:00",
    "quarterly": "*-01,04,07,10-01 00:00:00",
    "semiannually": "*-01,07-01 00:00:00",
    "yearly": "*-01-01 00:00:00",
    "annually": "*-01-01 00:00:00",
}
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
WEEKDAYS = re.compile(r"[A-Za-z]{3,9}((,|\.\.|-)[A-Za-z]{3,9})*,?")
PART = re.compile(r"(?P<from>\*|\d+)(\.\.(?P<to>\d+))?(/(?P<step>\d+))?")
SPAN = re.compile(r"(?P<count>\d+(\.\d+)?)\s*(?P<unit>[a-zA-Zµ]*)\s*")
UNITS = {
    "": 1.0, "us": 1e-6, "µs": 1e-6, "usec": 1e-6, "ms": 1e-3, "msec": 1e-3,
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1.0),
    **dict.fromkeys(("m", "min", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0),
    **dict.fromkeys(("w", "week", "weeks"), 604800.0),
    **dict.fromkeys(("M", "month", "months"), 2629800.0),
    **dict.fromkeys(("y", "year", "years"), 31557600.0),
}  # fmt: skip
RULE = "but must be such as *-*-* 02:00:00, Sun *-*-* 02:00 Europe/Berlin, or daily"


@dataclass(frozen=True)
class Calendar:
    """When a calendar event is, and the time zone that it names, if any."""

    times: Times
    zone: str | None


def parse_calendar(text: str) -> Calendar:
    """When a calendar event is.

    Raises:
        ValueError: with what is wrong.
    """
    words = text.split()
    zone = words.pop() if words and _is_zone(words[-1]) else None
    if len(words) == 1 and words[0] in SHORT:
        words = SHORT[words[0]].split()
    elif len(words) == 1 and words[0].isalpha() and not _is_weekday(words[0]):
        raise ValueError(f"it is {text!r}{nearest(words[0], SHORT)}; {RULE}")
    weekdays = _weekdays(words.pop(0)) if words and WEEKDAYS.fullmatch(words[0]) else frozenset()
    date = words.pop(0) if words and "-" in words[0] else "*-*-*"
    clock = words.pop(0) if words and ":" in words[0] else "00:00:00"
    if words:
        hint = nearest(words[0], available_timezones()) if "/" in words[0] else "."
        raise ValueError(f"it is {text!r}, of which {words[0]!r} is not understood{hint}; {RULE}")
    return Calendar(_times(weekdays, date, clock), zone)


def parse_span(text: str) -> float | None:
    """The seconds of a span such as 5h 15min; None for ``infinity``.

    Raises:
        ValueError: where it is none.
    """
    if text.strip() == "infinity":
        return None
    parts = [*SPAN.finditer(text.strip())]
    if "".join(part[0] for part in parts) != text.strip() or not parts:
        raise ValueError(f"it is {text!r}, but must be such as 5h 15min, 90 or infinity")
    for part in parts:
        if part["unit"] not in UNITS:
            raise ValueError(f"it is {text!r}, of which {part['unit']!r} is no unit of time")
    return sum(float(part["count"]) * UNITS[part["unit"]] for part in parts)


def _is_zone(word: str) -> bool:
    return word in available_timezones() and word not in SHORT


def _is_weekday(word: str) -> bool:
    return any(day.startswith(word.lower()) for day in DAYS)


def _weekdays(text: str) -> frozenset[int]:
    found: set[int] = set()
    for part in text.strip(",").split(","):
        first, _, last = part.replace("..", "-").partition("-")
        begin, end = _weekday(first), _weekday(last or first)
        if end < begin:
            raise ValueError(f"the weekdays are {part!r}, which ends before it begins")
        found.update(range(begin, end + 1))
    return frozenset(found)


def _weekday(text: str) -> int:
    names = [*DAYS, *(day[:3] for day in DAYS)]
    if text.lower() not in names:
        raise ValueError(f"the weekday is {text!r}, but must be one of Mon to Sun")
    return names.index(text.lower()) % 7


def _times(weekdays: frozenset[int], date: str, clock: str) -> Times:
    parts = date.replace("~", "-").split("-")
    if len(parts) not in (2, 3):
        raise ValueError(f"the date is {date!r}, but must be such as *-*-15")
    year, month, day = ["*", *parts][-3:]
    _numbers("year", year, 1970, 2199)
    _numbers("month", month, 1, 12)
    days = _numbers("day", day, 1, 31)
    hours, minutes, *seconds = clock.split(":")
    if len(seconds) > 1:
        raise ValueError(f"the time is {clock!r}, but must be such as 02:00:00")
    _numbers("second", (seconds or ["0"])[0].partition(".")[0], 0, 59)
    return Times(
        _numbers("minute", minutes, 0, 59),
        _numbers("hour", hours, 0, 23),
        frozenset() if day == "*" else days,
        weekdays,
    )


def _numbers(name: str, text: str, least: int, most: int) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        match = PART.fullmatch(part)
        first = least if match and match["from"] == "*" else int(match["from"]) if match else -1
        if match is None or not least <= first <= most or match["step"] == "0":
            raise ValueError(f"the {name} is {part!r}, but must be {least} to {most} or *")
        open_ended = match["from"] == "*" or match["step"]
        last = int(match["to"]) if match["to"] else most if open_ended else first
        found.update(range(first, min(last, most) + 1, int(match["step"] or 1)))
    return frozenset(found)
