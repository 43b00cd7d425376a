"""Slots of a schedule: each moment lies in one, and a run that is started twice in it is one run.

A slot begins at a time of the clock in a stated time zone and lasts until the next one begins. Its
name is the day on which it begins (``2026-11-28``), of an hourly one the hour too
(``2026-11-28T02``), so that names sort as slots follow each other. Where clocks are put back, the
hour that comes twice has two names (``2026-10-25T02`` and ``2026-10-25T02b``), and a time of day
that comes twice begins a slot when it comes first; one that is left out, where clocks are put
forward, begins a slot when clocks that were not put forward would show it.
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

NAME = re.compile(r"\d{4}-\d\d-\d\d(T\d\db?)?")
TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
RULE = (
    "hourly, daily, weekly or monthly, with the time at which a slot begins where that is not "
    "midnight (daily@02:00, weekly@sun-02:00, monthly@15-02:00), or the name of a slot "
    "(2026-11-28)"
)


@dataclass(frozen=True)
class Slots:
    """When slots begin.

    Attributes:
        every: how often.
        at: the time of day, of daily, weekly and monthly slots.
        on: the day: of weekly slots 0 (Monday) to 6, of monthly ones 1 to 28; else 0.
        zone: the time zone, by its name in the IANA database.
    """

    every: Every
    at: time = time(0)
    on: int = 0
    zone: str = "UTC"

    def __str__(self) -> str:
        """As it is written on the command line."""
        if self.every == "hourly":
            return self.every
        day = {"weekly": f"{DAYS[self.on % 7]}-", "monthly": f"{self.on}-"}.get(self.every, "")
        return f"{self.every}@{day}{self.at:%H:%M}"

    def name(self, now: datetime) -> str:
        """The name of the slot that a moment lies in.

        Args:
            now: the moment, with a time zone of its own.
        """
        zone = _find_zone(self.zone)
        local = now.astimezone(zone)
        if self.every == "hourly":
            return f"{local:%Y-%m-%dT%H}{'b' if local.fold else ''}"
        begun = (day for day in self._days_around(local.date()) if self._begin(day, zone) <= now)
        return max(begun).isoformat()

    def _begin(self, day: date, zone: ZoneInfo) -> datetime:
        """When the slot that is named after a day begins."""
        return datetime.combine(day, self.at, zone).astimezone(UTC)

    def _days_around(self, today: date) -> Iterator[date]:
        """The days near today on which a slot begins: the last ones, today, and the next."""
        reach = {"daily": 2, "weekly": 8, "monthly": 33}[self.every]
        for shift in range(-reach, 2):
            day = today + timedelta(days=shift)
            is_weekly = self.every == "weekly" and day.weekday() == self.on
            is_monthly = self.every == "monthly" and day.day == self.on
            if self.every == "daily" or is_weekly or is_monthly:
                yield day


def parse_slots(text: str, zone: str = "UTC") -> Slots | str:
    """What ``--slot`` says: a schedule, or the name of one slot as it stands.

    Raises:
        JobError: for what is neither, and for a time zone that is not known.
    """
    _find_zone(zone)
    if NAME.fullmatch(text):
        _check_date(text)
        return text
    every, mark, when = text.partition("@")
    if every not in EVERY:
        raise JobError(f"--slot is {text!r}{nearest(every, EVERY).rstrip('.')}; it must be {RULE}")
    if not mark:
        return Slots(every, on=1 if every == "monthly" else 0, zone=zone)
    day, dash, clock = when.rpartition("-")
    at = TIME.fullmatch(clock)
    if at is None or every == "hourly" or bool(dash) != (every in ("weekly", "monthly")):
        raise JobError(f"--slot is {text!r}, but must be {RULE}")
    return Slots(every, time(int(at[1]), int(at[2])), parse_day(every, day), zone)


def parse_day(every: Every, day: str) -> int:
    """The day on which weekly or monthly slots begin.

    Raises:
        JobError: where it is none.
    """
    if every == "weekly":
        if day.lower() not in DAYS:
            raise JobError(f"the day of a week is {day!r}, but must be one of {', '.join(DAYS)}")
        return DAYS.index(day.lower())
    if every == "monthly":
        if not day.isdigit() or not 1 <= int(day) <= LAST_DAY:
            raise JobError(f"the day of a month is {day!r}, but must be 1 to {LAST_DAY}")
        return int(day)
    return 0


def name_of_slot(slot: str, zone: str = "UTC", now: datetime | None = None) -> str:
    """The name of the slot that ``--slot`` means at a moment; the default is now.

    Raises:
        JobError: as :func:`parse_slots` does.
    """
    slots = parse_slots(slot, zone)
    return slots if isinstance(slots, str) else slots.name(now or datetime.now(UTC))


def _check_date(name: str) -> None:
    try:
        datetime.fromisoformat(name.removesuffix("b"))
    except ValueError as error:
        raise JobError(f"--slot is {name!r}, but no calendar has it: {error}") from None


def _find_zone(name: str) -> ZoneInfo:
    """A time zone.

    Raises:
        JobError: where there is none of that name; the nearest are shown.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        hint = nearest(name, available_timezones()).rstrip(".")
        raise JobError(
            f"time zone {name!r} is not known{hint}; write one of the IANA database, such as UTC "
            "or Europe/Berlin"
        ) from None
