"""Files for schedulers. One more scheduler is one more template, and one more entry of a table."""

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
    """Cron makes up for a time that is left out before the slot begins that it is meant for."""
    day = left_out(run.slots)
    if day and is_inside_gap(run.slots, day):
        raise JobError(
            f"--at is {run.slots.at:%H:%M}, which {run.slots.zone} leaves out on {day}: cron fires "
            "before the slot begins then; take another time, or --time-zone UTC"
        )


def _check_utc(run: ScheduledRun) -> None:
    if run.slots.zone != "UTC":
        raise JobError(
            f"--time-zone is {run.slots.zone}, but a workflow of GitHub is made for UTC alone"
        )


def _check_program(run: ScheduledRun) -> None:
    if found := re.search(r"[\"'\\]", run.folder):
        raise JobError(f"--folder is {run.folder!r}, but systemd starts no program with {found[0]}")


def _check_run(run: ScheduledRun) -> None:
    _check_gap(run)
    if run.command != "run":
        raise JobError("--retest: cluster/slurm/ray.sbatch knows `tune-jobs run` alone; use cron")


@dataclass(frozen=True)
class Scheduler:
    """What a scheduler wants.

    Attributes:
        files: the template of each file, by the file's name; ``{base}`` and ``{identifier}`` are
            those of the run.
        fires_here: whether it fires by the clock of the machine that it is on.
        has_folder: whether runs begin in a folder of a machine.
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
    "raycronjob": Scheduler({"raycronjob_{base}.yaml": "raycronjob.j2"}, has_folder=False),
    "slurm": Scheduler({"{base}.scrontab": "slurm.j2"}, fires_here=True, check=_check_run),
    "github": Scheduler({"{base}.yaml": "github.j2"}, has_folder=False, check=_check_utc),
    "airflow": Scheduler({"{base}_dag.py": "airflow.j2"}),
}


def render(run: ScheduledRun, scheduler: str) -> dict[str, str]:
    """The files of a scheduler, by their names.

    Raises:
        JobError: for what the scheduler cannot do.
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
    """The files one after another; where there are several, each below a line with its name."""
    if len(files) == 1:
        return next(iter(files.values()))
    return "\n".join(f"# --- {name} ---\n{text}" for name, text in files.items())


def write(files: dict[str, str], folder: Path) -> list[Path]:
    """Write the files into a folder.

    Raises:
        JobError: where one of them is there already, or cannot be written; then none is.
    """
    paths = {folder / name: text for name, text in files.items()}
    for path in paths:
        if path.exists():
            raise JobError(f"{path} is there already: remove it, or write to another folder")
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
    """Jinja with marks of its own: {{ and }} are Airflow's and GitHub's."""
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
        autoescape=False,  # no page: each template quotes for its own reader
    )
