"""Options that several commands share, and what they say of a job and its profile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from tune_jobs.engine.job.modules import Found

# Options that say what is searched; an experiment remembers them.
FACTS = (
    *("num_samples", "max_epochs", "seed", "data", "target", "sets", "profile"),
    *("finalists", "ensemble"),
)

# Without --yes a grid of more points than this is not started.
MOST_GRID_TRIALS = 1000


def job_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that change a fact of the job or of its profile, the same for run and check."""
    for option in reversed(
        [
            click.option("--num-samples", type=int, help="Trials to run (per point of a grid)."),
            click.option(
                "--finalists",
                type=click.IntRange(0),
                help="How many of the best trials are trained again to choose the winner; 0: none.",
            ),
            click.option("--ensemble", is_flag=True, help="Export the finalists together too."),
        ]
    ):
        command = option(command)
    return fact_options(command)


def fact_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Those of them that are not about how much is searched: a retest has its own for that."""
    for option in reversed(
        [
            click.option("--max-epochs", type=int, help="Ceiling of epochs for each trial."),
            click.option("--seed", type=int, help="The seed that all others derive from."),
            click.option("--data", help="Table (.parquet, .csv, folder) or images (.npz)."),
            click.option("--target", help="Column to predict."),
            click.option("--set", "sets", multiple=True, metavar="A.B=VALUE", help="Any fact."),
            click.option("--profile", help="Where to run; default: laptop."),
            click.option("--storage", help="Folder or URI of the experiments."),
        ]
    ):
        command = option(command)
    return command


def run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of a run that is started here, or on a cluster."""
    for option in reversed(
        [
            click.option(
                "--warm-start",
                multiple=True,
                metavar="SOURCE",
                help="Results to learn from: experiment, .csv, .parquet, KerasTuner project, "
                "Optuna database.",
            ),
            click.option(
                "--default",
                "defaults",
                multiple=True,
                metavar="NAME=VALUE",
                help="What earlier trials had for a hyperparameter that is new in the space.",
            ),
            click.option(
                "--allow-changed", is_flag=True, help="Go on although data or code have changed."
            ),
            click.option(
                "--repeats", is_flag=True, help="Train a configuration again that was trained."
            ),
            click.option(
                "--max-hours", type=float, help="End the search after so long; keep what it has."
            ),
            click.option(
                "--max-checkpoint-gb", type=float, help="Space for checkpoints; the worst go."
            ),
            click.option(
                "--yes",
                is_flag=True,
                help=f"Start a grid of more than {MOST_GRID_TRIALS:,} trials.",
            ),
            click.option(
                "--track",
                multiple=True,
                metavar="TRACKER",
                help="Tell tensorboard, mlflow=URI or wandb=PROJECT of each epoch too.",
            ),
        ]
    ):
        command = option(command)
    return command


def slot_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of a run that a schedule starts, here or on a cluster."""
    for option in reversed(
        [
            click.option(
                "--slot",
                metavar="SCHEDULE",
                help="hourly, daily, weekly or monthly (daily@02:00), or a slot's name: the same "
                "line again in one slot goes on or reports. Needs {slot} in --name.",
            ),
            click.option(
                "--time-zone", default="UTC", metavar="ZONE", help="Of the slot; default: UTC."
            ),
            click.option(
                "--on-overlap",
                type=click.Choice(["fail", "skip", "wait"]),
                default="fail",
                help="What to do where another run of the experiment, or of the series, is at "
                "work; default: fail.",
            ),
        ]
    ):
        command = option(command)
    return command


def log_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that say who hears of a run that is started here, and how."""
    for option in reversed(
        [
            click.option(
                "--notify",
                multiple=True,
                envvar="TUNE_JOBS_NOTIFY",
                metavar="URL",
                help="Tell a webhook, or anything that apprise knows, when the state changes; "
                "default: those in the environment's TUNE_JOBS_NOTIFY.",
            ),
            click.option(
                "--log-format",
                type=click.Choice(["text", "json"]),
                default="text",
                help="What standard error gets: text, or a JSON object a line.",
            ),
            click.option("--json", "as_json", is_flag=True, help="Events and result as JSON."),
        ]
    ):
        command = option(command)
    return command


def load(name: str, options: Mapping[str, Any]) -> tuple[Found, Any]:
    """Find a job and its profile, and apply what the command line says otherwise."""
    from dataclasses import replace

    from tune_jobs.cli.overrides import override
    from tune_jobs.engine.errors import JobError
    from tune_jobs.engine.job.job import Job
    from tune_jobs.engine.job.modules import find_job
    from tune_jobs.engine.job.profile import load_profile

    found = find_job(name)
    profile = load_profile(options["profile"] or "laptop")
    if options["storage"]:
        profile = replace(profile, storage=options["storage"])
    facts = {key: options[key] for key in ("num_samples", "max_epochs", "seed")}
    facts = {key: value for key, value in facts.items() if value is not None}
    data = {"source": options["data"], "target": options["target"]}
    data = {key: value for key, value in data.items() if value is not None}
    if not isinstance(found.job, Job):
        if facts or data or options["sets"]:
            raise JobError(f"{found.name} builds its own tuner; change it there")
        return found, profile
    job = replace(found.job, **facts)
    for key, value in data.items():
        if not hasattr(job.data, key):
            raise JobError(f"--{'data' if key == 'source' else key}: the job's data has no {key}")
        recipe: Any = job.data
        job = replace(job, data=replace(recipe, **{key: value}))
    job = _with_finalists(job, options["finalists"], options["ensemble"])
    for assignment in options["sets"]:
        job = override(job, assignment)
    return replace(found, job=job), profile


def storage_of(options: Mapping[str, Any]) -> str:
    """Where the experiments lie that a command is about."""
    from tune_jobs.engine.job.profile import load_profile

    return options["storage"] or load_profile(options["profile"] or "laptop").storage


def _with_finalists(job: Any, count: int | None, ensemble: bool) -> Any:
    from dataclasses import replace

    from tune_jobs.engine.errors import JobError
    from tune_jobs.engine.job.finalists import Finalists

    if count is None and not ensemble:
        return job
    if not (job.finalists if count is None else count):
        if ensemble:
            raise JobError("--ensemble needs finalists, but the job has none; give --finalists 5")
        return replace(job, finalists=None)
    found = job.finalists or Finalists()
    found = found if count is None else replace(found, count=count)
    return replace(job, finalists=replace(found, ensemble=ensemble or found.ensemble))


def check_grid_size(job: Any, yes: bool) -> None:
    """Refuse a large grid unless it was confirmed."""
    from tune_jobs.engine.errors import JobError

    points = job.num_trials // job.num_samples
    if points > MOST_GRID_TRIALS and not yes:
        raise JobError(
            f"the grid has {points:,} points, more than {MOST_GRID_TRIALS:,}; "
            "start it with --yes, or search it with RandomSearch() or TPE()"
        )
