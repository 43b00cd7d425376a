"""What the options of ``tune-jobs schedule`` mean."""

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
    """When slots begin; without a zone by UTC.

    Raises:
        JobError: for a day or a time that such slots do not have, and for what is none.
    """
    kind = EVERY[every]
    if day is not None and kind not in FIRST_DAYS:
        raise JobError(f"--on is {day!r}, but only --every week and --every month have a day")
    if kind == "hourly":
        for option, value in {"--at": clock, "--time-zone": zone}.items():
            if value is not None:
                raise JobError(f"{option} is {value!r}, but --every hour begins at each full hour")
        return Slots("hourly")
    at = TIME.fullmatch(clock or CLOCK)
    if at is None:
        raise JobError(f"--at is {clock!r}, but must be a time of day such as 02:00")
    on = parse_day(kind, day or FIRST_DAYS.get(kind, ""))
    slots = Slots(kind, time(int(at[1]), int(at[2])), on, zone or "UTC")
    parse_slots(str(slots), slots.zone)
    return slots


def hours_of(slots: Slots, hours: float | None) -> float:
    """The budget of a run: as given, else one that fits between two slots."""
    if hours is not None:
        return hours
    return PART_OF_HOUR if HOURS[slots.every] == 1 else MOST_HOURS


def name_of_job(job: str) -> str:
    """The short name of a job that is there; it is not imported.

    Raises:
        JobError: where there is none of that name, or no such file.
    """
    if job.endswith(".py"):
        if not Path(job).is_file():
            near = [str(other) for other in Path(job).parent.glob("*.py")]
            raise JobError(f"no job file at {job!r}{nearest(job, near)}")
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
    """How tune-jobs is started in a folder: by its own environment, or by the one that runs this.

    A scheduler looks for programs in few places, so that the latter is called by its path.
    """
    there = Path(folder).expanduser()
    if (there / PROGRAM).exists() or not there.exists():
        return PROGRAM
    own = Path(sys.argv[0]).absolute()
    return str(own) if own.name == Path(PROGRAM).name else shutil.which("tune-jobs") or "tune-jobs"
