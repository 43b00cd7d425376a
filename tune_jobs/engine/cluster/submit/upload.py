"""Check what will be uploaded to a cluster before it is packed: its size, and what is missing."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.ray_internals import upload_limit, walk_upload

# Left out beside what .gitignore, .rayignore and Ray's defaults leave out.
EXCLUDES = ["results", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis"]

# Set to 1 it makes Ray upload what .gitignore names.
IGNORE_GITIGNORE = "RAY_RUNTIME_ENV_IGNORE_GITIGNORE"

MOST_SHOWN = 8
MIB = 2**20


def find_uploaded(folder: Path) -> dict[Path, int]:
    """Return the files of a folder that Ray would upload, with their sizes in bytes."""
    found: dict[Path, int] = {}

    def note(path: Path) -> None:
        if path.is_file():
            found[path] = path.stat().st_size

    use_gitignore = os.environ.get(IGNORE_GITIGNORE) != "1"
    walk_upload(folder, EXCLUDES, note, use_gitignore=use_gitignore)
    return found


def check_upload(folder: Path, needed: Iterable[Path]) -> int:
    """Refuse an upload that the cluster would refuse, or that lacks what the job needs.

    Args:
        folder: what is uploaded.
        needed: files and folders that the job reads.

    Returns:
        The bytes to upload, before they are packed.

    Raises:
        JobError: for more than 100 MiB, listing the largest paths; for a needed file that lies
            outside of the folder or is left out.
    """
    found = find_uploaded(folder)
    packages = packages_to_send(folder)
    for path in needed:
        _check_needed(path, folder, found)
    for package in packages:
        found |= find_uploaded(Path(package))
    total, limit = sum(found.values()), upload_limit()
    if total > limit:
        raise JobError(
            f"{folder} has {total / MIB:,.0f} MiB to upload, but the cluster accepts at most "
            f"{limit / MIB:.0f} MiB. Largest: {_largest(folder, found)}. Add what the job does not "
            "need to .rayignore, and put data into storage that the cluster can reach"
        )
    return total


def _check_needed(path: Path, folder: Path, found: dict[Path, int]) -> None:
    path = path.absolute()
    if not path.is_relative_to(folder):
        raise JobError(
            f"{path} is outside {folder}, the folder that is uploaded; move it there, or submit "
            "from a folder that contains it"
        )
    if not any(file == path or file.is_relative_to(path) for file in found):
        what = "does not exist" if not path.exists() else "is excluded from the upload"
        raise JobError(
            f"the job needs {path.relative_to(folder)}, which {what}; check .gitignore and "
            ".rayignore, or put it into storage that the cluster can reach"
        )


def _largest(folder: Path, found: dict[Path, int]) -> str:
    """List the largest files and folders at the top of the upload."""
    sizes: dict[str, int] = {}
    for path, size in found.items():
        inside = path.relative_to(folder) if path.is_relative_to(folder) else path
        name = "/".join(inside.parts[:2])
        sizes[name] = sizes.get(name, 0) + size
    largest = sorted(sizes, key=lambda name: -sizes[name])[:MOST_SHOWN]
    return ", ".join(f"{name} ({sizes[name] / MIB:,.1f} MiB)" for name in largest)


def imported_from(folder: Path) -> list[Path]:
    """List the files below a folder that this process has imported modules from."""
    left_out = {folder / ".venv", folder / "venv"}
    return [
        path
        for module in list(sys.modules.values())
        if (file := getattr(module, "__file__", None))
        and (path := Path(file)).is_relative_to(folder)
        and not any(path.is_relative_to(other) for other in (*left_out, Path(sys.prefix)))
    ]


def packages_to_send(folder: Path) -> list[str]:
    """List the packages of this project that the folder does not contain."""
    package = Path(__file__).parents[3]
    packages = [package, package.parent / "trainables"]
    return [str(path) for path in packages if not (folder / path.name).is_dir()]
