"""Slots of a schedule: each moment lies in one slot, and two starts in one slot are one run.

A daily, weekly or monthly slot begins at a time of day in a given time zone and lasts until the
next one begins. It is named after the day on which it begins (``2026-11-28``). An hourly slot is an
hour of UTC in any time zone, and is named after it (``2026-11-28T02``). So names sort in the order
of the slots. When clocks are put back, a time of day that comes twice begins a slot the first time;
when they are put forward, one that is left out begins a slot at the moment at which clocks that
were not changed would show it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal, get_args
from zoneinfo import ZoneInfo, available_timezones

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.names import nearest

Every = Literal["hourly", "daily", "weekly", "monthly"]
EVERY: tuple[Every, ...] = get_args(Every)
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
LAST_DAY = 28  # the last that each month has

NAME = re.compile(r"\d{4}-\d\d-\d\d(T\d\d)?")
TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
RULE = (
    "hourly, daily, weekly or monthly, with the time at which a slot begins unless that is "
    "midnight (daily@02:00, weekly@sun-02:00, monthly@15-02:00), or the name of a slot "
    "(2026-11-28)"
)


@dataclass(frozen=True)
class Slots:
    """The moments at which slots begin.

    Attributes:
        every: how often.
        at: the time of day of daily, weekly and monthly slots.
        on: the day: 0 (Monday) to 6 for weekly slots, 1 to 28 for monthly ones, else 0.
        zone: the time zone of ``at``, by its name in the IANA database.
    """

    every: Every
    at: time = time(0)
    on: int = 0
    zone: str = "UTC"

    def __str__(self) -> str:
        """Return it as written on the command line."""
        if self.every == "hourly":
            return self.every
        day = {"weekly": f"{DAYS[self.on % 7]}-", "monthly": f"{self.on}-"}.get(self.every, "")
        return f"{self.every}@{day}{self.at:%H:%M}"

    def name(self, now: datetime) -> str:
        """Return the name of the slot that a moment lies in.

        Args:
            now: the moment, with a time zone.
        """
        if self.every == "hourly":
            return f"{now.astimezone(UTC):%Y-%m-%dT%H}"
        zone = _find_zone(self.zone)
        days = self._days_around(now.astimezone(zone).date())
        return max(day for day in days if self._begin(day, zone) <= now).isoformat()

    def _begin(self, day: date, zone: ZoneInfo) -> datetime:
        """Return the moment at which the slot that is named after a day begins."""
        return datetime.combine(day, self.at, zone).astimezone(UTC)

    def _days_around(self, today: date) -> Iterator[date]:
        """Yield the days near today on which a slot begins: the last ones, today, the next."""
        reach = {"daily": 2, "weekly": 8, "monthly": 33}[self.every]
        for shift in range(-reach, 2):
            day = today + timedelta(days=shift)
            is_weekly = self.every == "weekly" and day.weekday() == self.on
            is_monthly = self.every == "monthly" and day.day == self.on
            if self.every == "daily" or is_weekly or is_monthly:
                yield day


def parse_slots(text: str, zone: str = "UTC") -> Slots | str:
    """Read what ``--slot`` gives: a schedule, or the name of one slot, which is returned as it is.

    Raises:
        JobError: if the text is neither, or the time zone is unknown.
    """
    _find_zone(zone)
    if NAME.fullmatch(text):
        _check_date(text)
        return text
    every, mark, when = text.partition("@")
    if every not in EVERY:
        hint = nearest(every, EVERY).removesuffix(".")
        raise JobError(f"--slot must be {RULE}, got {text!r}{hint}")
    if not mark:
        return Slots(every, on=1 if every == "monthly" else 0, zone=zone)
    day, dash, clock = when.rpartition("-")
    at = TIME.fullmatch(clock)
    if at is None or every == "hourly" or bool(dash) != (every in ("weekly", "monthly")):
        raise JobError(f"--slot must be {RULE}, got {text!r}")
    return Slots(every, time(int(at[1]), int(at[2])), parse_day(every, day), zone)


def parse_day(every: Every, day: str) -> int:
    """Read the day on which weekly or monthly slots begin; 0 for others.

    Raises:
        JobError: if it is not a day of the week or of every month.
    """
    if every == "weekly":
        if day.lower() not in DAYS:
            raise JobError(f"the day of a week must be one of {', '.join(DAYS)}, got {day!r}")
        return DAYS.index(day.lower())
    if every == "monthly":
        if not day.isdigit() or not 1 <= int(day) <= LAST_DAY:
            raise JobError(f"the day of a month must be 1 to {LAST_DAY}, got {day!r}")
        return int(day)
    return 0


def name_of_slot(slot: str, zone: str = "UTC", now: datetime | None = None) -> str:
    """Return the name of the slot that ``--slot`` means at a moment, by default now.

    Raises:
        JobError: as :func:`parse_slots` does.
    """
    slots = parse_slots(slot, zone)
    return slots if isinstance(slots, str) else slots.name(now or datetime.now(UTC))


def _check_date(name: str) -> None:
    try:
        datetime.fromisoformat(name)
    except ValueError as error:
        raise JobError(f"--slot {name!r} is not a date: {error}") from None


def _find_zone(name: str) -> ZoneInfo:
    """Find a time zone by its name.

    Raises:
        JobError: if it is unknown; similar names are shown.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        hint = nearest(name, available_timezones()).rstrip(".")
        raise JobError(
            f"unknown time zone {name!r}{hint}; give a name of the IANA database, such as UTC or "
            "Europe/Berlin"
        ) from None
