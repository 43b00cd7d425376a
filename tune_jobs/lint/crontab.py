"""Lint of crontabs, cron's and Slurm's: fields, variables, and the runs that they start."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import available_timezones

from tune_jobs.engine.names import nearest
from tune_jobs.lint.cron import Times, parse_cron
from tune_jobs.lint.findings import Finding
from tune_jobs.lint.runs import Firing, find_runs, run_problems
from tune_jobs.lint.sbatch_options import TAKES, Directive, parse_directives
from tune_jobs.lint.script_lines import read_lines, secret_problem

SCRON = "#SCRON"
VARIABLE = re.compile(r"\s*[\"']?(?P<name>[A-Za-z_]\w*)[\"']?\s*=\s*(?P<value>.*)")
ENTRY = re.compile(r"\s*(?P<when>@\w+|(\S+\s+){4}\S+)(\s+(?P<command>\S.*))?")
BARE_PERCENT = re.compile(r"(?<!\\)%")
TIMEOUT = re.compile(r"\btimeout\s+(?:-\S+\s+)*(?P<count>\d+(\.\d*)?)(?P<unit>[smhd]?)(?=\s)")
UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
SLURM_TIME = re.compile(
    r"((?P<days>\d+)-)?(?P<first>\d+)(:(?P<second>\d+))?(:(?P<third>\d+))?", re.ASCII
)
Problem = tuple[int, str]


@dataclass(frozen=True)
class Table:
    """A crontab: its lines, and whether Slurm reads it."""

    lines: Sequence[str]
    of_slurm: bool


def lint_crontab(path: str | Path) -> list[Finding]:
    """All mistakes in a crontab.

    Raises:
        JobError: where it cannot be read.
    """
    lines = read_lines(path)
    of_slurm = Path(path).suffix == ".scrontab" or any(map(is_scron, lines))
    found = [*_check(Table(lines, of_slurm)), *_check_end(str(path), lines, of_slurm)]
    return sorted({Finding(str(path), line, text) for line, text in found})


def is_scron(line: str) -> bool:
    """Whether a line holds options for Slurm's scrontab."""
    return line.lstrip().startswith(SCRON)


def seconds_of(text: str) -> float | None:
    """What Slurm takes a time for, such as 30, 5:30:00 or 1-12; None for what is none."""
    match = SLURM_TIME.fullmatch(text)
    if match is None:
        return None
    first, second, third = (int(match[each] or 0) for each in ("first", "second", "third"))
    if match["days"]:
        return int(match["days"]) * 86400 + first * 3600 + second * 60 + third
    if match["third"]:
        return first * 3600 + second * 60 + third
    return first * 60 + second


def _check(table: Table) -> Iterator[Problem]:
    zone: str | None = None
    options: list[Directive] = []
    for number, line in enumerate(table.lines, 1):
        if is_scron(line):
            yield from _read_scron(number, line.strip(), options)
        elif not line.strip() or line.lstrip().startswith("#"):
            continue
        elif match := VARIABLE.fullmatch(line):
            zone = _zone(match["value"]) if match["name"] == "CRON_TZ" else zone
            yield from _check_variable(number, match["name"], match["value"])
        else:
            yield from _check_entry(table, number, line, zone, options)
            options = []


def _zone(value: str) -> str | None:
    zone = value.strip("\"' ")
    return zone if zone in available_timezones() else None


def _check_end(path: str, lines: Sequence[str], of_slurm: bool) -> Iterator[Problem]:
    if lines and not of_slurm and not Path(path).read_bytes().endswith(b"\n"):
        yield len(lines), "the last line does not end, so cron leaves it out: add a new line"


def _read_scron(number: int, line: str, options: list[Directive]) -> Iterator[Problem]:
    """The options of a #SCRON line, which are those of sbatch, and what is wrong with them."""
    try:
        found = [*parse_directives(number, line.removeprefix(SCRON))]
    except ValueError as error:
        yield number, f"scrontab cannot read it: {str(error).lower()}"
        return
    options += found
    for each in found:
        if not each.is_known:
            written = each.name if each.name.startswith("-") else f"--{each.name}"
            yield number, f"sbatch has no option {written!r}{nearest(each.name, TAKES)}"
        elif TAKES[each.name] == "=" and not each.value:
            yield number, f"--{each.name} needs a value"


def _check_variable(number: int, name: str, value: str) -> Iterator[Problem]:
    if problem := secret_problem(name, value):
        yield number, problem
    if name == "CRON_TZ" and (zone := value.strip("\"' ")) not in available_timezones():
        yield number, f"CRON_TZ is {zone!r}, no time zone{nearest(zone, available_timezones())}"
    elif re.search(r"\$\w|\$\{", value):
        yield number, f"{name} is {value!r}, in which cron fills in no variable: write it out"
    elif re.search(r"\s#", value):
        yield number, f"{name} is {value!r}: to cron the comment belongs to the value"


def _check_entry(
    table: Table, number: int, line: str, zone: str | None, options: Sequence[Directive]
) -> Iterator[Problem]:
    match = ENTRY.fullmatch(line)
    if match is None:
        yield number, f"{line.strip()!r} is no variable and has no 5 fields and a command"
        return
    try:
        times = parse_cron(match["when"])
    except ValueError as error:
        yield number, str(error)
        return
    if not match["command"]:
        yield number, f"{line.strip()!r} has no command"
        return
    yield from _check_command(table, number, match["command"])
    firing = _firing(table, match["command"], times, zone, options)
    yield from _check_runs(table, number, match["command"], firing)


def _check_command(table: Table, number: int, command: str) -> Iterator[Problem]:
    if not table.of_slurm and BARE_PERCENT.search(command):
        yield number, r"a bare % ends the command, and the rest is its input: write \%"
    if command.endswith("\\"):
        yield number, "a crontab knows no continued lines: write the command on one"
    for match in re.finditer(r"(?:^|\s)([A-Za-z_]\w*)=(\S*)", command):
        if problem := secret_problem(match[1], match[2]):
            yield number, problem


def _check_runs(table: Table, number: int, command: str, firing: Firing) -> Iterator[Problem]:
    text = command if table.of_slurm else command.replace(r"\%", "%")
    try:
        runs = find_runs(text)
    except ValueError as error:
        yield number, f"no shell reads the command: {str(error).lower()}"
        return
    for words in runs:
        yield from ((number, text) for text in run_problems(words, firing))
        if firing.limit is None:
            missing = "--time" if table.of_slurm else "`timeout 6h` before it"
            yield number, f"nothing ends a run that hangs: give {missing}"


def _firing(
    table: Table,
    command: str,
    times: Times | None,
    zone: str | None,
    options: Sequence[Directive],
) -> Firing:
    found = [times] if times else []
    if not table.of_slurm:
        match = TIMEOUT.search(command)
        limit = float(match["count"]) * UNITS[match["unit"]] if match else None
        return Firing(found, zone, limit, match[0].strip() if match else "", overlaps=True)
    submitted = re.search(r"\bsbatch\s+(?P<options>(?:-\S+\s+)*)", command)
    if submitted:
        options = [*parse_directives(0, submitted["options"])]
    values = {each.name: each.value for each in options}
    limit = seconds_of(values.get("time", ""))
    overlaps = bool(submitted) and "singleton" not in values.get("dependency", "")
    return Firing(found, None, limit, f"--time={values.get('time')}", overlaps)
