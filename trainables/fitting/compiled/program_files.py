"""Programs in a folder of the user's on this machine, so that each is traced once per machine.

The folder can be deleted at any time. ``TUNE_JOBS_CACHE`` names another one, or is ``off``.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import stat
import tempfile
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np

# The environment variable that names the folder, or turns it off.
VARIABLE = "TUNE_JOBS_CACHE"

# What the folder holds at most; the programs that were not used for longest are deleted.
MOST_FILES = 512
MOST_BYTES = 256 * 2**20

# Seconds after which a file that a process began to write is deleted.
OLDEST_UNFINISHED = 3600.0

SUFFIX = ".program"
FOR_OTHERS = stat.S_IRWXG | stat.S_IRWXO
DIGEST = hashlib.sha256


def is_off() -> bool:
    """Return whether the user wants no files."""
    return os.environ.get(VARIABLE) == "off"


def name_program(description: str) -> str:
    """Return the name that a program has on this machine, from all that it depends on."""
    import keras
    import tensorflow as tf

    settings = [
        *(keras.config.floatx(), keras.config.epsilon(), keras.config.image_data_format()),
        keras.config.dtype_policy().name,
        sorted({device.device_type for device in tf.config.list_logical_devices()}),
    ]
    versions = [keras.__version__, tf.__version__, np.__version__, platform.machine()]
    text = json.dumps([description, settings, versions, hash_code()])
    return DIGEST(text.encode()).hexdigest()


@cache
def hash_code() -> str:
    """Return a hash of the code that traces programs, which is in the folder above this one."""
    digest = DIGEST()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def read_program(name: str) -> bytes | None:
    """Return the content of a program that this user's processes have written; None without one.

    A damaged file is deleted, and one that somebody else may have written is ignored.
    """
    with suppress(OSError, RuntimeError):
        if (folder := _find_folder()) is None:
            return None
        path = folder / (name + SUFFIX)
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            found = os.fstat(file.fileno())
            if not _is_own(found, stat.S_ISREG) or found.st_mode & FOR_OTHERS:
                return None
            content = _unpack(file.read(MOST_BYTES))
        if content is None:
            path.unlink()
        else:
            os.utime(path)
        return content
    return None


def write_program(name: str, content: bytes) -> None:
    """Write a program for other processes; without a folder, or room, nothing is written."""
    with suppress(OSError, RuntimeError):
        if (folder := _find_folder()) is None:
            return
        packed = zlib.compress(content, 1)
        number, path = tempfile.mkstemp(dir=folder)
        try:
            with os.fdopen(number, "wb") as file:
                file.write(DIGEST(packed).digest() + packed)
            Path(path).replace(folder / (name + SUFFIX))
        except OSError:
            Path(path).unlink()
            raise
        _prune(folder)


def delete_program(name: str) -> None:
    """Delete a program that cannot be used."""
    with suppress(OSError, RuntimeError):
        if folder := _find_folder():
            (folder / (name + SUFFIX)).unlink()


def _find_folder() -> Path | None:
    """Return the folder, made if need be; None if it is turned off, or is somebody else's.

    Raises:
        OSError: if it cannot be made.
    """
    if is_off():
        return None
    root = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "tune-jobs")
    folder = Path(os.environ.get(VARIABLE) or root, "programs").expanduser()
    if not folder.is_absolute():
        return None
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not _is_own(found, stat.S_ISDIR):
        return None
    if found.st_mode & FOR_OTHERS:
        folder.chmod(0o700)
    return folder


def _is_own(found: os.stat_result, is_kind: Callable[[int], bool]) -> bool:
    """Return whether a file is of a kind and belongs to this user."""
    return is_kind(found.st_mode) and found.st_uid == os.getuid()


def _unpack(packed: bytes) -> bytes | None:
    """Return the content of a file; None if it is damaged."""
    size = DIGEST().digest_size
    if packed[:size] != DIGEST(packed[size:]).digest():
        return None
    try:
        return zlib.decompress(packed[size:])
    except zlib.error:
        return None


def _prune(folder: Path) -> None:
    """Delete the programs that were not used for longest until the rest is within bounds."""
    files, size, oldest = [], 0, time.time() - OLDEST_UNFINISHED
    for path in folder.iterdir():
        with suppress(OSError):  # another process may delete it now
            found = path.lstat()
            if path.suffix == SUFFIX:
                files.append((found.st_mtime, found.st_size, path))
            elif found.st_mtime < oldest:
                path.unlink()
    for count, (_, length, path) in enumerate(sorted(files, reverse=True), start=1):
        size += length
        if count > MOST_FILES or size > MOST_BYTES:
            with suppress(OSError):
                path.unlink()
