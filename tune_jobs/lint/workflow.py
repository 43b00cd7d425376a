"""Lint of GitHub's workflows: keys that it refuses, times, budgets, secrets, and the runs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

from tune_jobs.engine.names import nearest
from tune_jobs.lint.cron import Times, parse_cron
from tune_jobs.lint.findings import Finding
from tune_jobs.lint.located import Document, check_one_document, dotted
from tune_jobs.lint.parts import Part
from tune_jobs.lint.runs import Firing, find_runs, run_problems
from tune_jobs.lint.script_lines import secret_problem

ON = True  # what YAML takes the key `on` for
WORKFLOW = (*("name", "run-name", "on", "permissions", "env", "defaults", "concurrency", "jobs"),)
JOB = (
    *("name", "permissions", "needs", "if", "runs-on", "snapshot", "environment", "concurrency"),
    *("outputs", "env", "defaults", "steps", "timeout-minutes", "strategy", "continue-on-error"),
    *("container", "services", "uses", "with", "secrets"),
)
STEP = (
    *("id", "if", "name", "uses", "run", "working-directory", "shell", "with", "env"),
    *("continue-on-error", "timeout-minutes"),
)
HOSTED_MINUTES = 360  # GitHub ends a job on its own runners then; it is the default of all jobs
PINNED = re.compile(r"\./.*|docker://.*|[\w.-]+/[\w./-]+@(v?\d[\w.-]*|[0-9a-f]{40})")
FOREIGN = re.compile(r"\$\{\{\s*(inputs|github\.event|github\.head_ref)\b[^}]*\}\}")


def lint_workflow(path: str | Path) -> list[Finding]:
    """All mistakes in a workflow.

    Raises:
        NotYamlError: where it is no YAML.
        JobError: where it cannot be read.
    """
    return check_one_document(path, _check, "a workflow")


def _check(document: Document) -> Iterator[Finding]:
    yield from document.repetitions()
    whole = Part(document)
    if not whole.mapping():
        yield document.finding("holds no keys, but a workflow has on and jobs")
        return
    yield from _check_keys(whole, WORKFLOW)
    if whole.get("permissions") is None:
        yield whole.finding(
            "permissions is absent, so the token may do all that the repository allows: write "
            "`permissions: {contents: read}`"
        )
    yield from _check_env(whole)
    times, zone, findings = _schedule(whole)
    yield from findings
    jobs = whole.mapping("jobs")
    if not jobs:
        yield whole.finding("a workflow needs jobs", "jobs")
    for name in jobs:
        yield from _check_job(whole, whole.part("jobs", name), Firing(times, zone))


def _check_keys(part: Part, known: Sequence[str]) -> Iterator[Finding]:
    for key in part.mapping():
        name = "on" if str(key) == str(ON) else str(key)
        if name not in known:
            where = dotted(part.keys) or "a workflow"
            yield part.finding(f"{where} has no key {name!r}{nearest(name, known)}", key)


def _check_env(part: Part) -> Iterator[Finding]:
    for name, value in part.mapping("env").items():
        if isinstance(value, str) and (problem := secret_problem(str(name), value)):
            yield part.finding(f"{problem}: ${{{{ secrets.{name} }}}}", "env", name)


def _schedule(whole: Part) -> tuple[list[Times], str, list[Finding]]:
    """When a workflow is started, by which clock, and what is wrong with that."""
    times: list[Times] = []
    findings: list[Finding] = []
    events = whole.get(ON) if whole.get(ON) is not None else whole.get("on")
    if events is None:
        findings.append(whole.finding("on is absent: nothing would start the workflow"))
    key: Any = ON if whole.get(ON) is not None else "on"
    zones: set[str] = set()
    for entry in whole.parts(key, "schedule"):
        zone = str(entry.get("timezone") or "UTC")
        zones.add(zone)
        if zone not in available_timezones():
            hint = nearest(zone, available_timezones())
            findings.append(entry.finding(f"timezone is {zone!r}, no time zone{hint}", "timezone"))
        try:
            times += filter(None, [parse_cron(entry.text("cron"), last_weekday=6)])
        except ValueError as error:
            findings.append(entry.finding(str(error), "cron"))
    return times, zones.pop() if len(zones) == 1 else "UTC", findings


def _check_job(whole: Part, job: Part, firing: Firing) -> Iterator[Finding]:
    yield from _check_keys(job, JOB)
    yield from _check_env(job)
    if job.get("uses") is None and job.get("runs-on") is None:
        yield job.finding("a job needs runs-on")
    runs = False
    for step in job.parts("steps"):
        yield from _check_step(step)
        for words in _runs_of(step):
            runs = True
            by, limit = _limit(job, step)
            own = Firing(firing.times, firing.zone, limit, by)
            yield from (step.finding(text, "run") for text in run_problems(words, own))
    if runs:
        yield from _check_end(whole, job)


def _check_step(step: Part) -> Iterator[Finding]:
    yield from _check_keys(step, STEP)
    yield from _check_env(step)
    action, script = step.text("uses"), step.text("run")
    if action and not PINNED.fullmatch(action):
        yield step.finding(f"uses {action!r} may be another one tomorrow: name a version", "uses")
    if found := FOREIGN.search(script):
        yield step.finding(
            f"{found[0]} in a script is run as a part of it: hand it over in env", "run"
        )
    try:
        find_runs(script)
    except ValueError as error:
        yield step.finding(f"no shell reads the script: {str(error).lower()}", "run")


def _runs_of(step: Part) -> list[list[str]]:
    try:
        return find_runs(step.text("run"))
    except ValueError:
        return []


def _limit(job: Part, step: Part) -> tuple[str, float | None]:
    """The setting that ends a step first, and after how many seconds."""
    given = {"of the step": step.number("timeout-minutes"), "": job.number("timeout-minutes")}
    minutes = {where: value for where, value in given.items() if value is not None}
    if not minutes:
        return "", None
    where, least = min(minutes.items(), key=lambda item: item[1])
    return f"timeout-minutes {least} {where}".strip(), least * 60


def _check_end(whole: Part, job: Part) -> Iterator[Finding]:
    minutes, runner = job.number("timeout-minutes"), job.get("runs-on")
    hosted = "self-hosted" not in (runner if isinstance(runner, list) else [runner])
    if job.get("timeout-minutes") is None:
        yield job.finding(
            f"timeout-minutes is absent: GitHub takes {HOSTED_MINUTES}, whatever --max-hours says"
        )
    elif minutes and minutes > HOSTED_MINUTES and hosted and not isinstance(runner, dict):
        yield job.finding(
            f"timeout-minutes is {minutes}, but GitHub's own runners end a job after "
            f"{HOSTED_MINUTES}",
            "timeout-minutes",
        )
    place = job if job.get("concurrency") is not None else whole
    if place.get("concurrency") is None:
        yield whole.finding("concurrency is absent: two runs would go on at once")
    elif place.get("concurrency", "cancel-in-progress") is True:
        yield place.finding(
            "cancel-in-progress ends the run that is there: write false",
            *("concurrency", "cancel-in-progress"),
        )
