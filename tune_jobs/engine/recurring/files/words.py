"""How a command is written for each reader: a shell, cron, systemd, Python."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Sequence

PLAIN = re.compile(r"[\w@%+=:,./~{}-]+", re.ASCII)
WIDTH = 92


def shell_word(word: str) -> str:
    """A word for a shell; ``~/`` at its beginning is the home folder."""
    if word.startswith("~/"):
        rest = word.removeprefix("~/")
        return f'"$HOME"/{shlex.quote(rest)}' if rest else '"$HOME"'
    return shlex.quote(word)


def shell(words: Sequence[str]) -> str:
    """A command for a shell, on one line."""
    return " ".join(map(shell_word, words))


def cron(text: str) -> str:
    """A command for a crontab, in which a bare % ends it."""
    return text.replace("%", r"\%")


def systemd_word(word: str) -> str:
    """A word of ExecStart=, in which % and $ stand for something else, and quotes escape."""
    home = "%h/" if word.startswith("~/") else ""
    word = word.removeprefix("~/") if home else word
    escaped = word.replace("%", "%%").replace("$", "$$")
    if word and PLAIN.fullmatch(word):
        return home + escaped
    return '"' + home + escaped.replace("\\", "\\\\").replace('"', '\\"') + '"'


def systemd_path(path: str) -> str:
    """A path of a setting that takes one, such as WorkingDirectory=."""
    if path.startswith("~/"):
        return "%h/" + path.removeprefix("~/").replace("%", "%%")
    return path.replace("%", "%%")


def systemd(words: Sequence[str]) -> list[str]:
    """A command for ExecStart=, on as many lines as it needs; its program keeps a plain $."""
    program, *rest = map(systemd_word, words)
    return wrap([program.replace("$$", "$"), *rest])


def shell_lines(words: Sequence[str]) -> list[str]:
    """A command for a shell, on as many lines as it needs."""
    return wrap([shell_word(word) for word in words])


def python(text: str) -> str:
    """A text as Python writes it."""
    if '"' in text and "'" not in text and "\\" not in text:
        return f"'{text}'"
    return json.dumps(text, ensure_ascii=False)


def wrap(words: Sequence[str], width: int = WIDTH) -> list[str]:
    """Words on as many lines as they need; an option's value stays with it."""
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
