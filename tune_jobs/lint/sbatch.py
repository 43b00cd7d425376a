"""Lint of Slurm scripts: what sbatch ignores, and what ends a search badly or not at all."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tune_jobs.engine.names import nearest
from tune_jobs.lint.findings import Finding
from tune_jobs.lint.sbatch_commands import check_commands
from tune_jobs.lint.sbatch_options import TAKES, Directive, parse_directives
from tune_jobs.lint.script_lines import (
    Line,
    disagreeing_pins,
    join_continued,
    read_lines,
    secret_problem,
)
from tune_jobs.lint.versions import read_versions

LEAST_LEAD = 60  # seconds; Slurm may send the signal as much earlier
SIGNAL = re.compile(r"(?P<to>[RB]*):?(SIG)?(?P<name>[A-Za-z]+\d?|\d+)(@(?P<lead>\d+))?")
ASSIGNMENT = re.compile(r"(?:^|\s|,)(?P<name>[A-Za-z_]\w*)=(?P<value>[^\s,;]*)")


@dataclass(frozen=True)
class Script:
    """A script as sbatch and bash read it.

    Attributes:
        path: the file, as it was named.
        directives: what the #SBATCH lines say that sbatch reads.
        commands: the lines that bash runs, without comments.
        first_directive: its line, 1 where there is none.
    """

    path: str
    directives: list[Directive]
    commands: list[Line]
    first_directive: int

    def find(self, name: str) -> Directive | None:
        """The directive that counts: the last of its name."""
        return next((each for each in reversed(self.directives) if each.name == name), None)


def lint_sbatch(path: str | Path) -> list[Finding]:
    """All mistakes in a script for sbatch.

    Raises:
        JobError: where it cannot be read.
    """
    lines = read_lines(path)
    findings: list[Finding] = []
    script = _parse(str(path), lines, findings)
    found = [
        *_check_syntax(script.path, lines),
        *_check_options(script),
        *_check_time(script),
        *_check_lines(script),
        *check_commands(script.commands, script.first_directive),
    ]
    return sorted({*findings, *(Finding(script.path, line, text) for line, text in found)})


Problem = tuple[int, str]


def _parse(path: str, lines: list[str], findings: list[Finding]) -> Script:
    commands = [
        line
        for each in join_continued([_without_comment(text) for text in lines])
        if (line := each).text.strip()
    ]
    first_command = commands[0].number if commands else len(lines) + 1
    directives: list[Directive] = []
    first = None
    for number, text in enumerate(lines, 1):
        if not text.startswith("#SBATCH"):
            continue
        if number > first_command:
            late = f"{text.split('  ')[0]!r} is ignored by Slurm, since the first command is before"
            findings.append(Finding(path, number, f"{late} it, on line {first_command}"))
            continue
        first = first or number
        try:
            directives += parse_directives(number, text)
        except ValueError as error:
            findings.append(Finding(path, number, f"sbatch cannot read it: {str(error).lower()}"))
    return Script(path, directives, commands, first or 1)


def _without_comment(text: str) -> str:
    """A line without its comment, which begins with a # that stands in no quotation."""
    for match in re.finditer(r"(?:^|(?<=\s))#", text):
        before = text[: match.start()]
        if before.count("'") % 2 == 0 and before.count('"') % 2 == 0:
            return before.rstrip()
    return text


def _check_syntax(path: str, lines: list[str]) -> Iterator[Problem]:
    first = lines[0] if lines else ""
    if not first.startswith("#!"):
        yield 1, f"the first line is {first!r}, but sbatch wants one such as #!/usr/bin/env bash"
        return
    if not re.search(r"\b(ba)?sh\b", first):
        return
    try:
        run = subprocess.run(
            ["bash", "-n", path],
            capture_output=True,
            text=True,
            env={**os.environ, "LC_ALL": "C"},
            check=False,
        )
    except FileNotFoundError:
        return
    if found := re.search(r": line (\d+): (.*)", run.stderr):
        yield int(found[1]), f"bash cannot read it: {found[2]}"


def _check_options(script: Script) -> Iterator[Problem]:
    for each in script.directives:
        if not each.is_known:
            written = each.name if each.name.startswith("-") else f"--{each.name}"
            known = nearest(each.name, TAKES)
            yield each.line, f"sbatch has no option {written!r}{known}"
        elif TAKES[each.name] == "=" and not each.value:
            yield each.line, f"--{each.name} needs a value"
    exclusive = script.find("exclusive")
    if exclusive is None:
        text = "#SBATCH --exclusive is absent: two jobs' Rays could share a node and its ports"
        yield script.first_directive, text
    elif exclusive.value:
        yield (
            exclusive.line,
            f"--exclusive={exclusive.value} shares nodes between jobs; write --exclusive",
        )


def _check_time(script: Script) -> Iterator[Problem]:
    """What happens when the time is up: a signal, a requeue, a search that goes on."""
    if script.find("time") is None:
        text = "#SBATCH --time is absent: the site's default ends the search, or nothing does"
        yield script.first_directive, text
    if refused := script.find("no-requeue"):
        yield refused.line, "--no-requeue: after a lost node nobody would go on; write --requeue"
    elif script.find("requeue") is None:
        text = "#SBATCH --requeue is absent: after a lost node nobody would go on"
        yield script.first_directive, text
    signal = script.find("signal")
    if signal is None:
        text = "#SBATCH --signal is absent: when the time is up, the search would be killed"
        yield script.first_directive, f"{text}; write --signal=B:USR1@300"
        return
    yield from _check_signal(script, signal)


def _check_signal(script: Script, signal: Directive) -> Iterator[Problem]:
    match = SIGNAL.fullmatch(signal.value)
    if match is None:
        yield signal.line, f"--signal is {signal.value!r}, but must be such as B:USR1@300"
        return
    if "B" not in match["to"]:
        text = f"--signal={signal.value} goes to the steps, not to this script"
        yield signal.line, f"{text}; write B:{match['name']}"
    lead = int(match["lead"] or 60)
    if lead <= LEAST_LEAD:
        text = f"--signal leaves {lead} s, of which Slurm may take {LEAST_LEAD}; leave 120 or more"
        yield signal.line, text
    name = match["name"].upper()
    if not any(re.search(rf"\btrap\b.*\b{name}\b", line.text) for line in script.commands):
        yield signal.line, f"--signal sends {name}, but no trap waits for it: the script would end"


def _check_lines(script: Script) -> Iterator[Problem]:
    """Versions that disagree, and secrets, in commands and in ``#SBATCH --export``."""
    versions = read_versions(script.path)
    for line in script.commands:
        yield from disagreeing_pins(line, versions)
        for match in ASSIGNMENT.finditer(line.text):
            if problem := secret_problem(match["name"], match["value"]):
                yield line.at(match.start("name")), problem
    for each in script.directives:
        if each.name == "export":
            for match in ASSIGNMENT.finditer(each.value):
                if problem := secret_problem(match["name"], match["value"]):
                    yield each.line, problem
