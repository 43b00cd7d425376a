"""Lint of cluster files and schedulers' files: each by the rules of its kind."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.formatting import count, listed
from tune_jobs.lint.commands import KnownOptions
from tune_jobs.lint.findings import Finding
from tune_jobs.lint.located import Document, NotYamlError, read_documents
from tune_jobs.lint.manifests import lint_manifests
from tune_jobs.lint.parts import Part
from tune_jobs.lint.profiles import KNOWN as PROFILE_KEYS
from tune_jobs.lint.profiles import lint_profile
from tune_jobs.lint.ray_up import lint_ray_up
from tune_jobs.lint.texts import lint_text

FOLDER = "cluster"
YAML = (".yaml", ".yml")
PROSE = (".md", ".rst", ".txt")
Kind = Literal["profile", "`ray up` file", "Kubernetes", "text"]


@dataclass(frozen=True)
class Checked:
    """One file after its lint.

    Attributes:
        path: as it was given.
        findings: its mistakes, by line.
        commands: how many commands of tune-jobs it has, if nothing else in it was checked.
    """

    path: Path
    findings: Sequence[Finding]
    commands: int | None = None


def lint(paths: Sequence[str | Path], known: KnownOptions) -> list[Checked]:
    """Check files, each once.

    Args:
        paths: files and folders; a folder stands for its files, without hidden ones and prose.
            None stands for ``cluster``.
        known: the commands of tune-jobs with their options.

    Raises:
        JobError: if a path does not exist or cannot be read.
    """
    files = dict.fromkeys(file for path in paths or [FOLDER] for file in _files(Path(path)))
    return [_lint_file(file, known) for file in files]


def summaries(checked: Sequence[Checked]) -> Iterator[str]:
    """Say in a line or two what was checked, and what was not."""
    searched = [f"{each.path} ({each.commands})" for each in checked if each.commands is not None]
    if searched:
        yield (
            f"only tune-jobs commands were checked in {listed(searched, most=20)}; "
            "docs/clusters.md names tools for the rest"
        )
    total = sum(len(each.findings) for each in checked)
    wrong = sum(bool(each.findings) for each in checked)
    whole = len(checked) - len(searched)
    problems = f"{count(total, 'problem')} in {count(wrong, 'file')}" if total else "no problems"
    yield f"{count(whole, 'file')} checked, {problems}" if whole else problems


def kind_of(path: Path, text: str) -> Kind:
    """Tell the kind of a file by its content; all that has no rules of its own is text."""
    if path.suffix not in YAML:
        return "text"
    keys = set(re.findall(r"^([A-Za-z_]+)\s*:", text, re.MULTILINE))
    if "apiVersion" in keys:
        return "Kubernetes"
    if keys & {"cluster_name", "provider"}:
        return "`ray up` file"
    is_profile = keys & {*PROFILE_KEYS} or path.absolute().parent.name == "profiles"
    is_workflow = {"on", "jobs"} <= keys  # which may have a key `env` too
    return "profile" if is_profile and not is_workflow else "text"


def _lint_file(path: Path, known: KnownOptions) -> Checked:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return Checked(path, [Finding(str(path), 1, "is not a text file")])
    except OSError as error:
        raise JobError(f"{path} cannot be read: {error.strerror}") from None
    kind = kind_of(path, text)
    if kind == "text":
        findings, commands = lint_text(str(path), text, known)
        return Checked(path, sorted({*findings}), commands)
    try:
        documents = read_documents(path, text)
    except NotYamlError as error:
        return Checked(path, [error.finding])
    return Checked(path, sorted({*_lint_documents(kind, documents, known)}))


def _lint_documents(
    kind: Kind, documents: Sequence[Document], known: KnownOptions
) -> Iterator[Finding]:
    if kind == "Kubernetes":
        yield from lint_manifests(documents, known)
    elif len(documents) > 1:
        yield documents[1].finding(f"a second YAML document, but a {kind} has only one")
    elif documents and not isinstance(documents[0].content, dict):
        yield documents[0].finding(f"must map keys to values, got {documents[0].content!r}")
    elif documents:
        check = lint_profile if kind == "profile" else lint_ray_up
        yield from check(Part(documents[0]))


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        inner = (file for file in sorted(path.rglob("*")) if file.is_file())
        yield from (file for file in inner if not _is_left_out(file.relative_to(path)))
    elif path.is_file():
        yield path
    else:
        raise JobError(f"{path}: no such file or folder")


def _is_left_out(file: Path) -> bool:
    return file.suffix in PROSE or any(part.startswith(".") for part in file.parts)
