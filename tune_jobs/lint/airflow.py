"""Lint of Airflow's DAG files, which are read and never imported."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

from tune_jobs.engine.names import nearest
from tune_jobs.lint.cron import Times, parse_cron
from tune_jobs.lint.findings import Finding
from tune_jobs.lint.runs import Firing, find_runs, run_problems
from tune_jobs.lint.script_lines import read_lines, secret_problem

TOO_EARLY = re.compile(
    r"\{\{.*\b(ds|ds_nodash|logical_date|execution_date|data_interval_start)\b.*\}\}"
)
OPERATOR = "BashOperator"
UNITS = {"weeks": 604800, "days": 86400, "hours": 3600, "minutes": 60, "seconds": 1}
Problem = tuple[int, str]


def lint_airflow(path: str | Path) -> list[Finding]:
    """All mistakes in a DAG file.

    Raises:
        JobError: where it cannot be read.
    """
    text = "\n".join(read_lines(path)) + "\n"
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        return [Finding(str(path), error.lineno or 1, f"Python cannot read it: {error.msg}")]
    return sorted({Finding(str(path), line, problem) for line, problem in _check(tree)})


def _check(tree: ast.Module) -> Iterator[Problem]:
    dags = _calls(tree, "DAG", "dag")
    if not dags:
        yield 1, "no DAG(...) is in it"
        return
    firing = Firing(*_firing_of(dags[0]))
    for dag in dags:
        yield from _check_dag(dag)
    for operator in _calls(tree, OPERATOR):
        yield from _check_operator(operator, firing, _default(dags[0], "execution_timeout"))


def _check_dag(dag: ast.Call) -> Iterator[Problem]:
    given = _keywords(dag)
    for old in ("schedule_interval", "timetable"):
        if old in given:
            yield given[old].lineno, f"Airflow 3 has no {old}: write schedule"
    if "schedule" not in given and "schedule_interval" not in given:
        yield dag.lineno, "schedule is absent: nothing would start it"
    yield from _check_times(given)
    if _constant(given.get("catchup")) is not False:
        line = given["catchup"].lineno if "catchup" in given else dag.lineno
        yield line, "catchup must be False, or all that was missed is started at once"
    if _constant(given.get("max_active_runs")) != 1:
        line = given["max_active_runs"].lineno if "max_active_runs" in given else dag.lineno
        yield line, "max_active_runs must be 1, or runs overlap"


def _check_times(given: dict[str, ast.expr]) -> Iterator[Problem]:
    schedule = _constant(given.get("schedule"))
    if isinstance(schedule, str):
        try:
            parse_cron(schedule)
        except ValueError as error:
            yield given["schedule"].lineno, f"schedule: {error}"
    if "start_date" not in given:
        return
    zone = _zone(given["start_date"])
    if zone is None:
        yield given["start_date"].lineno, "start_date has no tz, so that the site's clock counts"
    elif zone not in available_timezones():
        hint = nearest(zone, available_timezones())
        yield given["start_date"].lineno, f"tz is {zone!r}, no time zone{hint}"


def _check_operator(
    call: ast.Call, firing: Firing, inherited: ast.expr | None
) -> Iterator[Problem]:
    given = _keywords(call)
    command = given.get("bash_command")
    script = _constant(command)
    if command is None or not isinstance(script, str):
        return
    yield from _check_env(given.get("env"))
    try:
        runs = find_runs(script)
    except ValueError as error:
        yield command.lineno, f"no shell reads the command: {str(error).lower()}"
        return
    timeout = given.get("execution_timeout", inherited)
    seconds = _seconds(timeout)
    for words in runs:
        if timeout is None:
            yield call.lineno, "execution_timeout is absent: nothing ends a run that hangs"
        own = Firing(firing.times, firing.zone, seconds, "execution_timeout")
        yield from ((command.lineno, text) for text in run_problems(words, own))
        yield from ((command.lineno, text) for text in _slot_problems(words))


def _slot_problems(words: list[str]) -> Iterator[str]:
    if found := next(filter(None, map(TOO_EARLY.search, words)), None):
        yield (
            f"{found[1]} is the slot before in Airflow 2: take data_interval_end, when it fires in "
            "2 and 3"
        )


def _check_env(env: ast.expr | None) -> Iterator[Problem]:
    if not isinstance(env, ast.Dict):
        return
    for name, value in zip(env.keys, env.values, strict=True):
        written = _constant(value)
        problem = isinstance(written, str) and secret_problem(str(_constant(name)), written)
        if problem and "{{" not in str(written):
            yield value.lineno, problem


def _firing_of(dag: ast.Call) -> tuple[list[Times], str | None]:
    given = _keywords(dag)
    try:
        times = parse_cron(str(_constant(given.get("schedule"))))
    except ValueError:
        times = None
    return [times] if times else [], _zone(given.get("start_date"))


def _zone(start: ast.expr | None) -> str | None:
    """The tz of ``pendulum.datetime(..., tz="Europe/Berlin")``."""
    if not isinstance(start, ast.Call):
        return None
    zone = _constant(_keywords(start).get("tz"))
    return zone if isinstance(zone, str) else None


def _seconds(delta: ast.expr | None) -> float | None:
    """The seconds of a ``timedelta(...)`` that is written out."""
    if not isinstance(delta, ast.Call):
        return None
    given = {unit: _constant(value) for unit, value in _keywords(delta).items()}
    if not given or not all(isinstance(value, int | float) for value in given.values()):
        return None
    return sum(float(value) * UNITS.get(unit, 0) for unit, value in given.items())


def _default(dag: ast.Call, name: str) -> ast.expr | None:
    """What ``default_args`` of a DAG say of a task's argument."""
    defaults = _keywords(dag).get("default_args")
    if not isinstance(defaults, ast.Dict):
        return None
    pairs = zip(defaults.keys, defaults.values, strict=True)
    return next((value for key, value in pairs if _constant(key) == name), None)


def _calls(tree: ast.AST, *names: str) -> list[ast.Call]:
    """The calls of a function of one of some names, by their lines."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    found = [call for call in calls if _name(call.func) in names]
    return sorted(found, key=lambda call: call.lineno)


def _name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _keywords(call: ast.Call) -> dict[str, ast.expr]:
    return {each.arg: each.value for each in call.keywords if each.arg}


def _constant(value: ast.expr | None) -> Any:
    return value.value if isinstance(value, ast.Constant) else None
