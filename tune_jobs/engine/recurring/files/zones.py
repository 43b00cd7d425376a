"""The time zone of this machine, and the times of day that a zone's clocks skip."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from tune_jobs.engine.recurring.slots import Slots

LINK = Path("/etc/localtime")
AS_UTC = ("Etc/UTC", "Etc/UCT", "Etc/Universal", "Etc/Zulu", "UCT", "Universal", "Zulu", "GMT")
YEARS = 2


def machine_zone(link: Path = LINK) -> str:
    """Return the time zone of cron here: that of TZ or of /etc/localtime, else UTC."""
    named = os.environ.get("TZ", "").removeprefix(":")
    if not named and link.is_symlink():
        named = str(link.readlink())
    name = named.partition("zoneinfo/")[2] or named
    return "UTC" if not _is_known(name) or name in AS_UTC else name


def left_out(slots: Slots, today: date | None = None) -> date | None:
    """Return the next day on which clocks skip the time at which slots begin."""
    if slots.every == "hourly" or slots.zone == "UTC":
        return None
    day = today or datetime.now(UTC).date()
    days = (day + timedelta(days=shift) for shift in range(YEARS * 366))
    return next((each for each in days if _is_left_out(each, slots.at, slots.zone)), None)


def is_inside_gap(slots: Slots, day: date) -> bool:
    """Return whether clocks skip the minute before, too."""
    before = datetime.combine(day, slots.at) - timedelta(minutes=1)
    return _is_left_out(before.date(), before.time(), slots.zone)


def _is_left_out(day: date, at: time, zone: str) -> bool:
    local = datetime.combine(day, at, ZoneInfo(zone))
    back = local.astimezone(UTC).astimezone(ZoneInfo(zone))
    return back.replace(tzinfo=None) != local.replace(tzinfo=None)


def _is_known(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True
