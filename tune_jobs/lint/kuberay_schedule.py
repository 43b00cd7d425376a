"""Rules of what starts a search on Kubernetes, and of the entrypoint that it starts."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from itertools import pairwise

from tune_jobs.lint.cron import Times, parse_cron
from tune_jobs.lint.findings import Finding
from tune_jobs.lint.parts import Part
from tune_jobs.lint.runs import SLOT, Firing, find_runs, run_problems, schedule_problems


def cron_findings(resource: Part, text: str) -> Iterator[Finding]:
    """What is wrong with a RayCronJob in a file with some text, apart from its fields and job."""
    if "RayCronJob=true" not in text:
        yield resource.finding(
            "RayCronJob is alpha, and off unless the operator has --feature-gates=RayCronJob=true: "
            "use a CronJob, or say in a comment that it has",
            "kind",
        )
    job = resource.part("spec", "jobTemplate")
    if not continues(words_of(job.text("entrypoint"))):
        yield job.finding(
            "runs of a RayCronJob overlap: only the lease of one experiment keeps them apart, so "
            "the entrypoint needs --name with a fixed name, and --resume, or --slot",
            "entrypoint",
        )
    elif "--on-overlap" not in (words := words_of(job.text("entrypoint"))) and "--slot" in words:
        yield job.finding(
            "runs of a RayCronJob overlap, but --on-overlap is absent: say skip, wait or fail",
            "entrypoint",
        )
    yield from schedule_findings(resource.part("spec"))
    yield from slot_findings(resource.part("spec"), job)


def slot_findings(schedule: Part, job: Part) -> Iterator[Finding]:
    """Where the slots of a job do not begin when a schedule starts it."""
    zone = schedule.text("timeZone")
    firing = Firing(_times(schedule), "UTC" if zone == "Etc/UTC" else zone or None)
    for words in _runs(job):
        for text in schedule_problems(words, firing):
            yield job.finding(text, "entrypoint")


def schedule_findings(spec: Part) -> Iterator[Finding]:
    """What is wrong with the schedule of a CronJob or RayCronJob."""
    schedule = spec.text("schedule")
    if "TZ=" in schedule:
        yield spec.finding("the time zone belongs into the field timeZone", "schedule")
        return
    try:
        if schedule:
            parse_cron(schedule.replace("?", "*"), last_weekday=6)
    except ValueError as error:
        yield spec.finding(f"schedule: {error}", "schedule")


def run_findings(spec: Part) -> Iterator[Finding]:
    """What the rules of all schedulers say of a run that names its slot."""
    deadline = spec.number("activeDeadlineSeconds")
    firing = Firing(limit=deadline, limited_by=f"activeDeadlineSeconds {deadline}")
    for words in _runs(spec):
        if "--slot" in words:
            for text in run_problems(words, firing):
                yield spec.finding(text, "entrypoint")


def continues(words: list[str]) -> bool:
    """Whether an entrypoint goes on with one experiment, however often it is started."""
    name = after(words, "--name")
    if "--slot" in words:
        return SLOT in name
    return "--resume" in words and bool(name) and not re.search(r"\$|`", name)


def after(words: list[str], option: str) -> str:
    """The value of an option, given as the next word or after ``=``."""
    return next((value for word, value in pairwise([*words, ""]) if word == option), "")


def words_of(entrypoint: str) -> list[str]:
    """The words of an entrypoint, options apart from their values."""
    try:
        words = shlex.split(entrypoint, comments=True)
    except ValueError:
        words = entrypoint.split()
    return [
        piece
        for word in words
        for piece in (word.split("=", 1) if word.startswith("--") else [word])
    ]


def _runs(spec: Part) -> list[list[str]]:
    try:
        return find_runs(spec.text("entrypoint"))
    except ValueError:
        return []


def _times(schedule: Part) -> list[Times]:
    try:
        times = parse_cron(schedule.text("schedule").replace("?", "*"), last_weekday=6)
    except ValueError:
        return []
    return [times] if times else []
