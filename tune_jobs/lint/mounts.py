"""Rules of what a `ray up` file copies to the nodes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from tune_jobs.engine.cluster.tokens import find_exposure
from tune_jobs.lint.commands import token_paths
from tune_jobs.lint.findings import Finding
from tune_jobs.lint.located import Document

MOUNTS = "file_mounts"


def check_mounts(document: Document) -> Iterator[Finding]:
    """Sources that are not there, which `ray up` finds out when the first machine is paid for.

    The token is excepted: it is made once for a cluster, and not where files are checked. Like
    `ray up`, this takes relative paths from the current folder.
    """
    tokens = token_paths(document)
    for target, source in document.mapping(MOUNTS).items():
        if not isinstance(source, str):
            text = f"{MOUNTS}: {target} comes from {source!r}, but must come from a path"
            yield document.finding(text, MOUNTS, target)
            continue
        path = Path(source).expanduser()
        if _holds_token(str(target), tokens):
            yield from _check_token(document, target, source)
        elif not path.exists():
            yield document.finding(
                f"{MOUNTS}: {target} comes from {source}, but {path.absolute()} does not exist",
                *(MOUNTS, target),
            )


def _holds_token(target: str, tokens: set[str]) -> bool:
    return any(PurePosixPath(path).is_relative_to(target.rstrip("/")) for path in tokens)


def _check_token(document: Document, target: str, source: str) -> Iterator[Finding]:
    if Path(source).expanduser().is_file() and (exposure := find_exposure(source)):
        yield document.finding(f"{MOUNTS}: the token {source} {exposure}", *(MOUNTS, target))
