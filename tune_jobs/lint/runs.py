"""Rules of every run that a scheduler starts, whichever scheduler that is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.names import nearest
from tune_jobs.engine.recurring.slots import Slots, parse_slots
from tune_jobs.lint.commands import Command
from tune_jobs.lint.cron import Times

COMMANDS = ("run", "retest")
SLOT = "{slot}"
SCRIPT = "ray.sbatch"  # takes a job, a name and options, and adds --resume
DYNAMIC = re.compile(r"\$|`|\{\{")
# What a shell takes where a variable is empty, and Airflow where a run was not scheduled.
DEFAULT = re.compile(r"\$\{\w+:-([^}]*)\}|\{\{\s*'([^']*)' if .*\}\}")
TEMPLATE = re.compile(r"\$?\{\{.*?\}\}")


@dataclass(frozen=True)
class Firing:
    """What a scheduler does with a run.

    Attributes:
        times: when it starts it, by one or more schedules; none where that is not known.
        zone: the time zone of those; None where that is not said.
        limit: after how many seconds it ends it.
        limited_by: the setting that says so.
        overlaps: whether it may start one while another one runs.
    """

    times: Sequence[Times] = ()
    zone: str | None = None
    limit: float | None = None
    limited_by: str = ""
    overlaps: bool = False


def find_runs(text: str) -> list[list[str]]:
    """The words after ``tune-jobs`` of each run in a script of a shell.

    Raises:
        ValueError: for a quotation that does not end.
    """
    templates: list[str] = []

    def hide(match: re.Match[str]) -> str:
        templates.append(match[0])
        return f"@{len(templates) - 1}@"

    hidden = TEMPLATE.sub(hide, text.replace("\\\n", " "))
    parts = Command(hidden, ()).parts()
    shown = [
        [re.sub(r"@(\d+)@", lambda match: templates[int(match[1])], word) for word in part]
        for part in parts
    ]
    return [words for part in shown if (words := _run_in(part))]


def run_problems(words: Sequence[str], firing: Firing) -> Iterator[str]:
    """What is wrong with a run: the words after ``tune-jobs``, and what starts it."""
    options, problems = parse_options(words)
    yield from problems
    yield from _name_problems(options)
    yield from schedule_problems(words, firing)
    yield from _budget_problems(options, firing)
    if firing.overlaps and "--on-overlap" not in options:
        yield ("runs may overlap here, but --on-overlap is absent: say skip, wait or fail")
    if "--notify" in options and not DYNAMIC.search(options["--notify"]):
        yield "--notify shows its URL in process lists: set TUNE_JOBS_NOTIFY instead"


def schedule_problems(words: Sequence[str], firing: Firing) -> Iterator[str]:
    """Where the slots of a run do not begin when it is started."""
    options, _ = parse_options(words)
    written = DEFAULT.sub(r"\1\2", options.get("--slot", ""))
    if not written or DYNAMIC.search(written):
        return
    try:
        slots = parse_slots(written, options.get("--time-zone", "UTC"))
    except JobError as error:
        yield str(error)
        return
    if isinstance(slots, str):
        yield f"--slot is {written!r}, one slot for ever: write such as daily@02:00"
        return
    yield from _time_problems(slots, firing)


def parse_options(words: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The options of a run, flags with an empty value, and which ones tune-jobs does not know."""
    known = known_options(words[0])
    found: dict[str, str] = {}
    problems: list[str] = []
    rest = list(words[1:])
    while rest:
        name, equals, value = rest.pop(0).partition("=")
        if not name.startswith("--"):
            continue
        if known and name not in known:
            problems.append(f"`tune-jobs {words[0]}` has no option {name!r}{nearest(name, known)}")
        takes = known[name] if known and name in known else not rest or not rest[0].startswith("--")
        found[name] = rest.pop(0) if takes and rest and not equals else value
    return found, problems


@cache
def known_options(command: str) -> Mapping[str, bool]:
    """The options of a command, and whether they take a value; none for one that there is not."""
    from tune_jobs.cli.main import main

    if command not in main.commands:
        return {}
    return {
        name: not getattr(option, "is_flag", False)
        for option in main.commands[command].params
        for name in (*option.opts, *option.secondary_opts)
        if name.startswith("--")
    }


def _run_in(words: Sequence[str]) -> list[str]:
    for at, word in enumerate(words):
        last, rest = word.rpartition("/")[2], [*words[at + 1 :]]
        if last == SCRIPT and len(rest) > 1:
            return ["run", rest[0], "--name", rest[1], "--resume", *rest[2:]]
        is_module = word == "tune_jobs" and at > 0 and words[at - 1] == "-m"
        if (last == "tune-jobs" or is_module) and rest and rest[0] in COMMANDS:
            return rest
    return []


def _name_problems(options: Mapping[str, str]) -> Iterator[str]:
    name = options.get("--name", "")
    if DYNAMIC.search(name):
        yield f"--name is {name!r}, another one at each start: write {SLOT}, which --slot fills in"
    elif "--slot" in options and name and SLOT not in name:
        yield f"--slot without {SLOT} in --name: all slots would be one experiment"
    elif "--slot" not in options and SLOT in name:
        yield f"--name is {name!r}, but --slot is absent: it says what {SLOT} is"
    elif "--slot" not in options and not (name and "--resume" in options):
        yield (
            f"a start again would begin anew: give --slot, and a {SLOT} in --name, or --resume and "
            "a fixed --name"
        )


def _time_problems(slots: Slots, firing: Firing) -> Iterator[str]:
    if firing.times and not any(times.begin(slots) for times in firing.times):
        fires = " and ".join(map(str, firing.times))
        yield (
            f"--slot is {slots}, but it is started at {fires}: make them the same, or a run "
            "belongs to a slot that began before"
        )
    if firing.zone and slots.every != "hourly" and firing.zone != slots.zone:
        yield f"--time-zone is {slots.zone}, but it is started by the clock of {firing.zone}"


def _budget_problems(options: Mapping[str, str], firing: Firing) -> Iterator[str]:
    written = options.get("--max-hours")
    if written is None:
        yield "--max-hours is absent: the run must end itself before anything else ends it"
        return
    try:
        seconds = float(written) * 3600
    except ValueError:
        if not DYNAMIC.search(written):
            yield f"--max-hours is {written!r}, but must be a number"
        return
    if firing.limit is not None and seconds >= firing.limit:
        yield (
            f"{firing.limited_by} ends the run before --max-hours {written} ends it in good order"
        )
