"""Rules for every run that a scheduler starts, whichever scheduler that is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.recurring.files.firing import as_cron
from tune_jobs.engine.recurring.slots import Slots, parse_slots
from tune_jobs.lint.commands import COMPUTED, KnownOptions, parse_options, unknown_words

RUNS = ("run", "retest")
SLOT = "{slot}"
OPEN = re.compile(r"\$|\{\{")  # a value that only the scheduler or the shell knows
ARGUMENTS = ("$@", "$*")


@dataclass(frozen=True)
class Start:
    """The way a scheduler starts and ends a run.

    Attributes:
        cron: the five fields by which it starts; empty if unknown.
        zone: the time zone of these; None if unknown.
        limit: the seconds after which it ends the run; None if unknown.
        limited_by: the setting that says so.
        overlaps: whether it may start a run while another is running.
    """

    cron: str = ""
    zone: str | None = None
    limit: float | None = None
    limited_by: str = ""
    overlaps: bool = False


def check_command(words: Sequence[str], start: Start, known: KnownOptions) -> Iterator[str]:
    """Yield what is wrong with a command: the words after ``tune-jobs``, and what starts it."""
    yield from unknown_words(words, known)
    if words[0] not in RUNS:
        return
    options = parse_options(words, known.get(words[0], {}))
    has_more = any(word in ARGUMENTS for word in words)
    yield from _check_name(options, has_more=has_more)
    yield from _check_slot(options, start)
    yield from _check_budget(options, start, has_more=has_more)
    if start.overlaps and "--on-overlap" not in options and not has_more:
        yield "runs may overlap here: add --on-overlap skip, wait or fail"
    if "--notify" in options and not OPEN.search(options["--notify"]):
        yield "--notify shows its URL in process lists: set TUNE_JOBS_NOTIFY instead"


def is_resumable(words: Sequence[str], known: KnownOptions) -> bool:
    """Return whether a command started again continues the same experiment."""
    options = parse_options(words, known.get(words[0], {}))
    return words[0] in RUNS and not [*_check_name(options, has_more=False)]


def _check_name(options: Mapping[str, str], *, has_more: bool) -> Iterator[str]:
    name, has_slot = options.get("--name", ""), "--slot" in options
    if COMPUTED in name:
        yield f"--name is different at each start: write {SLOT} in it and add --slot"
    elif has_slot and name and SLOT not in name:
        yield f"--slot without {SLOT} in --name: all slots would be one experiment"
    elif not has_slot and SLOT in name:
        yield f"--name is {name!r}, but --slot is missing: it gives the value of {SLOT}"
    elif not (has_slot or has_more or (name and "--resume" in options)):
        yield (
            f"a restart would begin a new experiment; add --slot and {SLOT} in --name, or "
            "--resume and a fixed --name"
        )


def _check_slot(options: Mapping[str, str], start: Start) -> Iterator[str]:
    written = options.get("--slot", "")
    if not written or OPEN.search(written):
        return
    try:
        slots = parse_slots(written, options.get("--time-zone", "UTC"))
    except JobError as error:
        yield str(error)
        return
    if isinstance(slots, str):
        yield f"--slot is {written!r}, always the same slot: write one such as daily@02:00"
    elif _starts_elsewhen(start.cron, slots):
        yield (
            f"--slot is {slots}, but the run starts at {start.cron!r}: write the same time, or "
            "each run belongs to the slot before"
        )
    elif start.zone and slots.every != "hourly" and start.zone != slots.zone:
        yield f"--time-zone is {slots.zone}, but the run starts by the clock of {start.zone}"


def _starts_elsewhen(cron: str, slots: Slots) -> bool:
    """Compare only plain numbers: lists, ranges and steps are left to the scheduler."""
    fields = re.sub(r" 7$", " 0", cron).split()  # both are Sunday
    pairs = zip(fields, as_cron(slots).split(), strict=False)
    return any(a.isdecimal() and b.isdecimal() and int(a) != int(b) for a, b in pairs)


def _check_budget(options: Mapping[str, str], start: Start, *, has_more: bool) -> Iterator[str]:
    written = options.get("--max-hours")
    if written is None:
        if not has_more:
            yield "--max-hours is missing: a run must end itself before something else ends it"
        return
    try:
        seconds = float(written) * 3600
    except ValueError:
        if not OPEN.search(written):
            yield f"--max-hours must be a number, got {written!r}"
        return
    if start.limit is not None and seconds >= start.limit:
        yield f"{start.limited_by} ends the run before --max-hours {written} does"
