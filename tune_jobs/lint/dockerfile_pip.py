"""Rules of what a Dockerfile installs with pip."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from tune_jobs.lint.script_lines import Line, disagreeing_pins, join_continued
from tune_jobs.lint.versions import LOCK

INSTALL = re.compile(r"\b(?:pip[0-9.]*)\s+install\b(?P<words>(?:[^;&|\n]|(?<=\s)\n)*)")
# Options of pip whose value is the next word.
VALUED = re.compile(
    r"(?:^|\s)(?:-[rcefit]|--(?:requirement|constraint|editable|find-links|index-url|target|prefix"
    r"|extra-index-url|cache-dir|root|python|python-version|platform|upgrade-strategy|wheel-dir))\s+"
    r"\S+"
)
CUDA = "the trials would train on CPUs; take tensorflow[and-cuda]"


def check_installs(line: Line, *, has_cuda: bool) -> Iterator[tuple[int, str]]:
    """Packages whose version is open, a nightly one, or without CUDA."""
    for install in INSTALL.finditer(line.text):
        words = VALUED.sub(lambda match: re.sub(r"\S", " ", match[0]), install["words"])
        for match in re.finditer(r"[\"']?(?P<word>[^\s\"']+)[\"']?", words):
            at = line.at(install.start("words") + match.start())
            yield from ((at, text) for text in _problems_of(match["word"], has_cuda=has_cuda))


def check_requirements(
    path: str, line: Line, versions: Mapping[str, str]
) -> Iterator[tuple[int, str]]:
    """A file of requirements that is copied, where it disagrees with the lock file."""
    for word in line.text.split()[1:-1]:
        if not re.search(r"requirements.*\.(txt|lock)$", word):
            continue
        file = _find(path, word)
        if file is None or file.name == LOCK:
            continue
        for inner in join_continued(file.read_text(encoding="utf-8").splitlines()):
            for number, text in disagreeing_pins(inner, versions):
                yield line.number, f"{word}, line {number}: {text}"


def _problems_of(word: str, *, has_cuda: bool) -> Iterator[str]:
    if "nightly" in word:
        yield f"pip installs {word!r}, another one every night; name a release"
        return
    if word == "--pre":
        yield "pip install --pre takes what is not released yet"
    if word.startswith(("-", ".", "$")) or "/" in word or word.endswith(".whl"):
        return
    try:
        requirement = Requirement(word)
    except InvalidRequirement:
        return
    if not any(each.operator in ("==", "===") for each in requirement.specifier):
        yield f"pip installs {word!r} in whatever version there is; pin it, as {LOCK} does"
    if requirement.name == "tensorflow" and "and-cuda" not in requirement.extras and not has_cuda:
        yield f"pip installs {word!r} without CUDA: {CUDA}"


def _find(path: str, word: str) -> Path | None:
    """A file of the build's context, which is the Dockerfile's folder or one above."""
    folders = Path(path).absolute().parents
    return next((folder / word for folder in folders if (folder / word).is_file()), None)
