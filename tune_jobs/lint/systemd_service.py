"""Rules of a systemd service that runs a search: its budgets, its end, what counts as a failure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence

from tune_jobs.engine.outcome import EXIT_CODES
from tune_jobs.lint.cron import Times
from tune_jobs.lint.runs import Firing, find_runs, run_problems, schedule_problems
from tune_jobs.lint.script_lines import secret_problem
from tune_jobs.lint.systemd_time import parse_span
from tune_jobs.lint.systemd_unit import Problem, Setting, Unit

SECONDS_TO_END = 30
GOES_ON = ("complete", "some trials failed", "budget used", "interrupted")
FAILURES = {code: outcome for outcome, code in EXIT_CODES.items() if outcome not in GOES_ON}
SPANS = ("RuntimeMaxSec", "TimeoutStartSec", "TimeoutStopSec", "TimeoutSec", "RestartSec")
SIGNALS = ("SIGTERM", "SIGINT", "15", "2")


def check_service(unit: Unit) -> Iterator[Problem]:
    """What is wrong with a service."""
    starts = unit.all("Service", "ExecStart")
    if not starts:
        yield unit.line("Service"), "a service needs ExecStart="
    for each in unit.settings:
        if each.key in SPANS:
            yield from _check_span(each)
    yield from _check_environment(unit)
    yield from _check_one_shot(unit)
    runs = runs_of(unit)
    if runs:
        yield from _check_end(unit)
        yield from _check_codes(unit)
    for words in runs:
        yield from _check_run(unit, starts[0], words)


def runs_of(unit: Unit) -> list[list[str]]:
    """The runs of tune-jobs that a service starts, as they are once systemd has read them."""
    runs: list[list[str]] = []
    for each in unit.all("Service", "ExecStart"):
        text = each.value.lstrip("@-:+!").replace("%%", "%").replace("$$", "$")
        try:
            words = shlex.split(text)
            runs += find_runs(shlex.join(words))
            runs += [found for word in words if " " in word for found in find_runs(word)]
        except ValueError:
            continue
    return runs


def time_problems(words: Sequence[str], times: Sequence[Times], zone: str | None) -> Iterator[str]:
    """Where the slots of a run do not begin when a timer fires."""
    return schedule_problems(words, Firing(times, zone))


def _check_span(setting: Setting) -> Iterator[Problem]:
    try:
        parse_span(setting.value)
    except ValueError as error:
        yield setting.line, f"{setting.key}: {error}"


def _check_environment(unit: Unit) -> Iterator[Problem]:
    for each in unit.all("Service", "Environment"):
        for name, value in re.findall(r"[\"']?([A-Za-z_]\w*)=([^\"'\s]*)", each.value):
            if problem := secret_problem(name, value):
                yield each.line, problem


def _check_one_shot(unit: Unit) -> Iterator[Problem]:
    limit, kind = unit.find("Service", "RuntimeMaxSec"), unit.find("Service", "Type")
    if limit and kind and kind.value == "oneshot":
        yield limit.line, "RuntimeMaxSec= has no effect with Type=oneshot: write Type=exec"


def _check_end(unit: Unit) -> Iterator[Problem]:
    stop = unit.find("Service", "TimeoutStopSec")
    if stop and (seconds := _seconds(stop)) is not None and seconds <= SECONDS_TO_END:
        text = f"a run takes up to {SECONDS_TO_END} s to end in good order"
        yield stop.line, f"TimeoutStopSec={stop.value} kills it too early: {text}"
    signal = unit.find("Service", "KillSignal")
    if signal and signal.value not in SIGNALS:
        yield signal.line, f"KillSignal={signal.value} is not what a run ends by: write SIGTERM"
    restart = unit.find("Service", "Restart")
    if restart and restart.value in ("always", "on-success"):
        yield restart.line, f"Restart={restart.value} starts a run again that is complete"


def _check_codes(unit: Unit) -> Iterator[Problem]:
    for each in unit.all("Service", "SuccessExitStatus"):
        for word in each.value.split():
            if word.isdecimal() and int(word) in FAILURES:
                outcome = FAILURES[int(word)]
                yield each.line, f"SuccessExitStatus= has {word}, {outcome}: nobody would be told"


def _check_run(unit: Unit, start: Setting, words: Sequence[str]) -> Iterator[Problem]:
    kind = unit.find("Service", "Type")
    key = "TimeoutStartSec" if kind and kind.value == "oneshot" else "RuntimeMaxSec"
    setting = unit.find("Service", key)
    limit = _seconds(setting) if setting else None
    if limit is None:
        yield setting.line if setting else start.line, f"{key}= must end a run that hangs"
    by = f"{key}={setting.value}" if setting else ""
    yield from ((start.line, text) for text in run_problems(words, Firing((), None, limit, by)))


def _seconds(setting: Setting) -> float | None:
    try:
        return parse_span(setting.value)
    except ValueError:
        return None
