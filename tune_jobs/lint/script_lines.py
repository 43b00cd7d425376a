"""Rules of any line of a script or a Dockerfile: versions that disagree, and secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from tune_jobs.engine.errors import JobError
from tune_jobs.lint.versions import LOCK

PIN = re.compile(r"(?<![\w.-])(?P<name>[A-Za-z][\w.-]*)(\[[\w,-]*\])?(?P<is>===?[\w.*+!-]+)")
SECRET = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|ACCESS_?KEY|CREDENTIAL", re.IGNORECASE)
PLACE = re.compile(r"_(PATH|FILE|DIR|MODE|URL|URI|ID)$", re.IGNORECASE)


@dataclass(frozen=True)
class Line:
    """A line as the shell or Docker reads it, its continuations included.

    Attributes:
        number: of its first line in the file, counted from 1.
        text: as it stands there; each continuation begins after a newline.
    """

    number: int
    text: str

    def at(self, place: int) -> int:
        """The line in the file of a place in the text."""
        return self.number + self.text.count("\n", 0, place)


def read_lines(path: str | Path) -> list[str]:
    """The lines of a file.

    Raises:
        JobError: where it cannot be read.
    """
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise JobError(f"{path} cannot be read: {error}") from None


def join_continued(lines: list[str]) -> Iterator[Line]:
    """Lines, with those that a backslash continues."""
    number = 1
    parts: list[str] = []
    for at, text in enumerate(lines, 1):
        if not parts:
            number = at
        if text.endswith("\\"):
            parts.append(text[:-1] + " ")
            continue
        yield Line(number, "\n".join([*parts, text]))
        parts = []
    if parts:
        yield Line(number, "\n".join(parts))


def disagreeing_pins(line: Line, versions: Mapping[str, str]) -> Iterator[tuple[int, str]]:
    """Each ``name==version`` that is not the lock file's, with its line."""
    for match in PIN.finditer(line.text):
        name = canonicalize_name(match["name"])
        wanted = versions.get(name)
        if wanted and not _agrees(match["is"], wanted, exactly=name == "ray"):
            yield (
                line.at(match.start()),
                f"{match[0]}, but all nodes need {name}=={wanted}, the version in {LOCK}",
            )


def is_secret(name: str) -> bool:
    """Whether a variable of that name holds a secret, not where one lies."""
    return bool(SECRET.search(name)) and not PLACE.search(name)


def secret_problem(name: str, value: str) -> str | None:
    """What is wrong with a variable that holds a secret, if anything."""
    value = value.strip("\"'")
    if is_secret(name) and value and not value.startswith(("$", "/", "~")):
        return f"{name} is written out: whoever reads the file has it; read it from a file"
    if name == "RAY_AUTH_TOKEN":
        return "RAY_AUTH_TOKEN shows in process lists; name a file in RAY_AUTH_TOKEN_PATH"
    return None


def _agrees(specifier: str, wanted: str, *, exactly: bool) -> bool:
    if exactly and "*" in specifier:
        return False
    try:
        return wanted in SpecifierSet(specifier)
    except InvalidSpecifier:
        return False
