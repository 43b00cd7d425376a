"""The commands that reach for a cluster: submit, status, logs, stop, doctor, cluster lint."""

from __future__ import annotations

import json
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tune_jobs.cli.options import check_grid_size, job_options, load, run_options, slot_options

if TYPE_CHECKING:
    from ray.dashboard.modules.job.pydantic_models import JobDetails

    from tune_jobs.engine.cluster.submit.jobs_api import JobsApi
    from tune_jobs.engine.cluster.submit.submission import Submission
    from tune_jobs.engine.job.profile import Profile

PROFILE = click.option("--profile", required=True, help="The cluster: a profile with a jobs_api.")

# Options of submit that are not those of the run that it starts.
OWN = ("name", "slot", "time_zone", "wait", "dry_run")


@click.command()
@click.argument("job")
@job_options
@run_options
@slot_options
@click.option("--name", help="Name of the experiment; default: the job's.")
@click.option("--wait", is_flag=True, help="Follow the log, and exit as the run does.")
@click.option("--dry-run", is_flag=True, help="Print the ray job submit line instead.")
@click.pass_context
def submit(context: click.Context, /, job: str, name: str, wait: bool, **options: Any) -> None:
    """Run a job on a Ray cluster, through its Jobs API.

    The same line again attaches to a search that runs or is done, and goes on with one that ended
    early. The current folder is uploaded, without what .gitignore and .rayignore leave out.
    """
    from tune_jobs.engine.cluster.submit.jobs_api import JobsApi
    from tune_jobs.engine.cluster.submit.upload import check_upload

    dry_run = options.pop("dry_run")
    profile, wanted, needed = _plan(context, job, name, options)
    size = check_upload(wanted.folder, needed)
    if dry_run:
        click.echo(wanted.command(profile))
        return
    api = JobsApi(profile)
    submission_id = _submit(api, wanted, size)
    if wait:
        _follow(api, wanted.experiment, submission_id)
    else:
        known = f"{wanted.experiment} --profile {options['profile']}"
        click.echo(f"next    tune-jobs logs {known} --follow\n        tune-jobs status {known}")


@click.command()
@click.argument("experiment", required=False)
@PROFILE
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def status(experiment: str | None, profile: str, as_json: bool) -> None:
    """Show what a cluster does with EXPERIMENT, or with all that were submitted to it.

    Exits as the run did; with 0 while it runs.
    """
    from tune_jobs.engine.cluster.submit.submission import exit_code_of

    api = _api(profile)
    jobs = [_last_attempt(api, experiment)] if experiment else _all(api)
    for job in jobs:
        click.echo(json.dumps(_as_dict(job)) if as_json else _line(job))
    if not jobs:
        click.echo(f"nothing was submitted to {api.address}", err=True)
    if experiment:
        sys.exit(exit_code_of(jobs[0]) or 0)


@click.command()
@click.argument("experiment")
@PROFILE
@click.option("--follow", "-f", is_flag=True, help="Go on until it ends, and exit as it does.")
def logs(experiment: str, profile: str, follow: bool) -> None:
    """Print what the last attempt at EXPERIMENT has printed."""
    api = _api(profile)
    submission_id = str(_last_attempt(api, experiment).submission_id)
    if follow:
        _follow(api, experiment, submission_id)
    else:
        click.echo(api.log(submission_id), nl=False)


@click.command()
@click.argument("experiment")
@PROFILE
def stop(experiment: str, profile: str) -> None:
    """End EXPERIMENT in good order: its trials write checkpoints, submit goes on with it."""
    from tune_jobs.engine.cluster.submit.following import POLL
    from tune_jobs.engine.cluster.submit.submission import STOP_SECONDS, is_live
    from tune_jobs.engine.errors import JobError

    api = _api(profile)
    job = _last_attempt(api, experiment)
    if is_live(job):
        api.stop(str(job.submission_id))
        end = time.monotonic() + STOP_SECONDS + 10
        while is_live(job) and time.monotonic() < end:
            time.sleep(POLL)
            job = api.find(str(job.submission_id))
    click.echo(_line(job))
    if is_live(job):
        raise JobError(
            f"{experiment} has not ended after {STOP_SECONDS + 10} s; Ray stops no job before it "
            "has started (ray#58353): try again"
        )


@click.command()
@click.option("--profile", default="laptop", help="Where a job would run; default: laptop.")
@click.option("--storage", help="Folder or URI of the experiments.")
@click.option("--here", is_flag=True, help="This machine is one of the cluster.")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def doctor(profile: str, storage: str | None, here: bool, as_json: bool) -> None:
    """Look whether a profile's machines could run a job, before one does.

    A cluster with a jobs_api is asked from here, and from a job that looks at each of its nodes.
    Exits with 2 where a run would fail.
    """
    from dataclasses import replace

    from tune_jobs.engine.cluster.connection import ray_of
    from tune_jobs.engine.cluster.doctor import as_dict, examine, tell
    from tune_jobs.engine.job.profile import load_profile

    found = load_profile(profile)
    if storage:
        found = replace(found, storage=storage)
    if found.address != "local" and found.jobs_api and not here:
        _examine_from_there(found, ["--profile", profile], storage, as_json)
    with nullcontext() if found.address == "local" else ray_of(found, []):
        checks = []
        for check in examine(found):
            checks.append(check)
            if not as_json:
                click.echo(next(tell([check])))
    result = as_dict(checks)
    if as_json:
        click.echo(json.dumps(result))
    sys.exit(2 if result["state"] == "failure" else 0)


@click.group()
def cluster() -> None:
    """What belongs to the files in ./cluster."""


@cluster.command()
@click.argument("files", nargs=-1, metavar="[FILE...]")
def lint(files: tuple[str, ...]) -> None:
    """Check cluster files offline; default: all in ./cluster. Exits with 2 where one is wrong."""
    from tune_jobs.lint.linting import find_files
    from tune_jobs.lint.linting import lint as lint_files

    findings = lint_files(files)
    for finding in findings:
        click.echo(finding)
    wrong, count = len({finding.path for finding in findings}), len(find_files(files))
    click.echo(f"{count} files, {len(findings)} findings in {wrong} of them", err=True)
    sys.exit(2 if findings else 0)


def _examine_from_there(
    profile: Profile, words: list[str], storage: str | None, as_json: bool
) -> None:
    """Examine a cluster by a job of its own; exits as that does."""
    from tune_jobs.engine.cluster.submit.following import follow
    from tune_jobs.engine.cluster.submit.jobs_api import JobsApi
    from tune_jobs.engine.cluster.submit.submission import doctors_request
    from tune_jobs.engine.cluster.submit.upload import check_upload
    from tune_jobs.engine.job.profile import find_profile

    api = JobsApi(profile)
    click.echo(
        f"ok  {api.address} answers, takes the token, and runs Ray {api.version()}", err=True
    )
    words += [
        "--here",
        *(["--storage", storage] if storage else []),
        *(["--json"] if as_json else []),
    ]
    folder = Path.cwd()
    check_upload(folder, [find_profile(words[1])])
    request = doctors_request(words, folder)
    api.submit(**request)
    sys.exit(follow(api, request["submission_id"]) or 0)


def _plan(
    context: click.Context, job: str, name: str | None, options: dict[str, Any]
) -> tuple[Any, Submission, list[Path]]:
    """Load the job and the profile as the cluster will, and find the files that it needs."""
    from tune_jobs.engine.cluster.submit.submission import Submission
    from tune_jobs.engine.cluster.submit.upload import imported_from
    from tune_jobs.engine.errors import JobError
    from tune_jobs.engine.job.job import Job
    from tune_jobs.engine.job.profile import find_profile
    from tune_jobs.engine.recurring.series import fill_name, schedule

    found, profile = load(job, options)
    if profile.address == "local":
        raise JobError(
            f"profile {options['profile'] or 'laptop'!r} has the address 'local'; to submit, name "
            "the profile of a cluster, with address: auto and jobs_api"
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
    """A path as it is named from the folder, where it lies in it."""
    absolute = Path(path).absolute()
    return str(absolute.relative_to(folder)) if absolute.is_relative_to(folder) else path


def _given(context: click.Context) -> list[str]:
    """The options of the command line that a run takes too, as words."""
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
    """Submit the next attempt, or find the one to attach to; says which."""
    from tune_jobs.engine.cluster.submit.submission import attempts_of, next_attempt
    from tune_jobs.engine.errors import JobError

    while True:
        before = attempts_of(wanted.experiment, api.list())
        attempt = next_attempt(wanted, before)
        if attempt is None:
            click.echo(f"attached to {_line(before[-1])}", err=True)
            return str(before[-1].submission_id)
        if api.submit(**attempt.request()):
            how = "goes on" if attempt.attempt > 1 else "begins"
            click.echo(
                f"submitted {attempt.submission_id}: experiment {attempt.experiment} {how} "
                f"({size / 2**20:.1f} MiB to upload)",
                err=True,
            )
            return attempt.submission_id
        now = attempts_of(wanted.experiment, api.list())
        if len(now) == len(before):  # somebody else's job has that id
            raise JobError(
                f"the cluster has a job {attempt.submission_id!r} already, which tune-jobs did "
                "not submit; choose another --name"
            )


def _follow(api: JobsApi, experiment: str, submission_id: str) -> None:
    from tune_jobs.engine.cluster.submit.following import follow

    code = follow(api, submission_id)
    if code is None:
        click.echo(f"detached; {experiment} goes on at {api.address}", err=True)
    sys.exit(code or 0)


def _api(profile: str) -> JobsApi:
    from tune_jobs.engine.cluster.submit.jobs_api import JobsApi
    from tune_jobs.engine.job.profile import load_profile

    return JobsApi(load_profile(profile))


def _last_attempt(api: JobsApi, experiment: str) -> JobDetails:
    from tune_jobs.engine.cluster.submit.submission import attempts_of, experiment_of
    from tune_jobs.engine.errors import JobError
    from tune_jobs.engine.names import nearest

    jobs = api.list()
    attempts = attempts_of(experiment, jobs)
    if not attempts:
        known = {name for job in jobs if (name := experiment_of(job)) is not None}
        raise JobError(
            f"no experiment {experiment!r} was submitted to {api.address}"
            f"{nearest(experiment, known)}"
        )
    return attempts[-1]


def _all(api: JobsApi) -> list[JobDetails]:
    """The last attempt at each experiment that was submitted to a cluster, the latest first."""
    from tune_jobs.engine.cluster.submit.submission import attempt_of, experiment_of

    last: dict[str, JobDetails] = {}
    for job in sorted(api.list(), key=attempt_of):
        if experiment := experiment_of(job):
            last[experiment] = job
    return sorted(last.values(), key=lambda job: -(job.start_time or 0))


def _as_dict(job: JobDetails) -> dict[str, Any]:
    from tune_jobs.engine.cluster.submit.submission import attempt_of, exit_code_of, experiment_of

    return {
        "experiment": experiment_of(job),
        "attempt": attempt_of(job),
        "submission_id": job.submission_id,
        "status": job.status.value,
        "exit_code": exit_code_of(job),
        "began": job.start_time and job.start_time / 1000,
        "ended": job.end_time and job.end_time / 1000,
    }


def _line(job: JobDetails) -> str:
    from tune_jobs.engine.cluster.submit.submission import attempt_of, exit_code_of, experiment_of
    from tune_jobs.engine.outcome import EXIT_CODES

    code = exit_code_of(job)
    outcomes = {number: outcome for outcome, number in EXIT_CODES.items()}
    state = job.status.value.lower() if code is None else outcomes[code]
    began = time.strftime("%Y-%m-%d %H:%M", time.localtime((job.start_time or 0) / 1000))
    took = f", {((job.end_time or 0) - (job.start_time or 0)) / 1000:.0f} s" if job.end_time else ""
    why = "" if code is not None or not job.message or state == "running" else f": {job.message}"
    return f"{experiment_of(job)}  attempt {attempt_of(job)}, {state}{why}, since {began}{took}"
