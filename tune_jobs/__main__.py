"""The command line. Heavy imports happen inside the commands, so that ``--help`` answers at once.

Results go to standard output, everything else to standard error.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tune_jobs._cluster_commands import cluster, doctor, logs, status, stop, submit
from tune_jobs._experiment_commands import clean, compare, list_experiments, retest
from tune_jobs._options import (
    FACTS,
    check_grid_size,
    job_options,
    load,
    log_options,
    run_options,
    slot_options,
)
from tune_jobs._output import (
    JSON_LOG,
    broken_off_by_sigterm,
    prepare_log,
    print_result,
    say,
    wants_json_events,
    watched,
)
from tune_jobs._schedule_command import schedule

if TYPE_CHECKING:
    from tune_jobs.engine.experiment import Experiment

INTERRUPTED = 7  # that of engine.outcome, which is imported where it is needed


class Group(click.Group):
    """A group in which what was foreseen is one line on standard error and an exit code."""

    def main(self, args: Sequence[str] | None = None, *rest: Any, **options: Any) -> Any:
        """Be the program: one that was interrupted ends at once.

        Threads that are in the middle of something would let Python's own end crash now and then.
        """
        try:
            return super().main(args, *rest, **options)
        except SystemExit as ended:
            if args is None and ended.code == INTERRUPTED:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(INTERRUPTED)
            raise

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        from tune_jobs.engine.errors import JobError

        try:
            return super().invoke(ctx)
        except JobError as error:
            say(ctx, error.word, str(error))
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            goes_on = JSON_LOG in ctx.meta  # it is a run
            say(ctx, "interrupted", "the same line goes on, or begins" if goes_on else "")
            ctx.exit(INTERRUPTED)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tune-jobs")
def main() -> None:
    """Search the hyperparameters of Keras models on Ray Tune.

    A JOB is the name of a module in tune_jobs, a dotted module name, or the path of a Python file.
    An EXPERIMENT is the folder of a run, or its name in ./results.
    """


@main.command("list")
def list_command() -> None:
    """List the jobs with the first lines of their docstrings."""
    from tune_jobs.engine.jobs import list_jobs

    jobs = list_jobs()
    for name, line in jobs.items():
        click.echo(f"{name:{max(map(len, jobs))}}  {line}")


@main.command()
@click.argument("job")
@job_options
def check(job: str, **options: Any) -> None:
    """Validate a job and say what it would do; starts no Ray."""
    from tune_jobs.engine.job import Job
    from tune_jobs.engine.plan import plan

    found, profile = load(job, options)
    if not isinstance(found.job, Job):
        click.echo(f"{found.name} builds its own tuner: nothing to check before it runs")
        return
    with _tensorflow_silenced():
        lines = plan(found.job, profile)
    click.echo(found.name)
    for label, text in lines.items():
        click.echo(f"  {label:9}  {text}")


@main.command()
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

    from tune_jobs.engine.continuing import command_of
    from tune_jobs.engine.job import Job
    from tune_jobs.engine.overrides import parse_assignments
    from tune_jobs.engine.progress import choose_view
    from tune_jobs.engine.running import run as run_job
    from tune_jobs.engine.tuner import default_name

    job, options = command_of(job, options)
    found, profile = load(job, options)
    if options["max_checkpoint_gb"] is not None:
        profile = replace(profile, max_checkpoint_gb=options["max_checkpoint_gb"])
    listeners = []
    if isinstance(found.job, Job):
        check_grid_size(found.job, options["yes"])
        facts = found.job.num_trials, found.job.max_epochs, found.job.metric, found.job.mode
        listeners = [choose_view(*facts, as_json=wants_json_events(options))]
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
        repeats=options["repeats"],
        track=options["track"],
        command={"job": job, **{name: options[name] for name in FACTS}},
        listeners=listeners,
        import_paths=found.import_paths,
    )


@main.command()
@click.argument("experiment")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def show(experiment: str, as_json: bool) -> None:
    """Show an experiment: its best, its trials, its failures; while it runs, too."""
    from tune_jobs.engine.experiment import open_experiment

    print_result(open_experiment(experiment), as_json=as_json, short=False)


@main.command()
@click.argument("experiments", nargs=-1, required=True, metavar="EXPERIMENT...")
def report(experiments: tuple[str, ...]) -> None:
    """Write report.html and report.png into the folder of the EXPERIMENT.

    Several experiments are one page, side by side, called by their names, in the first's folder.
    """
    from tune_jobs.engine.experiment import open_experiment
    from tune_jobs.engine.report import write_report

    found = [open_experiment(each) for each in experiments]
    names = [experiment.name for experiment in found[1:]]
    for place in write_report(found, name="-".join(["report", *(f"with-{n}" for n in names)])):
        click.echo(place)


@main.command()
@click.argument("experiment")
@click.argument("source")
@click.argument("target")
def predict(experiment: str, source: str, target: str) -> None:
    """Predict each row of SOURCE with the best model; write TARGET (.parquet or .csv)."""
    from tune_jobs.engine.experiment import open_experiment
    from tune_jobs.engine.prediction import predict as predict_rows

    with _tensorflow_silenced():
        rows = predict_rows(open_experiment(experiment), source, target)
    click.echo(f"{rows:,} predictions in {target}")


@main.command()
@click.argument("experiment")
@click.argument("target")
def export(experiment: str, target: str) -> None:
    """Write the winner's model to TARGET, a .keras file that takes raw columns.

    Where no winner was chosen it is the best trial's, from its checkpoint.
    """
    from tune_jobs.engine.errors import JobError
    from tune_jobs.engine.experiment import MODEL, open_experiment
    from tune_jobs.engine.winner import export_file, recipe_of

    if not target.endswith(".keras"):
        raise JobError(f"a model goes to a .keras file, not to {target!r}")
    if not Path(target).absolute().parent.is_dir():
        raise JobError(f"the folder of {target!r} does not exist")
    found = open_experiment(experiment)
    if found.folder.exists(MODEL):
        Path(target).write_bytes(found.folder.read(MODEL))
    else:
        with _tensorflow_silenced():
            export_file(recipe_of(found), target)
    click.echo(target)


for command in (
    *(retest, compare, list_experiments, clean, schedule),
    *(submit, status, logs, stop, doctor, cluster),
):
    main.add_command(command)


@contextmanager
def _tensorflow_silenced() -> Iterator[None]:
    """Keep from the screen what TensorFlow's C++ prints."""
    from tune_jobs.engine.screen import stderr_aside

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with stderr_aside():
        yield


if __name__ == "__main__":
    main()
