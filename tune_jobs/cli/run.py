"""The commands that write, check or run a search: new, check, run."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tune_jobs.cli.help import Command
from tune_jobs.cli.loading import MOST_GRID_TRIALS, check_grid_size, load
from tune_jobs.cli.options import (
    ALLOW_CHANGED,
    NAME,
    PROFILE,
    REMEMBERED,
    STORAGE,
    TRACK,
    add_options,
    in_experiment,
    in_history,
    in_limits,
    job_options,
    log_options,
    slot_options,
)
from tune_jobs.cli.output import (
    echo,
    end,
    last_words,
    notifying,
    prepare_log,
    print_result,
    say,
    signals_as_ctrl_c,
    tensorflow_silenced,
    wants_json_events,
)

if TYPE_CHECKING:
    from tune_jobs.engine.experiments.experiment import Experiment
    from tune_jobs.engine.experiments.history.records import Listener
    from tune_jobs.engine.job.job import Job, MakeTuner
    from tune_jobs.engine.runs.ends import Ends

# Options that the engine's run takes as they are.
PASSED_ON = (
    *("slot", "time_zone", "on_overlap", "resume"),
    *("warm_start", "allow_changed", "allow_repeats", "track"),
)

# Limits of a run, and its use of earlier results; submit has them, too.
run_options = add_options(
    in_limits(
        "--max-hours",
        metavar="HOURS",
        type=float,
        help="Stop the run after this time and keep its results.",
    ),
    in_limits(
        "--max-checkpoint-gb",
        metavar="GB",
        type=float,
        help="Limit the space for checkpoints; those of the worst trials are deleted first.",
    ),
    in_limits(
        "--require-better-than-baseline",
        is_flag=True,
        help="Exit with code 15 unless the model is better than a linear model and a constant on "
        "the test set, beyond chance.",
    ),
    in_limits(
        "--yes",
        is_flag=True,
        help=f"Allow a grid search of more than {MOST_GRID_TRIALS:,} points.",
    ),
    in_history(
        "--warm-start",
        multiple=True,
        metavar="SOURCE",
        help="Learn from earlier results: an experiment, .csv, .parquet, KerasTuner project or "
        "Optuna database (repeatable).",
    ),
    in_history(
        "--default",
        "defaults",
        multiple=True,
        metavar="NAME=VALUE",
        help="Value that earlier trials had for a hyperparameter that was added since "
        "(repeatable).",
    ),
    ALLOW_CHANGED,
    in_history(
        "--allow-repeats",
        is_flag=True,
        help="Allow a configuration to be trained more than once.",
    ),
)


@click.command(
    cls=Command,
    examples=[
        "new my_job.py --data customers.csv --target churned",
        "new my_job.py --data customers.csv --target churned --with-trainable",
    ],
)
@click.argument("path", metavar="FILE")
@click.option(
    "--data",
    required=True,
    metavar="PATH",
    help="Data set: a table (.parquet, .csv or a folder of .parquet files) or images (.npz).",
)
@click.option("--target", metavar="COLUMN", help="Column to predict; A,B for several.")
@click.option(
    "--trainable",
    metavar="NAME",
    help="Model: tabular_mlp or image_cnn.",
    show_default="what the data suggest",
)
@click.option("--with-trainable", is_flag=True, help="Write the model into FILE too, to edit it.")
@click.option("--force", is_flag=True, help="Overwrite FILE if it exists.")
def new(
    path: str,
    data: str,
    target: str | None,
    trainable: str | None,
    with_trainable: bool,
    force: bool,
) -> None:
    """Write a job for your data to FILE, a Python file to edit."""
    from tune_jobs.engine.job.new import write_job

    name = write_job(
        path,
        data=data,
        target=target,
        trainable=trainable,
        with_trainable=with_trainable,
        force=force,
    )
    model = "and its model" if with_trainable else f"of trainables.{name}"
    echo(f"wrote   {path}, a job {model}")
    file = shlex.quote(path)
    echo(f"next    tune-jobs check {file}\n        tune-jobs run {file}")


@click.command(
    cls=Command,
    examples=[
        "check breast_cancer_tpe",
        "check tabular --data customers.csv --target churned",
    ],
)
@click.argument("job")
@job_options
@add_options(PROFILE, STORAGE)
def check(job: str, **options: Any) -> None:
    """Validate a job and show what a run would do.

    One batch of the smallest model is trained, saved and read in a fresh process. Ray is not
    started.
    """
    from tune_jobs.engine.job.job import Job
    from tune_jobs.engine.runs.check import plan

    found, profile = load(job, options)
    if not isinstance(found.job, Job):
        echo(f"{found.name} builds its own tuner; only a run can check it")
        return
    with tensorflow_silenced():
        lines = plan(found.job, profile)
    echo(found.name)
    for label, text in lines.items():
        echo(f"  {label:9}  {text}")


@click.command(
    cls=Command,
    short_help="Run a search and export its best model.",
    examples=[
        "run breast_cancer_tpe",
        "run tabular --data customers.csv --target churned --max-hours 1",
        "run --name june --resume",
    ],
)
@click.argument("job", required=False)
@job_options
@NAME
@in_experiment(
    "--resume", is_flag=True, help="Continue the experiment --name if it exists, else start it."
)
@in_experiment(
    "--extend",
    metavar="N",
    type=click.IntRange(1),
    help="Add this many trials to an existing experiment.",
)
@add_options(PROFILE, STORAGE)
@run_options
@slot_options
@TRACK
@log_options
def run(job: str | None, max_hours: float | None, **options: Any) -> None:
    """Run a search, export the best model and score it once on the test set.

    Without JOB, --name NAME --resume (or --extend) continues an experiment with its original job
    and options.
    """
    prepare_log(as_json=options["log_format"] == "json")
    with signals_as_ctrl_c(), last_words() as ends:
        notify_change = ends.enter_context(notifying(str(job), options))
        experiment = _search(job, max_hours, options, ends)
        notify_change(experiment)
    print_result(experiment, as_json=options["as_json"], short=True)
    end(_exit_code(experiment, is_better_required=options["require_better_than_baseline"]))


def _exit_code(experiment: Experiment, *, is_better_required: bool) -> int | None:
    """Return the code of a run, another one if its model has to beat simple ones and does not."""
    from tune_jobs.engine.outcome import NOT_BETTER

    summary = experiment.summary
    if not is_better_required or summary is None or not experiment.is_final:
        return experiment.exit_code
    report = summary.on_test
    if report is not None and report.answer == "better":
        return experiment.exit_code
    said = (report and report.sentence) or "the model could not be compared with simple ones"
    say(click.get_current_context(), "not better than the baseline", said)
    return NOT_BETTER


def _search(
    job: str | None, max_hours: float | None, options: dict[str, Any], ends: Ends
) -> Experiment:
    from tune_jobs.cli.again import check_named, command_of, describe_original
    from tune_jobs.cli.overrides import parse_assignments
    from tune_jobs.engine.names import default_name
    from tune_jobs.engine.runs.run import run as run_job

    given, (job, options) = job, command_of(job, options)
    if given is None:
        say(click.get_current_context(), "job", describe_original(job))
    found, profile = load(job, options)
    _check_comparable(found.job, options)
    default = default_name(found.name)
    check_named(options, default.rsplit("-", 2)[0], profile.storage)
    if options["max_checkpoint_gb"] is not None:
        profile = replace(profile, max_checkpoint_gb=options["max_checkpoint_gb"])
    return run_job(
        found.job,
        profile=profile,
        name=options["name"] or (None if options["slot"] else default),
        max_hours=max_hours,
        extend=options["extend"] or 0,
        defaults=parse_assignments("--default", options["defaults"]),
        command={
            "job": job,
            "cwd": str(Path.cwd()),
            **{name: options[name] for name in REMEMBERED},
        },
        listeners=_views(found.job, options),
        import_paths=found.import_paths,
        ends=ends,
        **{name: options[name] for name in PASSED_ON},
    )


def _check_comparable(job: Job | MakeTuner, options: dict[str, Any]) -> None:
    """Refuse to require a model better than simple ones of a job that has no data for those."""
    from tune_jobs.engine.errors import JobError

    if options["require_better_than_baseline"] and getattr(job, "data", None) is None:
        raise JobError("--require-better-than-baseline does not apply: the job has no data")


def _views(job: Job | MakeTuner, options: dict[str, Any]) -> list[Listener]:
    """Return the view of a job's search, once its grid is not too large."""
    from tune_jobs.engine.job.job import Job
    from tune_jobs.engine.views.live import choose_view

    if not isinstance(job, Job):
        return []
    check_grid_size(job, options["yes"])
    as_json = wants_json_events(options)
    return [choose_view(job.num_trials, job.max_epochs, job.goal, as_json=as_json)]
