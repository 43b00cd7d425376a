"""The command that prints files for schedulers."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tune_jobs.cli.help import Command, Option
from tune_jobs.cli.options import (
    PROFILE,
    STORAGE,
    add_options,
    in_data,
    in_experiment,
    in_limits,
    in_search,
)
from tune_jobs.cli.output import echo

if TYPE_CHECKING:
    from tune_jobs.engine.recurring.files.scheduled import ScheduledRun

SCHEDULERS = ("cron", "systemd", "kubernetes", "slurm")
HERE = ("cron", "systemd", "slurm")  # those that start runs in the folder of the clone
# Schedulers for which a page has a complete file to copy.
PAGES = {
    "github": "docs/schedules/github.md",
    "airflow": "docs/schedules/airflow.md",
    "raycronjob": "docs/schedules/kubernetes.md",
}
# Options that the run gets as they are.
PASSED_ON = ("profile", "storage", "data", "target", "num_samples")

in_schedule = partial(click.option, cls=Option, section="Schedule")


@click.command(
    cls=Command,
    short_help="Print a file that makes a scheduler run a job regularly.",
    examples=[
        "schedule breast_cancer_tpe --for cron --every day --at 02:00",
        "schedule --retest nightly --for kubernetes --every week",
    ],
)
@click.argument("job", required=False)
@in_schedule("--retest", metavar="EXPERIMENT", help="Retest an experiment instead of running JOB.")
@in_schedule(
    "--for",
    "scheduler",
    required=True,
    type=click.Choice([*SCHEDULERS, *PAGES]),
    metavar=f"[{'|'.join(SCHEDULERS)}]",
    help="Scheduler to write the file for.",
)
@in_schedule(
    "--every",
    required=True,
    type=click.Choice(["hour", "day", "week", "month"]),
    help="Interval between runs.",
)
@in_schedule(
    "--on",
    "day",
    metavar="DAY",
    help="Day of the week (mon to sun) or of the month (1 to 28).",
    show_default="mon or 1",
)
@in_schedule("--at", "clock", metavar="HH:MM", help="Time of day.", show_default="02:00")
@in_schedule(
    "--time-zone",
    "zone",
    metavar="ZONE",
    help="Time zone of --at.",
    show_default="this machine's for cron and slurm, else UTC",
)
@in_schedule(
    "--on-overlap",
    type=click.Choice(["skip", "wait", "fail"]),
    default="skip",
    show_default=True,
    help="What to do if another run of the series is active.",
)
@in_schedule(
    "--folder",
    metavar="FOLDER",
    help="Clone to run in; ~/... is relative to the home on that machine.",
    show_default="this folder",
)
@in_schedule(
    "--write",
    "into",
    metavar="FOLDER",
    help="Write the files to a folder instead of printing them; existing ones are not overwritten.",
)
@in_data("--data", metavar="PATH", help="Data set: a table or images.")
@in_data("--target", metavar="COLUMN", help="Column to predict.")
@in_search("--num-samples", metavar="N", type=click.IntRange(1), help="Number of trials.")
@in_experiment("--name", help="Name of the experiments, without the slot.", show_default="job name")
@add_options(PROFILE, STORAGE)
@in_limits(
    "--max-hours",
    metavar="HOURS",
    type=float,
    help="Stop a run after this time.",
    show_default="5, hourly 0.75",
)
def schedule(job: str | None, scheduler: str, into: str | None, **options: Any) -> None:
    """Print a file for cron, systemd, Kubernetes or Slurm that runs a JOB regularly.

    Its first lines say how to install it. A slot begins whenever the scheduler starts a run.
    For GitHub Actions, Airflow and RayCronJob, docs/schedules has files to copy.
    """
    from tune_jobs.engine.errors import JobError
    from tune_jobs.engine.recurring.files.rendering import as_stream, render, write

    if scheduler in PAGES:
        raise JobError(f"--for {scheduler}: copy the file in {PAGES[scheduler]}")
    files = render(_scheduled(job, scheduler, options), scheduler)
    if into is None:
        echo(as_stream(files), end="")
        return
    for path in write(files, Path(into)):
        echo(path)


def _scheduled(job: str | None, scheduler: str, options: dict[str, Any]) -> ScheduledRun:
    from tune_jobs.engine.recurring.files.asked import hours_of, program_in, slots_of
    from tune_jobs.engine.recurring.files.rendering import SCHEDULERS as KNOWN
    from tune_jobs.engine.recurring.files.scheduled import SLOT, ScheduledRun
    from tune_jobs.engine.recurring.files.zones import machine_zone

    default_name = _default_name(job, options["retest"])
    here = machine_zone()
    zone, hourly = options["zone"], options["every"] == "hour"
    zone = here if zone is None and KNOWN[scheduler].fires_here and not hourly else zone
    slots = slots_of(options["every"], options["day"], options["clock"], zone)
    name = options["name"] or default_name
    folder = options["folder"] or str(Path.cwd())
    if scheduler in HERE:
        _warn_of_data(options["data"], Path(folder).expanduser())
    return ScheduledRun(
        job=job or options["retest"],
        command="run" if job else "retest",
        slots=slots,
        name=name if SLOT in name else f"{name}-{SLOT}",
        max_hours=hours_of(slots, options["max_hours"]),
        on_overlap=options["on_overlap"],
        options=_passed_on(options),
        folder=folder,
        program=program_in(folder),
        machine_zone=here,
    )


def _default_name(job: str | None, retest: str | None) -> str:
    from tune_jobs.engine.errors import JobError
    from tune_jobs.engine.recurring.files.asked import name_of_job

    if bool(job) == bool(retest):
        raise JobError("give either a JOB or --retest EXPERIMENT")
    return name_of_job(job) if job else f"{str(retest).rstrip('/').rpartition('/')[2]}-retest"


def _warn_of_data(data: str | None, folder: Path) -> None:
    """Warn of a relative path that does not exist in the folder in which runs start."""
    if data and "://" not in data and folder.is_dir() and not (folder / data).exists():
        echo(f"warning: runs start in {folder}, which has no {data!r} yet", err=True)


def _passed_on(options: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    given = {key: options[key] for key in PASSED_ON if options[key] is not None}
    return tuple((f"--{key.replace('_', '-')}", str(value)) for key, value in given.items())
