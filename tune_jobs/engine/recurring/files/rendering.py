"""Files for schedulers: one template each, and one entry in a table."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.recurring.files import words
from tune_jobs.engine.recurring.files.firing import HOURS, as_calendar, when_overdue
from tune_jobs.engine.recurring.files.scheduled import MARGIN, ScheduledRun
from tune_jobs.engine.recurring.files.zones import is_inside_gap, left_out

Check = Callable[[ScheduledRun], None]


def _check_gap(run: ScheduledRun) -> None:
    """Refuse a time that clocks skip: cron would start the run before its slot begins."""
    day = left_out(run.slots)
    if day and is_inside_gap(run.slots, day):
        raise JobError(
            f"--at is {run.slots.at:%H:%M}, which clocks in {run.slots.zone} skip on {day}: cron "
            "would start the run before its slot begins; use another time, or --time-zone UTC"
        )


def _check_program(run: ScheduledRun) -> None:
    if found := re.search(r"[\"'\\]", run.folder):
        raise JobError(
            f"--folder is {run.folder!r}, but systemd starts no program whose path has {found[0]}"
        )


def _check_run(run: ScheduledRun) -> None:
    _check_gap(run)
    if run.command != "run":
        raise JobError("--retest: cluster/slurm/ray.sbatch only runs `tune-jobs run`; use cron")


@dataclass(frozen=True)
class Scheduler:
    """The needs of a scheduler.

    Attributes:
        files: the template of each file, by the file's name; ``{base}`` and ``{identifier}`` are
            those of the run.
        fires_here: whether it starts runs by the clock of its machine.
        has_folder: whether runs start in a folder of a machine.
        check: refuses what this scheduler cannot do.
    """

    files: dict[str, str]
    fires_here: bool = False
    has_folder: bool = True
    check: Check | None = None


SCHEDULERS = {
    "cron": Scheduler({"{base}.crontab": "cron.j2"}, fires_here=True, check=_check_gap),
    "systemd": Scheduler(
        {
            "{identifier}.service": "systemd_service.j2",
            "{identifier}.timer": "systemd_timer.j2",
            "{identifier}-failed.service": "systemd_failed.j2",
        },
        check=_check_program,
    ),
    "kubernetes": Scheduler({"rayjob_{base}.yaml": "kubernetes.j2"}, has_folder=False),
    "slurm": Scheduler({"{base}.scrontab": "slurm.j2"}, fires_here=True, check=_check_run),
}


def render(run: ScheduledRun, scheduler: str) -> dict[str, str]:
    """Render the files of a scheduler, by their names.

    Raises:
        JobError: if the scheduler cannot do it.
    """
    entry = SCHEDULERS[scheduler]
    if entry.check is not None:
        entry.check(run)
    names = {
        name.format(base=run.base, identifier=run.identifier): template
        for name, template in entry.files.items()
    }
    return {name: _fill(run, scheduler, name, template) for name, template in names.items()}


def as_stream(files: dict[str, str]) -> str:
    """Join files; if there are several, each below a line with its name."""
    if len(files) == 1:
        return next(iter(files.values()))
    return "\n".join(f"# --- {name} ---\n{text}" for name, text in files.items())


def write(files: dict[str, str], folder: Path) -> list[Path]:
    """Write the files into a folder.

    Raises:
        JobError: if one of them exists, in which case none is written, or cannot be written.
    """
    paths = {folder / name: text for name, text in files.items()}
    for path in paths:
        if path.exists():
            raise JobError(f"{path} exists: remove it, or write to another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in paths.items():
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise JobError(f"{folder} cannot be written: {error.strerror}") from None
    return list(paths)


def _fill(run: ScheduledRun, scheduler: str, name: str, template: str) -> str:
    asked_at, within = when_overdue(run.slots, run.max_hours)
    made_by = run.made_by(scheduler)
    if SCHEDULERS[scheduler].has_folder:
        made_by += ["--folder", run.folder]
    return (
        _environment()
        .get_template(template)
        .render(
            run=run,
            file=name,
            words=words,
            calendar=as_calendar(run.slots),
            made_by=words.wrap([shlex.quote(word) for word in made_by], 86),
            left_out=left_out(run.slots),
            asked_at=asked_at,
            within=within,
            margin=MARGIN,
            period=HOURS[run.slots.every],
        )
    )


def _environment() -> Environment:
    """Return Jinja with the marks {= and =}: braces are common in what is rendered."""
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        variable_start_string="{=",
        variable_end_string="=}",
        comment_start_string="{##",
        comment_end_string="##}",
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # not HTML: each template quotes for its own reader
    )
