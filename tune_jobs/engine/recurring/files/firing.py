"""The times at which slots begin, as cron and systemd write them."""

from __future__ import annotations

from math import ceil

from tune_jobs.engine.recurring.slots import LAST_DAY, Slots

HOURS = {"hourly": 1, "daily": 24, "weekly": 7 * 24, "monthly": LAST_DAY * 24}
CALENDAR_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
FULL_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
DAY = 24 * 60  # minutes


def as_cron(slots: Slots) -> str:
    """Return the five fields by which cron starts a run as each slot begins."""
    if slots.every == "hourly":
        return "0 * * * *"
    return _cron(slots, slots.at.hour * 60 + slots.at.minute)


def as_calendar(slots: Slots) -> str:
    """Return the value of OnCalendar=, with the time zone."""
    if slots.every == "hourly":
        return f"*-*-* *:00:00 {slots.zone}"
    weekday = f"{CALENDAR_DAYS[slots.on]} " if slots.every == "weekly" else ""
    day = f"{slots.on:02}" if slots.every == "monthly" else "*"
    return f"{weekday}*-*-{day} {slots.at:%H:%M}:00 {slots.zone}"


def in_words(slots: Slots) -> str:
    """Say when slots begin: ``every Sunday at 02:00 (Europe/Berlin)``."""
    if slots.every == "hourly":
        return "every hour"
    day = {
        "daily": "every day",
        "weekly": f"every {FULL_DAYS[slots.on % 7]}",
        "monthly": f"on day {slots.on} of each month",
    }[slots.every]
    return f"{day} at {slots.at:%H:%M} ({slots.zone})"


def when_overdue(slots: Slots, max_hours: float) -> tuple[str, str]:
    """Return when to check that a slot's run succeeded, and how far back to look.

    The check is an hour after the latest end. It looks back to just before the slot began, even if
    clocks were put back since, and so never at the run of the slot before.
    """
    if slots.every == "hourly":
        return "50 * * * *", "2h"
    hours = ceil(max_hours) + 1
    minutes = slots.at.hour * 60 + slots.at.minute + hours * 60
    if slots.every == "monthly" and slots.on + minutes // DAY > LAST_DAY:
        # Some months end on the 28th, so the check waits for the first days of the next one.
        late = 24 * (31 - LAST_DAY)
        return _cron(slots, minutes), f"{hours + 1 + late}h"
    return _cron(slots, minutes), f"{hours + 1}h"


def _cron(slots: Slots, minutes: int) -> str:
    """Return the fields for some minutes after midnight of a day on which slots begin."""
    days, minutes = divmod(minutes, DAY)
    weekday = str((slots.on + 1 + days) % 7) if slots.every == "weekly" else "*"
    day = str((slots.on + days - 1) % LAST_DAY + 1) if slots.every == "monthly" else "*"
    return f"{minutes % 60} {minutes // 60} {day} * {weekday}"
