"""Lint of cluster files: each goes to the linter of its kind, which its content tells."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.job.profile import Profile
from tune_jobs.lint.findings import Finding
from tune_jobs.lint.located import NotYamlError

FOLDER = "cluster"
YAML = (".yaml", ".yml")
PROSE = (".md", ".rst", ".txt")

# The kinds, and the module and function that knows each; imported only where a file is of it.
LINTERS = {
    "ray up": ("launcher", "lint_launcher"),
    "KubeRay": ("kuberay", "lint_kuberay"),
    "Slurm": ("sbatch", "lint_sbatch"),
    "Dockerfile": ("dockerfile", "lint_dockerfile"),
    "profile": ("profiles", "lint_profile"),
    "crontab": ("crontab", "lint_crontab"),
    "systemd": ("systemd", "lint_systemd"),
    "workflow": ("workflow", "lint_workflow"),
    "Airflow": ("airflow", "lint_airflow"),
}
KINDS = (
    "a `ray up` file has cluster_name and provider, a KubeRay manifest apiVersion, a Slurm script "
    "#SBATCH lines, a Dockerfile FROM, a profile keys such as address and storage, a crontab lines "
    "that begin with five fields, a systemd unit [Unit], a GitHub workflow on and jobs, and a DAG "
    "of Airflow imports from it"
)
CRONTABS = (".crontab", ".scrontab", ".cron")
ENTRY = re.compile(r"^(#SCRON\b|@[a-z]+\s+\S|([\d*][\d*,/-]*\s+){4}[\d*]\S*\s)", re.MULTILINE)


def find_files(paths: Sequence[str | Path] = ()) -> list[Path]:
    """The files to look at; a folder stands for those in it, without hidden ones and prose.

    Args:
        paths: files and folders; none stands for ``cluster``.

    Raises:
        JobError: for a path where nothing is.
    """
    return [file for path in paths or [FOLDER] for file in _files(Path(path))]


def lint(paths: Sequence[str | Path] = ()) -> list[Finding]:
    """All mistakes in files of the cluster, by file and line.

    Raises:
        JobError: for a path where nothing is, or that cannot be read.
    """
    return sorted({finding for file in find_files(paths) for finding in _of(file)})


def kind_of(path: Path) -> str | None:
    """Which kind of file it is, one of `LINTERS`; None for another."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None
    except OSError as error:
        raise JobError(f"{path} cannot be read: {error.strerror}") from None
    if path.suffix in YAML:
        return _kind_of_yaml(path, text)
    if path.suffix == ".py":
        return "Airflow" if re.search(r"^(from|import) airflow\b", text, re.MULTILINE) else None
    if re.search(r"^#SBATCH\b", text, re.MULTILINE):
        return "Slurm"
    if re.search(r"^\[(Unit|Service|Timer)\]", text, re.MULTILINE):
        return "systemd"
    if path.suffix in CRONTABS or path.name == "crontab" or ENTRY.search(text):
        return "crontab"
    if "dockerfile" in path.name.lower() or re.search(r"^FROM\s+\S", text, re.MULTILINE):
        return "Dockerfile"
    return None


def _kind_of_yaml(path: Path, text: str) -> str | None:
    keys = set(re.findall(r"^([A-Za-z_]+)\s*:", text, re.MULTILINE))
    if "apiVersion" in keys:
        return "KubeRay"
    if {"on", "jobs"} <= keys:
        return "workflow"
    if keys & {"cluster_name", "provider"}:
        return "ray up"
    if (
        keys & {entry.name for entry in fields(Profile)}
        or path.absolute().parent.name == "profiles"
    ):
        return "profile"
    return None


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        inner = (file for file in sorted(path.rglob("*")) if file.is_file())
        yield from (file for file in inner if not _is_left_out(file.relative_to(path)))
    elif path.is_file():
        yield path
    else:
        raise JobError(f"{path} is no file and no folder: name the cluster's files, or folders")


def _is_left_out(file: Path) -> bool:
    return file.suffix in PROSE or any(part.startswith(".") for part in file.parts)


def _of(path: Path) -> list[Finding]:
    kind = kind_of(path)
    if kind is None:
        return [Finding(str(path), 1, f"of no known kind: {KINDS}")]
    module, function = LINTERS[kind]
    linter: Any = getattr(import_module(f"tune_jobs.lint.{module}"), function)
    try:
        findings: list[Finding] = linter(path)
    except NotYamlError as error:
        return [error.finding]
    return findings
