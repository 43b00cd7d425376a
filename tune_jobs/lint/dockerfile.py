"""Lint of the Dockerfile of a node: the image it begins with, what pip installs, secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.specifiers import SpecifierSet

from tune_jobs.engine.names import nearest
from tune_jobs.lint.dockerfile_pip import check_installs, check_requirements
from tune_jobs.lint.findings import Finding
from tune_jobs.lint.images import RAY_TAG, parse_image
from tune_jobs.lint.script_lines import Line, disagreeing_pins, is_secret, read_lines
from tune_jobs.lint.versions import LOCK, read_versions

INSTRUCTIONS = (
    *("ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL"),
    *("MAINTAINER", "ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"),
)
HEREDOC = re.compile(r"<<-?\s*[\"']?(\w+)[\"']?")
SECRET_FILE = re.compile(r"(^|/)(\.netrc|\.aws|\.ssh|id_rsa|id_ed25519|\.ray)(/|$)|\.token$|\.pem$")
Problem = tuple[int, str]


@dataclass(frozen=True)
class Instruction:
    """One instruction of a Dockerfile: ``word`` in capitals, and the rest of its line."""

    word: str
    line: Line

    @property
    def text(self) -> str:
        """What follows the word."""
        return self.line.text.strip().partition(" ")[2].strip()


def lint_dockerfile(path: str | Path) -> list[Finding]:
    """All mistakes in a Dockerfile.

    Raises:
        JobError: where it cannot be read.
    """
    lines = read_lines(path)
    instructions = [*_parse(lines)]
    found = [
        *_check_words(instructions),
        *_check_images(str(path), instructions),
        *_check_installs(str(path), instructions),
        *_check_secrets(instructions),
        *_check_user(instructions),
    ]
    return sorted({Finding(str(path), line, text) for line, text in found})


def _parse(lines: list[str]) -> Iterator[Instruction]:
    """The instructions; comments are left out, also those between continued lines."""
    number, parts, until = 0, list[str](), list[str]()
    for at, text in enumerate(lines, 1):
        if until:
            parts.append("" if text.strip() == until[0] else text)
            until = until[1:] if text.strip() == until[0] else until
        elif text.lstrip().startswith("#") or (not text.strip() and not parts):
            if parts:
                parts.append("")
            continue
        else:
            number = number if parts else at
            parts.append(re.sub(r"\\\s*$", " ", text))
            until = HEREDOC.findall(text)
        if until or re.search(r"\\\s*$", text):
            continue
        yield _instruction(number, parts)
        parts = []
    if parts:
        yield _instruction(number, parts)


def _instruction(number: int, parts: list[str]) -> Instruction:
    text = "\n".join(parts)
    return Instruction(text.split()[0].upper(), Line(number, text))


def _check_words(instructions: list[Instruction]) -> Iterator[Problem]:
    for each in instructions:
        if each.word not in INSTRUCTIONS:
            known = nearest(each.word, INSTRUCTIONS)
            yield each.line.number, f"Docker has no instruction {each.word!r}{known}"
    words = [each.word for each in instructions]
    if "FROM" not in words:
        yield 1, "no FROM: an image begins with another one"


def _check_images(path: str, instructions: list[Instruction]) -> Iterator[Problem]:
    wanted = read_versions(path).get("ray", "")
    stages: set[str] = set()
    for each, image in _find_bases(instructions):
        if image not in stages:
            yield from ((each.line.number, text) for text in _problems_of(image, wanted))
        stages |= set(re.findall(r"(?i)\sAS\s+(\S+)", each.text))


def _find_bases(instructions: list[Instruction]) -> Iterator[tuple[Instruction, str]]:
    """The FROMs, and the images they begin with: the defaults of ARGs are filled in."""
    arguments: dict[str, str] = {}
    for each in instructions:
        if each.word == "ARG":
            name, _, value = each.text.partition("=")
            arguments.setdefault(name, value.strip("\"'"))
        if each.word == "FROM":
            words = [word for word in each.text.split() if not word.startswith("--")]
            yield (
                each,
                re.sub(
                    r"\$\{?(\w+)(?::-([^}]*))?\}?",
                    lambda match: arguments.get(match[1]) or match[2] or match[0],
                    words[0] if words else "",
                ),
            )


def _problems_of(text: str, wanted: str) -> Iterator[str]:
    image = parse_image(text)
    match = RAY_TAG.fullmatch(image.tag)
    if image.is_dead:
        yield f"{text} ends with Ray 2.30; take rayproject/ray:{wanted}-py311"
    elif "nightly" in image.tag:
        yield f"{text} is another one every night; take rayproject/ray:{wanted}-py311"
    elif image.is_ray and match is None:
        yield f"{text} must name Ray and Python: rayproject/ray:{wanted}-py311"
    elif image.is_ray and match and match["ray"] != wanted:
        yield f"{text}, but all nodes need Ray {wanted}, the version in {LOCK}"
    elif image.python and image.python not in (supported := _supported_pythons()):
        yield f"{text} has Python {image.python}, but tune-jobs needs {supported}"
    elif image.tag in ("", "latest") and not image.digest and text != "scratch":
        yield f"{text} may be another one tomorrow; name a tag or a digest"


def _supported_pythons() -> SpecifierSet:
    return SpecifierSet(metadata.metadata("tune-jobs")["Requires-Python"] or "")


def _check_installs(path: str, instructions: list[Instruction]) -> Iterator[Problem]:
    versions, has_cuda = read_versions(path), False
    bases = {each.line.number: image for each, image in _find_bases(instructions)}
    for each in instructions:
        if each.word == "FROM":
            image = bases[each.line.number]
            has_cuda = bool(re.search(r"-(gpu|cu\d+)\b|cuda", image))
            versions = read_versions(path, parse_image(image).python)
        if each.word == "RUN":
            yield from disagreeing_pins(each.line, versions)
            yield from check_installs(each.line, has_cuda=has_cuda)
        if each.word in ("COPY", "ADD"):
            yield from check_requirements(path, each.line, versions)


def _check_secrets(instructions: list[Instruction]) -> Iterator[Problem]:
    for each in instructions:
        if each.word == "ENV":
            for match in re.finditer(r"(?:\s(\w+)=|^\s*ENV\s+(\w+)\s)", each.line.text):
                if is_secret(name := match[1] or match[2]):
                    text = f"ENV {name}: whoever has the image has it; mount it at run time"
                    yield each.line.at(match.end()), text
        if each.word == "ARG" and is_secret(name := each.text.partition("=")[0]):
            text = f"ARG {name} stays in the image's history; take RUN --mount=type=secret"
            yield each.line.number, text
        if each.word in ("COPY", "ADD"):
            for word in each.text.split():
                if SECRET_FILE.search(word):
                    yield each.line.number, f"{each.word} {word}: whoever has the image has it"


def _check_user(instructions: list[Instruction]) -> Iterator[Problem]:
    last = None
    for each in instructions:
        last = None if each.word == "FROM" else each if each.word == "USER" else last
    if last and re.split(r"[:\s]", last.text)[0] in ("root", "0"):
        yield last.line.number, f"the node runs as {last.text!r}; end with USER 1000, Ray's own"
