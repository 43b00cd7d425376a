"""Units of systemd as it reads them: sections, settings, and the lines that they stand on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

SECTION = re.compile(r"\s*\[(?P<name>[^]]*)\]\s*")
SETTING = re.compile(r"\s*(?P<key>[^=\s]+)\s*=\s*(?P<value>.*)", re.DOTALL)
Problem = tuple[int, str]


@dataclass(frozen=True)
class Setting:
    """One assignment: where it stands, and what it says."""

    line: int
    section: str
    key: str
    value: str


@dataclass(frozen=True)
class Unit:
    """A unit's file.

    Attributes:
        settings: in their order.
        sections: the line of each section.
        problems: lines that are neither.
    """

    settings: list[Setting] = field(default_factory=list)
    sections: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def find(self, section: str, key: str) -> Setting | None:
        """The setting that counts: the last of its name."""
        return next((each for each in reversed(self.settings) if _is(each, section, key)), None)

    def all(self, section: str, key: str) -> list[Setting]:
        """All settings of a name, for those that add up; an empty one takes back those before."""
        found: list[Setting] = []
        for each in self.settings:
            if _is(each, section, key):
                found = [*found, each] if each.value else []
        return found

    def line(self, section: str) -> int:
        """The line of a section, or the first one."""
        return self.sections.get(section, 1)


def parse_unit(lines: Sequence[str]) -> Unit:
    """Read a unit."""
    unit, section = Unit(), ""
    for number, text in _logical(lines):
        if match := SECTION.fullmatch(text):
            section = match["name"]
            unit.sections.setdefault(section, number)
        elif match := SETTING.fullmatch(text):
            unit.settings.append(Setting(number, section, match["key"], match["value"].strip()))
        else:
            unit.problems.append((number, f"{text.strip()!r} is no [Section] and no Key=value"))
    return unit


def _logical(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Lines with those that a backslash continues, without comments, also those in between."""
    number, parts = 0, list[str]()
    for at, text in enumerate(lines, 1):
        if text.lstrip().startswith(("#", ";")) or not (text.strip() or parts):
            continue
        number = number if parts else at
        parts.append(text.removesuffix("\\"))
        if not text.endswith("\\"):
            yield number, " ".join(parts)
            parts = []
    if parts:
        yield number, " ".join(parts)


def _is(setting: Setting, section: str, key: str) -> bool:
    return setting.section == section and setting.key == key
