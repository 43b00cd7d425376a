"""Cron expressions: when they fire, and what no cron reads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from tune_jobs.engine.names import nearest
from tune_jobs.engine.recurring.slots import Slots

MONTHS = (*("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),)
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
STEP = re.compile(r"(?P<range>[^/]+)(/(?P<step>\d+))?")


@dataclass(frozen=True)
class Field:
    """One field: its name, its least and its largest number, and the names that stand for some."""

    name: str
    least: int
    most: int
    names: tuple[str, ...] = ()

    def number(self, text: str) -> int:
        """What a number or a name stands for.

        Raises:
            ValueError: for what the field does not have.
        """
        if text.lower() in self.names:
            return self.names.index(text.lower()) + (1 if self.names is MONTHS else 0)
        if not text.isdecimal() or not self.least <= int(text) <= self.most:
            names = f" or {self.names[0]} to {self.names[-1]}" if self.names else ""
            raise ValueError(
                f"the {self.name} is {text!r}, but must be {self.least} to {self.most}{names}"
            )
        return int(text)


FIELDS = (
    Field("minute", 0, 59),
    Field("hour", 0, 23),
    Field("day of the month", 1, 31),
    Field("month", 1, 12, MONTHS),
    Field("day of the week", 0, 7, WEEKDAYS),
)


@dataclass(frozen=True)
class Times:
    """When something fires; no days or no weekdays stand for any.

    Attributes:
        minutes: of an hour.
        hours: of a day.
        days: of a month.
        weekdays: of a week, 0 for Monday.
    """

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int] = frozenset()
    weekdays: frozenset[int] = frozenset()

    def begin(self, slots: Slots) -> bool:
        """Whether it fires each time that one of some slots begins."""
        if slots.every == "hourly":
            return True
        if slots.at.hour not in self.hours or slots.at.minute not in self.minutes:
            return False
        if slots.every == "weekly":
            return slots.on in self.weekdays if self.weekdays else not self.days
        if slots.every == "monthly":
            return slots.on in self.days if self.days else not self.weekdays
        return True

    def __str__(self) -> str:
        """The times of day, the first three of them."""
        times = [f"{hour:02}:{minute:02}" for hour, minute in product(self.hours, self.minutes)]
        return ", ".join(sorted(times)[:3]) + (", ..." if len(times) > 3 else "")


def parse_cron(text: str, last_weekday: int = 7) -> Times | None:
    """When a cron expression fires; None for ``@reboot`` and ``@every``, which know no clock.

    Args:
        text: five fields, or a nickname.
        last_weekday: 7 where that is Sunday too, 6 where it is not.

    Raises:
        ValueError: with what is wrong.
    """
    if text.startswith("@"):
        if text == "@reboot" or text.startswith("@every "):
            return None
        if text not in NICKNAMES:
            raise ValueError(f"cron knows no {text!r}{nearest(text, [*NICKNAMES, '@reboot'])}")
        text = NICKNAMES[text]
    words = text.split()
    if len(words) != len(FIELDS):
        raise ValueError(f"{text!r} has {len(words)} fields, but cron wants {len(FIELDS)}")
    minutes, hours, days, _, weekdays = (
        _parse(field, word) for field, word in zip(_fields(last_weekday), words, strict=True)
    )
    return Times(
        minutes,
        hours,
        frozenset() if words[2].startswith("*") else days,
        frozenset() if words[4].startswith("*") else frozenset((day + 6) % 7 for day in weekdays),
    )


def _fields(last_weekday: int) -> Sequence[Field]:
    return (*FIELDS[:4], Field(FIELDS[4].name, 0, last_weekday, WEEKDAYS))


def _parse(field: Field, text: str) -> frozenset[int]:
    numbers: set[int] = set()
    for part in text.split(","):
        match = STEP.fullmatch(part)
        if match is None or match["step"] == "0":
            raise ValueError(f"the {field.name} is {part!r}, but must be such as *, 1-5 or */2")
        first, last = _range(field, match["range"], stepped=bool(match["step"]))
        numbers.update(range(first, last + 1, int(match["step"] or 1)))
    return frozenset(numbers)


def _range(field: Field, text: str, *, stepped: bool) -> tuple[int, int]:
    if text == "*":
        return field.least, field.most
    begin, dash, end = text.partition("-")
    first = field.number(begin)
    last = field.number(end) if dash else field.most if stepped else first
    if last < first:
        raise ValueError(f"the {field.name} is {text!r}, which ends before it begins")
    return first, last
