"""The command that runs a job on a cluster through its Jobs API: submit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tune_jobs.cli.cluster import follow_to_end
from tune_jobs.cli.help import Command
from tune_jobs.cli.loading import check_grid_size, load
from tune_jobs.cli.options import (
    PROFILE,
    STORAGE,
    TRACK,
    add_options,
    in_experiment,
    in_output,
    job_options,
    slot_options,
)
from tune_jobs.cli.output import echo
from tune_jobs.cli.run import run_options

if TYPE_CHECKING:
    from tune_jobs.engine.cluster.submit.jobs_api import JobsApi
    from tune_jobs.engine.cluster.submit.submission import Submission

# Options of submit that the run it starts does not have, or is given in another form.
OWN = ("name", "slot", "time_zone", "wait", "dry_run")


@click.command(
    cls=Command,
    examples=["submit breast_cancer_tpe --profile gpu_cluster --name june --wait"],
)
@click.argument("job")
@job_options
@in_experiment("--name", help="Name of the experiment.", show_default="job name")
@add_options(PROFILE, STORAGE)
@run_options
@slot_options
@TRACK
@in_output("--wait", is_flag=True, help="Print the log until the run ends; exit with its code.")
@in_output("--dry-run", is_flag=True, help="Only print the equivalent `ray job submit` command.")
@click.pass_context
def submit(context: click.Context, /, job: str, name: str, wait: bool, **options: Any) -> None:
    """Run a job on a Ray cluster through its Jobs API.

    Uploads the current folder, except files that .gitignore or .rayignore excludes. Repeating the
    command attaches to a search that is running or finished, and continues one that was cut off.
    """
    from tune_jobs.engine.cluster.submit.jobs_api import JobsApi
    from tune_jobs.engine.cluster.submit.upload import check_upload

    dry_run = options.pop("dry_run")
    profile, wanted, needed = _plan(context, job, name, options)
    upload = check_upload(wanted.folder, needed, profile.token_file)
    if upload.note:
        echo(f"warning: {upload.note}", err=True)
    if dry_run:
        echo(wanted.command(profile))
        return
    api = JobsApi(profile)
    submission_id = _submit(api, wanted, upload.size)
    if wait:
        follow_to_end(api, wanted.experiment, submission_id)
    else:
        known = f"{wanted.experiment} --profile {options['profile']}"
        echo(f"next    tune-jobs logs {known} --follow\n        tune-jobs status {known}")


def _plan(
    context: click.Context, job: str, name: str | None, options: dict[str, Any]
) -> tuple[Any, Submission, list[Path]]:
    """Load the job and the profile as the cluster will, and find the files that they need."""
    from tune_jobs.engine.cluster.submit.submission import Submission
    from tune_jobs.engine.cluster.submit.upload import imported_from
    from tune_jobs.engine.errors import JobError
    from tune_jobs.engine.job.job import Job
    from tune_jobs.engine.job.profile import find_profile
    from tune_jobs.engine.recurring.series import fill_name, schedule

    found, profile = load(job, options)
    if profile.address == "local":
        raise JobError(
            f"profile {options['profile'] or 'laptop'!r} is not a cluster (address: local); submit "
            "needs a --profile with address: auto and a jobs_api"
        )
    if isinstance(found.job, Job):
        check_grid_size(found.job, options["yes"])
    folder = Path.cwd()
    needed = [*imported_from(folder), find_profile(options["profile"])]
    sources = [options["data"], *options["warm_start"]]
    needed += [
        Path(source)
        for source in sources
        if source and "://" not in source and not Path(source).is_absolute()
    ]
    if job.endswith(".py"):
        needed.append(Path(job))
        job = _inside(job, folder)
    scheduled = schedule(found.job, options["slot"], options["time_zone"], job)
    template = name or (f"{found.name}-{{slot}}" if scheduled else found.name)
    arguments = [job, *_given(context), *(["--slot", scheduled.slot] if scheduled else [])]
    arguments += ["--name", template, "--resume"]
    return profile, Submission(fill_name(template, scheduled), arguments, folder), needed


def _inside(path: str, folder: Path) -> str:
    """Return a path relative to a folder if it lies in it."""
    absolute = Path(path).absolute()
    return str(absolute.relative_to(folder)) if absolute.is_relative_to(folder) else path


def _given(context: click.Context) -> list[str]:
    """Return the given options that the run takes too, as words of its command line."""
    words: list[str] = []
    for option in context.command.params:
        source = context.get_parameter_source(str(option.name))
        is_given = source is click.core.ParameterSource.COMMANDLINE
        if not isinstance(option, click.Option) or not is_given or option.name in OWN:
            continue
        value, flag = context.params[str(option.name)], option.opts[0]
        if option.is_flag:
            words.append(flag)
            continue
        values = value if option.multiple else [value]
        if option.name == "profile":
            values = [_inside(value, Path.cwd())] if value.endswith((".yaml", ".yml")) else [value]
        words += [word for each in values for word in (flag, str(each))]
    return words


def _submit(api: JobsApi, wanted: Submission, size: int) -> str:
    """Submit the next attempt, or find the one to attach to, and print which."""
    from tune_jobs.engine.cluster.submit.attempts import describe_attempt
    from tune_jobs.engine.cluster.submit.submission import attempts_of, next_attempt
    from tune_jobs.engine.errors import JobError

    while True:
        before = attempts_of(wanted.experiment, api.list())
        attempt = next_attempt(wanted, before)
        if attempt is None:
            echo(f"attached to {describe_attempt(before[-1])}", err=True)
            return str(before[-1].submission_id)
        if api.submit(**attempt.request()):
            how = "continuing" if attempt.attempt > 1 else "new"
            echo(
                f"submitted {attempt.submission_id}: {how} experiment {attempt.experiment} "
                f"({size / 2**20:.1f} MiB uploaded)",
                err=True,
            )
            return attempt.submission_id
        now = attempts_of(wanted.experiment, api.list())
        if len(now) == len(before):  # somebody else's job has that id
            raise JobError(
                f"the cluster already has a job {attempt.submission_id!r} that tune-jobs did not "
                "submit; choose another --name"
            )
