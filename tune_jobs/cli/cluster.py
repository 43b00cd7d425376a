"""The commands about a cluster: status, logs, stop, doctor, cluster lint."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tune_jobs.cli.help import Command, Option
from tune_jobs.cli.options import AS_JSON, AS_JSON_LINES, storage_options
from tune_jobs.cli.output import echo, end

if TYPE_CHECKING:
    from tune_jobs.engine.cluster.submit.jobs_api import JobsApi
    from tune_jobs.engine.experiments.listing import Entry
    from tune_jobs.engine.job.profile import Profile

CLUSTER = click.option(
    "--profile",
    required=True,
    metavar="PROFILE",
    help="Profile of the cluster, with a jobs_api.",
)


@click.command(cls=Command, examples=["status", "status june --profile gpu_cluster"])
@click.argument("experiment", required=False)
@storage_options
@AS_JSON_LINES
def status(experiment: str | None, as_json: bool, **place: Any) -> None:
    """Show how far experiments are: trials, best value, time left.

    With a profile that has a jobs_api, shows what was submitted to that cluster. With EXPERIMENT,
    the exit code is that of its run, or 0 while it is running.
    """
    from tune_jobs.cli.loading import storage_of
    from tune_jobs.engine.job.profile import load_profile

    profile, storage = load_profile(place["profile"] or "laptop"), storage_of(place)
    if profile.address == "local" or not profile.jobs_api:
        found = _look_here(experiment, storage)
    else:
        found = _look_there(experiment, profile, storage)
    for line, facts in found:
        echo(json.dumps(facts) if as_json else line)
    if experiment:
        end(found[0][1]["exit_code"])


def _look_here(experiment: str | None, storage: str) -> list[tuple[str, dict[str, Any]]]:
    """Describe experiments by their folders, each in a line and by facts, latest first."""
    from tune_jobs.engine.errors import JobError
    from tune_jobs.engine.experiments.listing import list_experiments
    from tune_jobs.engine.names import nearest
    from tune_jobs.engine.storage.folder import open_folder

    around = open_folder(storage)
    entries = list_experiments(around, experiment or "*")
    if not entries and experiment:
        hint = nearest(experiment, around.folders()).rstrip(".")
        raise JobError(f"no experiment {experiment!r} in {storage}{hint}")
    if not entries:
        echo(f"no experiments in {storage}", err=True)
    return [(_line_of(entry), _facts_of(entry)) for entry in entries]


def _line_of(entry: Entry) -> str:
    return f"{entry.name}  {entry.described_state}{_with_progress(entry)}"


def _facts_of(entry: Entry) -> dict[str, Any]:
    """Return an experiment's state and progress; the exit code is 0 while its process is there."""
    from tune_jobs.engine.outcome import EXIT_CODES

    codes = {str(outcome): code for outcome, code in EXIT_CODES.items()}
    ended = codes.get(entry.state, EXIT_CODES["unexpected error"])
    return {
        "experiment": entry.name,
        "status": entry.state,
        "exit_code": 0 if entry.is_active else ended,
        **_progress_of(entry),
    }


def _look_there(
    experiment: str | None, profile: Profile, storage: str
) -> list[tuple[str, dict[str, Any]]]:
    """Describe what was submitted to a cluster, with progress if its storage can be read here."""
    from tune_jobs.engine.cluster.submit.attempts import (
        attempt_as_dict,
        describe_attempt,
        last_attempt,
        last_attempts,
    )
    from tune_jobs.engine.cluster.submit.jobs_api import JobsApi

    api = JobsApi(profile)
    jobs = [last_attempt(api, experiment)] if experiment else last_attempts(api)
    if not jobs:
        echo(f"no experiments were submitted to {api.address}", err=True)
    found = []
    known = _entries_in(storage, experiment or "*") if jobs else {}
    for job in jobs:
        facts = attempt_as_dict(job)
        entry = known.get(facts["experiment"])
        line = describe_attempt(job) + _with_progress(entry)
        found.append((line, {**facts, **_progress_of(entry)}))
    return found


def _entries_in(storage: str, pattern: str) -> Mapping[str, Entry]:
    """Read experiments by name; none if the storage cannot be read from here."""
    from tune_jobs.engine.errors import JobError
    from tune_jobs.engine.experiments.listing import list_experiments
    from tune_jobs.engine.storage.folder import open_folder

    with suppress(OSError, JobError):
        return {each.name: each for each in list_experiments(open_folder(storage), pattern)}
    return {}


def _with_progress(entry: Entry | None) -> str:
    from tune_jobs.engine.experiments.listing import describe_progress

    text = describe_progress(entry) if entry else ""
    return f"\n  {text}" if text else ""


def _progress_of(entry: Entry | None) -> dict[str, Any]:
    """Return the facts of an experiment's progress; each None if unknown."""
    names = ("trials", "failed", "target", "metric", "best", "fresh", "left")
    return {name: getattr(entry, name, None) for name in names}


@click.command(cls=Command, examples=["logs june --profile gpu_cluster --follow"])
@click.argument("experiment")
@CLUSTER
@click.option("--follow", "-f", is_flag=True, help="Print until the run ends; exit with its code.")
def logs(experiment: str, profile: str, follow: bool) -> None:
    """Print the output of the last attempt at EXPERIMENT."""
    from tune_jobs.engine.cluster.submit.attempts import last_attempt

    api = _api(profile)
    submission_id = str(last_attempt(api, experiment).submission_id)
    if follow:
        follow_to_end(api, experiment, submission_id)
    else:
        echo(api.log(submission_id), end="")


@click.command(cls=Command, examples=["stop june --profile gpu_cluster"])
@click.argument("experiment")
@CLUSTER
def stop(experiment: str, profile: str) -> None:
    """Stop EXPERIMENT after its trials have saved checkpoints.

    Repeat the submit command to continue it.
    """
    from tune_jobs.cli.following import POLL
    from tune_jobs.engine.cluster.submit.attempts import describe_attempt, last_attempt
    from tune_jobs.engine.cluster.submit.submission import STOP_SECONDS, is_live
    from tune_jobs.engine.errors import JobError

    api = _api(profile)
    job = last_attempt(api, experiment)
    if is_live(job):
        api.stop(str(job.submission_id))
        end = time.monotonic() + STOP_SECONDS + 10
        while is_live(job) and time.monotonic() < end:
            time.sleep(POLL)
            job = api.find(str(job.submission_id))
    echo(describe_attempt(job))
    if is_live(job):
        raise JobError(
            f"{experiment} is still running after {STOP_SECONDS + 10} s; Ray cannot stop a job "
            "that is still starting (ray#58353), so try again"
        )


@click.command(cls=Command, examples=["doctor", "doctor --profile gpu_cluster"])
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
    if found.address != "local":
        _announce(f"joining the Ray at {found.address}")
    with nullcontext() if found.address == "local" else ray_of(found, []):
        checks = []
        for check in examine(found, announce=_announce):
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


@cluster.command(
    cls=Command, examples=["cluster lint", "cluster lint cluster/kubernetes/raycluster.yaml"]
)
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


def _announce(text: str) -> None:
    """Say what is waited for, beside the results."""
    echo(f"{'...':7}  {text}", err=True)


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
    _announce("uploading this folder and submitting a job that examines each node")
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
