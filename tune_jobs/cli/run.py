"""The commands that begin or check a search: run, check."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from tune_jobs.cli.options import (
    FACTS,
    check_grid_size,
    job_options,
    load,
    log_options,
    run_options,
    slot_options,
)
from tune_jobs.cli.output import (
    broken_off_by_sigterm,
    prepare_log,
    print_result,
    tensorflow_silenced,
    wants_json_events,
    watched,
)

if TYPE_CHECKING:
    from tune_jobs.engine.experiments.experiment import Experiment


@click.command()
@click.argument("job")
@job_options
def check(job: str, **options: Any) -> None:
    """Validate a job and say what it would do; starts no Ray."""
    from tune_jobs.engine.job.job import Job
    from tune_jobs.engine.runs.check import plan

    found, profile = load(job, options)
    if not isinstance(found.job, Job):
        click.echo(f"{found.name} builds its own tuner: nothing to check before it runs")
        return
    with tensorflow_silenced():
        lines = plan(found.job, profile)
    click.echo(found.name)
    for label, text in lines.items():
        click.echo(f"  {label:9}  {text}")


@click.command()
@click.argument("job", required=False)
@job_options
@run_options
@slot_options
@log_options
@click.option("--name", help="Name of the experiment; default: the job's and the time.")
@click.option("--resume", is_flag=True, help="Go on with the experiment if it exists, else begin.")
@click.option("--extend", type=click.IntRange(1), help="Run so many trials more.")
def run(job: str | None, **options: Any) -> None:
    """Search: run a job, export its best model and score that on the test part.

    Without JOB an experiment that exists goes on, with the job and the options that began it.
    """
    prepare_log(as_json=options["log_format"] == "json")
    with broken_off_by_sigterm(), watched(str(job), options) as tell_change:
        experiment = _search(job, options)
        tell_change(experiment)
    print_result(experiment, as_json=options["as_json"], short=True)
    sys.exit(experiment.exit_code)


def _search(job: str | None, options: dict[str, Any]) -> Experiment:
    from dataclasses import replace

    from tune_jobs.cli.again import command_of
    from tune_jobs.cli.overrides import parse_assignments
    from tune_jobs.engine.job.job import Job
    from tune_jobs.engine.names import default_name
    from tune_jobs.engine.runs.run import run as run_job
    from tune_jobs.engine.views.live import choose_view

    job, options = command_of(job, options)
    found, profile = load(job, options)
    if options["max_checkpoint_gb"] is not None:
        profile = replace(profile, max_checkpoint_gb=options["max_checkpoint_gb"])
    listeners = []
    if isinstance(found.job, Job):
        check_grid_size(found.job, options["yes"])
        as_json = wants_json_events(options)
        facts = found.job.num_trials, found.job.max_epochs, found.job.goal
        listeners = [choose_view(*facts, as_json=as_json)]
    name = options["name"] or (None if options["slot"] else default_name(found.name))
    return run_job(
        found.job,
        profile=profile,
        name=name,
        slot=options["slot"],
        time_zone=options["time_zone"],
        on_overlap=options["on_overlap"],
        max_hours=options["max_hours"],
        resume=options["resume"],
        extend=options["extend"] or 0,
        warm_start=options["warm_start"],
        defaults=parse_assignments("--default", options["defaults"]),
        allow_changed=options["allow_changed"],
        allow_repeats=options["repeats"],
        track=options["track"],
        command={"job": job, **{name: options[name] for name in FACTS}},
        listeners=listeners,
        import_paths=found.import_paths,
    )
