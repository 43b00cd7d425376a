"""Commands as each reader wants them quoted: a shell, cron, systemd."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence

PLAIN = re.compile(r"[\w@%+=:,./~{}-]+", re.ASCII)
WIDTH = 92


def shell_word(word: str) -> str:
    """Quote a word for a shell; ``~/`` at its beginning is the home folder."""
    if word.startswith("~/"):
        rest = word.removeprefix("~/")
        return f'"$HOME"/{shlex.quote(rest)}' if rest else '"$HOME"'
    return shlex.quote(word)


def shell(words: Sequence[str]) -> str:
    """Write a command for a shell, on one line."""
    return " ".join(map(shell_word, words))


def cron(text: str) -> str:
    """Escape a command for a crontab, in which a bare % ends it."""
    return text.replace("%", r"\%")


def systemd_word(word: str) -> str:
    """Quote a word of ExecStart=, in which % and $ have a meaning."""
    home = "%h/" if word.startswith("~/") else ""
    word = word.removeprefix("~/") if home else word
    escaped = word.replace("%", "%%").replace("$", "$$")
    if word and PLAIN.fullmatch(word):
        return home + escaped
    return '"' + home + escaped.replace("\\", "\\\\").replace('"', '\\"') + '"'


def systemd_path(path: str) -> str:
    """Write a path for a setting such as WorkingDirectory=."""
    if path.startswith("~/"):
        return "%h/" + path.removeprefix("~/").replace("%", "%%")
    return path.replace("%", "%%")


def systemd(words: Sequence[str]) -> list[str]:
    """Write a command for ExecStart= on several lines; its program keeps a plain $."""
    program, *rest = map(systemd_word, words)
    return wrap([program.replace("$$", "$"), *rest])


def shell_lines(words: Sequence[str]) -> list[str]:
    """Write a command for a shell on as many lines as it needs."""
    return wrap([shell_word(word) for word in words])


def wrap(words: Sequence[str], width: int = WIDTH) -> list[str]:
    """Break words into lines; an option's value stays with it."""
    lines = [""]
    for group in _groups(words):
        if lines[-1] and len(lines[-1]) + len(group) >= width:
            lines.append("")
        lines[-1] += f" {group}" if lines[-1] else group
    return lines


def _groups(words: Sequence[str]) -> Iterator[str]:
    rest = list(words)
    while rest:
        word = rest.pop(0)
        takes = word.startswith("--") and rest and not rest[0].startswith("--")
        yield f"{word} {rest.pop(0)}" if takes else word
