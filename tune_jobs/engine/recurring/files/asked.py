"""The options of ``tune-jobs schedule``, interpreted."""

from __future__ import annotations

import shutil
import sys
from datetime import time
from pathlib import Path

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.job.modules import list_jobs
from tune_jobs.engine.names import nearest
from tune_jobs.engine.recurring.files.firing import HOURS
from tune_jobs.engine.recurring.slots import TIME, Every, Slots, parse_day, parse_slots

EVERY: dict[str, Every] = {"hour": "hourly", "day": "daily", "week": "weekly", "month": "monthly"}
FIRST_DAYS = {"weekly": "mon", "monthly": "1"}
CLOCK = "02:00"
PROGRAM = ".venv/bin/tune-jobs"
MOST_HOURS = 5.0
PART_OF_HOUR = 0.75


def slots_of(every: str, day: str | None, clock: str | None, zone: str | None) -> Slots:
    """Return when slots begin; UTC is the default zone.

    Raises:
        JobError: if a day or a time is malformed, or such slots have none.
    """
    kind = EVERY[every]
    if day is not None and kind not in FIRST_DAYS:
        raise JobError(f"--on needs --every week or --every month, got {day!r}")
    if kind == "hourly":
        for option, value in {"--at": clock, "--time-zone": zone}.items():
            if value is not None:
                raise JobError(f"--every hour starts at each full hour and takes no {option}")
        return Slots("hourly")
    at = TIME.fullmatch(clock or CLOCK)
    if at is None:
        raise JobError(f"--at must be a time of day such as 02:00, got {clock!r}")
    on = parse_day(kind, day or FIRST_DAYS.get(kind, ""))
    slots = Slots(kind, time(int(at[1]), int(at[2])), on, zone or "UTC")
    parse_slots(str(slots), slots.zone)
    return slots


def hours_of(slots: Slots, hours: float | None) -> float:
    """Return the budget of a run: as given, else one that fits between two slots."""
    if hours is not None:
        return hours
    return PART_OF_HOUR if HOURS[slots.every] == 1 else MOST_HOURS


def name_of_job(job: str) -> str:
    """Return the short name of an existing job, without importing it.

    Raises:
        JobError: if there is no job of that name, or no such file.
    """
    if job.endswith(".py"):
        if not Path(job).is_file():
            near = [str(other) for other in Path(job).parent.glob("*.py")]
            raise JobError(f"no such job file: {job!r}{nearest(job, near)}")
        return Path(job).stem
    if "." in job and all(part.isidentifier() for part in job.split(".")):
        return job.rpartition(".")[2]
    if job not in (jobs := list_jobs()):
        raise JobError(
            f"no job named {job!r}{nearest(job, jobs)} Jobs: {', '.join(jobs)}, or the path of a "
            "file"
        )
    return job


def program_in(folder: str) -> str:
    """Return the program that a scheduler starts in a folder.

    It is that of the folder's own environment, else the running one by its path: schedulers look
    for programs in few places.
    """
    there = Path(folder).expanduser()
    if (there / PROGRAM).exists() or not there.exists():
        return PROGRAM
    own = Path(sys.argv[0]).absolute()
    return str(own) if own.name == Path(PROGRAM).name else shutil.which("tune-jobs") or "tune-jobs"
