"""The commands about a cluster: status, logs, stop, doctor, cluster lint."""

from __future__ import annotations

import json
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tune_jobs.cli.help import Command, Option
from tune_jobs.cli.options import AS_JSON, AS_JSON_LINES
from tune_jobs.cli.output import echo, end

if TYPE_CHECKING:
    from ray.dashboard.modules.job.pydantic_models import JobDetails

    from tune_jobs.engine.cluster.submit.jobs_api import JobsApi
    from tune_jobs.engine.job.profile import Profile

CLUSTER = click.option(
    "--profile",
    required=True,
    metavar="PROFILE",
    help="Profile of the cluster, with a jobs_api.",
)


@click.command(cls=Command)
@click.argument("experiment", required=False)
@CLUSTER
@AS_JSON_LINES
def status(experiment: str | None, profile: str, as_json: bool) -> None:
    """Show the state of EXPERIMENT or of all experiments on a cluster.

    With EXPERIMENT, the exit code is that of its run, or 0 while it is running.
    """
    from tune_jobs.engine.cluster.submit.submission import exit_code_of

    api = _api(profile)
    jobs = [_last_attempt(api, experiment)] if experiment else _all(api)
    for job in jobs:
        echo(json.dumps(_as_dict(job)) if as_json else line_of(job))
    if not jobs:
        echo(f"no experiments were submitted to {api.address}", err=True)
    if experiment:
        end(exit_code_of(jobs[0]))


@click.command(cls=Command)
@click.argument("experiment")
@CLUSTER
@click.option("--follow", "-f", is_flag=True, help="Print until the run ends; exit with its code.")
def logs(experiment: str, profile: str, follow: bool) -> None:
    """Print the output of the last attempt at EXPERIMENT."""
    api = _api(profile)
    submission_id = str(_last_attempt(api, experiment).submission_id)
    if follow:
        follow_to_end(api, experiment, submission_id)
    else:
        echo(api.log(submission_id), end="")


@click.command(cls=Command)
@click.argument("experiment")
@CLUSTER
def stop(experiment: str, profile: str) -> None:
    """Stop EXPERIMENT after its trials have saved checkpoints.

    Repeat the submit command to continue it.
    """
    from tune_jobs.cli.following import POLL
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
    echo(line_of(job))
    if is_live(job):
        raise JobError(
            f"{experiment} is still running after {STOP_SECONDS + 10} s; Ray cannot stop a job "
            "that is still starting (ray#58353), so try again"
        )


@click.command(cls=Command)
@click.option(
    "--profile",
    default="laptop",
    show_default=True,
    metavar="PROFILE",
    help="Profile to check: its name or a .yaml file.",
)
@click.option(
    "--storage",
    cls=Option,
    metavar="FOLDER",
    help="Folder or URI of the experiments.",
    show_default="the profile's",
)
@click.option(
    "--here", is_flag=True, help="Check from this machine, which is a node of the cluster."
)
@AS_JSON
def doctor(profile: str, storage: str | None, here: bool, as_json: bool) -> None:
    """Check that a profile's machines can run a job.

    A cluster with a jobs_api is checked by a job that examines each of its nodes. The exit code is
    2 if a run would fail.
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
                echo(next(tell([check])))
    result = as_dict(checks)
    if as_json:
        echo(json.dumps(result))
    end(2 if result["state"] == "failure" else 0)


@click.group()
def cluster() -> None:
    """Tools for the files in ./cluster."""


@cluster.command()
@click.argument("files", nargs=-1, metavar="[FILE...]")
@click.pass_context
def lint(context: click.Context, files: tuple[str, ...]) -> None:
    """Check files for clusters and schedulers offline.

    Without FILE, checks all files in ./cluster. Prints each problem with file and line; the exit
    code is 2 if there is one.
    """
    from tune_jobs.lint.linting import lint as lint_files
    from tune_jobs.lint.linting import summaries

    checked = lint_files(files, known_options(context))
    findings = [finding for each in checked for finding in each.findings]
    for finding in findings:
        echo(finding)
    for line in summaries(checked):
        echo(line, err=True)
    end(2 if findings else 0)


def known_options(context: click.Context) -> dict[str, dict[str, bool]]:
    """Return the options of each command of the program, and whether they take a value."""
    program = context.find_root().command
    commands = program.commands if isinstance(program, click.Group) else {}
    return {
        name: {"--help": False}
        | {
            option: not getattr(parameter, "is_flag", False)
            for parameter in command.params
            for option in (*parameter.opts, *parameter.secondary_opts)
            if option.startswith("--")
        }
        for name, command in commands.items()
        if not isinstance(command, click.Group)
    }


def _examine_from_there(
    profile: Profile, words: list[str], storage: str | None, as_json: bool
) -> None:
    """Examine a cluster by submitting a job that does; exit with its code."""
    from tune_jobs.cli.following import follow
    from tune_jobs.engine.cluster.submit.jobs_api import JobsApi
    from tune_jobs.engine.cluster.submit.submission import doctors_request
    from tune_jobs.engine.cluster.submit.upload import check_upload
    from tune_jobs.engine.job.profile import find_profile

    api = JobsApi(profile)
    echo(f"ok  {api.address}: reachable, token accepted, Ray {api.version()}", err=True)
    words += [
        "--here",
        *(["--storage", storage] if storage else []),
        *(["--json"] if as_json else []),
    ]
    folder = Path.cwd()
    upload = check_upload(folder, [find_profile(words[1])], profile.token_file)
    if upload.note:
        echo(f"warning: {upload.note}", err=True)
    request = doctors_request(words, folder)
    api.submit(**request)
    end(follow(api, request["submission_id"]))


def follow_to_end(api: JobsApi, experiment: str, submission_id: str) -> None:
    """Print the log of a job until it ends or the user detaches; exit with its code."""
    from tune_jobs.cli.following import follow

    code = follow(api, submission_id)
    if code is None:
        echo(f"detached; {experiment} keeps running on {api.address}", err=True)
    end(code)


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
    """Find the last attempt at every experiment on a cluster, latest first."""
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


def line_of(job: JobDetails) -> str:
    """Describe an attempt in one line: experiment, number, state, start and duration."""
    from tune_jobs.engine.cluster.submit.submission import attempt_of, exit_code_of, experiment_of
    from tune_jobs.engine.outcome import EXIT_CODES

    code = exit_code_of(job)
    outcomes = {number: outcome for outcome, number in EXIT_CODES.items()}
    state = job.status.value.lower() if code is None else outcomes[code]
    began = time.strftime("%Y-%m-%d %H:%M", time.localtime((job.start_time or 0) / 1000))
    took = f", {((job.end_time or 0) - (job.start_time or 0)) / 1000:.0f} s" if job.end_time else ""
    why = "" if code is not None or not job.message or state == "running" else f": {job.message}"
    return f"{experiment_of(job)}  attempt {attempt_of(job)}, {state}{why}, since {began}{took}"
