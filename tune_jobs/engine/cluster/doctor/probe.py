"""Tasks for each node; they travel by value, so that a node without tune-jobs answers too.

For that reason nothing here refers to the rest of the package.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import platform
import subprocess
import time
from pathlib import Path
from typing import Any, TypedDict
from uuid import uuid4

PACKAGES = ("ray", "tensorflow", "keras", "numpy", "pandas", "pyarrow", "scikit-learn")
OTHER_NAMES = {"tensorflow": ("tensorflow", "tensorflow-cpu")}

# The packages whose code must be the same, whatever version it calls itself.
CODE = {"tune_jobs": "engine", "trainables": ""}

PATIENCE = 5.0  # seconds until a file from another machine shows: NFS caches folders

GPU_QUERY = ("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits")


class Machine(TypedDict):
    """A machine's description of itself: a plain dict, since it comes from another process."""

    versions: dict[str, str | None]
    code: dict[str, str | None]
    gpus: list[str]
    other_gpus: bool


class Exchange(TypedDict):
    """The result of using storage: a problem, or the name and content of a file written there."""

    problem: str | None
    wrote: str
    content: str


def describe() -> Machine:
    """Return versions, code and GPUs of this machine; nothing heavy is imported."""
    versions = {name: _version(name) for name in PACKAGES}
    return {
        "versions": {"Python": platform.python_version(), **versions},
        "code": {name: _digest(name, part) for name, part in CODE.items()},
        "gpus": _gpus(),
        "other_gpus": Path("/dev/kfd").exists(),
    }


def clock() -> float:
    """Return the machine's time."""
    return time.time()


def use_storage(place: str, marker: str, content: str) -> Exchange:
    """Read what the driver wrote, and write a file for the driver to read.

    A problem is ``missing``, ``other content`` or ``read-only (...)``.
    """
    filesystem, path = _open(place)
    name, own = uuid4().hex, uuid4().hex
    try:
        found = read_soon(filesystem, f"{path}/{marker}")
    except FileNotFoundError:
        return {"problem": "missing", "wrote": "", "content": ""}
    if found.decode(errors="replace") != content:
        return {"problem": "other content", "wrote": "", "content": ""}
    try:
        with filesystem.open_output_stream(f"{path}/{name}", None) as stream:
            stream.write(own.encode())
    except OSError as error:
        problem = f"read-only ({' '.join(str(error).split())})"
        return {"problem": problem, "wrote": "", "content": ""}
    return {"problem": None, "wrote": name, "content": own}


def read_soon(filesystem: Any, path: str) -> bytes:
    """Read a file that was just written elsewhere, waiting until it shows."""
    began = time.perf_counter()
    while True:
        try:
            with filesystem.open_input_stream(path, compression=None) as stream:
                return bytes(stream.read())
        except FileNotFoundError:
            if time.perf_counter() - began > PATIENCE:
                raise
            time.sleep(PATIENCE / 10)


def _open(place: str) -> tuple[Any, str]:
    from pyarrow import fs

    if "://" not in place:
        return fs.LocalFileSystem(), place
    filesystem, path = fs.FileSystem.from_uri(place)
    return filesystem, path.rstrip("/")


def _version(name: str) -> str | None:
    for distribution in OTHER_NAMES.get(name, (name,)):
        try:
            return importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def _digest(package: str, part: str) -> str | None:
    """Hash a package's sources; None if it cannot be imported."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(next(iter(spec.submodule_search_locations)), part)
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def _gpus() -> list[str]:
    """List name and memory (MiB) of each NVIDIA GPU; none without a driver."""
    try:
        ran = subprocess.run(GPU_QUERY, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in ran.stdout.splitlines() if line.strip()]
