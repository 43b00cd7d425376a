"""Lint of systemd's units: settings that it would pass over, and units that belong together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tune_jobs.engine.names import nearest
from tune_jobs.lint.cron import Times
from tune_jobs.lint.findings import Finding
from tune_jobs.lint.script_lines import read_lines
from tune_jobs.lint.systemd_service import check_service, runs_of, time_problems
from tune_jobs.lint.systemd_settings import SETTINGS
from tune_jobs.lint.systemd_time import parse_calendar
from tune_jobs.lint.systemd_unit import Problem, Setting, Unit, parse_unit

OTHERS = ("Socket", "Path", "Mount", "Automount", "Swap", "Slice", "Scope")
CLOCKS = ("OnActiveSec", "OnBootSec", "OnStartupSec", "OnUnitActiveSec", "OnUnitInactiveSec")


def lint_systemd(path: str | Path) -> list[Finding]:
    """All mistakes in a unit.

    Raises:
        JobError: where it cannot be read.
    """
    place, unit = Path(path), parse_unit(read_lines(path))
    found = [*unit.problems, *_check_settings(unit), *_check_failure_unit(place, unit)]
    if "Service" in unit.sections:
        found += check_service(unit)
    if "Timer" in unit.sections or place.suffix == ".timer":
        found += _check_timer(place, unit)
    return sorted({Finding(str(path), line, text) for line, text in found})


def _check_settings(unit: Unit) -> Iterator[Problem]:
    for section, line in unit.sections.items():
        if section not in (*SETTINGS, *OTHERS) and not section.startswith("X-"):
            yield line, f"systemd has no section [{section}]{nearest(section, SETTINGS)}"
    for each in unit.settings:
        known = SETTINGS.get(each.section)
        if known is None or each.key in known or each.key.startswith("X-"):
            continue
        elsewhere = [section for section, keys in SETTINGS.items() if each.key in keys]
        hint = f"; it belongs into [{elsewhere[0]}]" if elsewhere else nearest(each.key, known)
        yield each.line, f"[{each.section}] has no setting {each.key}={hint}"


def _check_failure_unit(path: Path, unit: Unit) -> Iterator[Problem]:
    for each in (*unit.all("Unit", "OnFailure"), *unit.all("Unit", "OnSuccess")):
        for name in each.value.split():
            if not _unit_file(path, name):
                yield each.line, f"{each.key}={name}, but no such unit is beside this one"


def _unit_file(path: Path, name: str) -> Path | None:
    """The file of a unit beside another one; that of its template where it is an instance."""
    template = f"{name.partition('@')[0]}@{Path(name).suffix}"
    places = (path.parent / each for each in (name, template if "@" in name else name))
    return next((place for place in places if place.is_file()), None)


def _check_timer(path: Path, unit: Unit) -> Iterator[Problem]:
    named = unit.find("Timer", "Unit")
    service = named.value if named else f"{path.stem}.service"
    there = _unit_file(path, service)
    if there is None:
        line = named.line if named else unit.line("Timer")
        yield line, f"the timer starts {service}, but no such unit is beside it"
    calendars = unit.all("Timer", "OnCalendar")
    if not calendars and not any(unit.all("Timer", each) for each in CLOCKS):
        yield unit.line("Timer"), "nothing says when it fires: give OnCalendar="
    yield from _check_install(unit, calendars)
    yield from _check_calendars(calendars, parse_unit(read_lines(there)) if there else Unit())


def _check_install(unit: Unit, calendars: list[Setting]) -> Iterator[Problem]:
    persistent = unit.find("Timer", "Persistent")
    if calendars and (persistent is None or persistent.value not in ("true", "yes", "on", "1")):
        line = persistent.line if persistent else calendars[0].line
        yield line, "without Persistent=true a machine that is off then misses the run"
    if not any("timers.target" in each.value for each in unit.all("Install", "WantedBy")):
        line = unit.line("Install" if "Install" in unit.sections else "Timer")
        yield line, "[Install] needs WantedBy=timers.target, or `systemctl enable` does nothing"


def _check_calendars(calendars: list[Setting], service: Unit) -> Iterator[Problem]:
    times: list[Times] = []
    zones: set[str | None] = set()
    for each in calendars:
        try:
            calendar = parse_calendar(each.value)
        except ValueError as error:
            yield each.line, f"OnCalendar: {error}"
            return
        times.append(calendar.times)
        zones.add(calendar.zone)
    zone = zones.pop() if len(zones) == 1 else None
    for words in runs_of(service):
        for text in time_problems(words, times, zone):
            yield calendars[0].line if calendars else 1, text
