"""Lint of text files that belong to other programs: only the commands of tune-jobs in them.

What cron, systemd, Slurm, Docker or GitHub make of the rest is for their own tools to check
(docs/clusters.md names them).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tune_jobs.lint.commands import MENTION, KnownOptions, find_commands
from tune_jobs.lint.findings import Finding
from tune_jobs.lint.runs import Start, check_command

CRON_FIELDS = re.compile(r"(@[a-z]+|([\d*][\d*,/-]*\s+){4}[\d*]\S*)\s")
SECONDS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
TIMEOUT = re.compile(r"\btimeout\s+(?:-\S+\s+)*(?P<count>\d+)(?P<unit>[smhd]?)(?=\s)")
SYSTEMD = re.compile(r"^RuntimeMaxSec=(?P<count>\d+)(?P<unit>s|min|h|d|)$", re.MULTILINE)
SLURM = re.compile(r"--time=(?P<hours>\d+):(?P<minutes>\d\d):(?P<seconds>\d\d)")


@dataclass(frozen=True)
class Line:
    """A line and those that continue it.

    Attributes:
        number: of the first of them, counted from 1.
        texts: each without its backslash.
    """

    number: int
    texts: Sequence[str]

    @property
    def text(self) -> str:
        """The whole line."""
        return " ".join(self.texts)

    @property
    def mention(self) -> int:
        """The number of the first line that mentions tune-jobs."""
        found = (at for at, text in enumerate(self.texts) if MENTION.search(text))
        return self.number + next(found, 0)


def lint_text(path: str, text: str, known: KnownOptions) -> tuple[list[Finding], int]:
    """Return the mistakes in the commands of tune-jobs in a file, and how many commands it has."""
    findings: list[Finding] = []
    count = 0
    around = SYSTEMD.search(text) or SLURM.search("\n".join(re.findall("^#SBATCH.*", text, re.M)))
    for line in _logical_lines(text):
        if not MENTION.search(line.text):
            continue
        try:
            commands = find_commands(line.text)
        except ValueError as error:
            problem = f"no shell can read the command: {str(error).lower()}"
            findings.append(Finding(path, line.mention, problem))
            continue
        count += len(commands)
        start = _start_of(line.text, around)
        for words in commands:
            problems = check_command(words, start, known)
            findings += [Finding(path, line.mention, problem) for problem in problems]
    return findings, count


def _start_of(text: str, around: re.Match[str] | None) -> Start:
    """Return what a line, and else its file, says of when a run starts and ends."""
    cron = CRON_FIELDS.match(text)
    limit = TIMEOUT.search(text) or SLURM.search(text) or around
    return Start(
        cron=cron[1] if cron else "",
        limit=_seconds_of(limit.groupdict()) if limit else None,
        limited_by=limit[0] if limit else "",
        overlaps=cron is not None and "--dependency=singleton" not in text,
    )


def _seconds_of(found: dict[str, str]) -> float:
    if "unit" in found:
        return int(found["count"]) * SECONDS[found["unit"]]
    return int(found["hours"]) * 3600 + int(found["minutes"]) * 60 + int(found["seconds"])


def _logical_lines(text: str) -> Iterator[Line]:
    """Join lines that a backslash continues; comments are left out, also those in between."""
    number, parts = 0, list[str]()
    for at, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith(("#", ";")):
            continue
        number = number if parts else at
        parts.append(_without_comment(line).removesuffix("\\"))
        if not line.endswith("\\"):
            yield Line(number, parts)
            parts = []
    if parts:
        yield Line(number, parts)


def _without_comment(line: str) -> str:
    """Drop a comment, which begins with a # after a space that is in no quotation."""
    quote, escaped = "", False
    for place, letter in enumerate(line):
        if escaped:
            escaped = False
        elif letter == "\\" and quote != "'":
            escaped = True
        elif letter == quote:
            quote = ""
        elif not quote and letter in "'\"":
            quote = letter
        elif not quote and letter == "#" and line[:place].endswith((" ", "\t")):
            return line[: place - 1]
    return line
