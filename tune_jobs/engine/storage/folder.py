"""A folder anywhere: on this machine, on NFS, in S3 or GCS, through one ``pyarrow.fs`` path."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from pyarrow import fs

from tune_jobs.engine.errors import JobError, reason_of
from tune_jobs.engine.plain import checked_depth, parse_json, plain, whole
from tune_jobs.engine.storage.uris import (
    above,
    check_without_secrets,
    join,
    scheme_of,
    with_defaults,
    without_last_slash,
)

ATTEMPTS = 20

# So many files are read or deleted at once: an object store takes its time for each.
AT_ONCE = 16

OBJECT_STORES = ("s3", "gcs", "abfs")

# Options for a URI that does not set them: S3 takes a small file in one request
# instead of three, and Google's client tries for 15 minutes if nobody bounds it.
GOOGLE = {"retry_limit_seconds": "10"}
DEFAULTS = {"s3": {"allow_delayed_open": "true"}, "gs": GOOGLE, "gcs": GOOGLE}


class Fence(Protocol):
    """Keeps a process from writing to a folder that is no longer its own."""

    def check(self) -> None:
        """Refuse if the process may not write any more.

        Raises:
            JobError: naming the folder.
        """

    def note_attempt(self, folder: Folder, attempt: int) -> None:
        """Take note of the number under which the process writes a history."""


@dataclass(frozen=True)
class Folder:
    """A folder of a ``pyarrow`` file system; ``uri`` is what Ray and people call it.

    What is written, moved or deleted in it, at any depth, passes its ``fence``, if it has one.
    Other processes get it without the fence.
    """

    filesystem: fs.FileSystem
    path: str
    uri: str
    fence: Fence | None = field(default=None, compare=False, repr=False)

    def __reduce__(self) -> tuple[object, ...]:
        """Leave the fence out of what is pickled: it is this process's."""
        return Folder, (self.filesystem, self.path, self.uri)

    def fenced(self, fence: Fence | None) -> Folder:
        """Return the folder behind a fence."""
        return replace(self, fence=fence)

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rsplit("/", 1)[-1]

    def child(self, name: str) -> Folder:
        """Return the folder called ``name`` inside this one."""
        path = f"{self.path.rstrip('/')}/{name}"
        return replace(self, path=path, uri=join(self.uri, name))

    @property
    def parent(self) -> Folder:
        """The folder that this one lies in."""
        return replace(self, path=self.path.rpartition("/")[0], uri=above(self.uri))

    @property
    def local_path(self) -> Path | None:
        """The path for programs of this machine; None if only ``pyarrow`` can open it."""
        return Path(self.path) if self.filesystem.type_name == "local" else None

    def free_bytes(self) -> int | None:
        """Return the free space; None if the file system has no limit."""
        return shutil.disk_usage(self.local_path).free if self.local_path else None

    def create(self) -> None:
        """Create the folder and its parents, again if another process removes it meanwhile.

        Raises:
            JobError: if it cannot be written.
        """
        self._check_fence()
        probe = f".writable-{uuid4().hex}"
        for attempt in range(ATTEMPTS):
            try:
                self.filesystem.create_dir(self.path, recursive=True)
                self._write(probe, b"")
                self.filesystem.delete_file(f"{self.path}/{probe}")
                return
            except OSError as error:
                is_passing = isinstance(error, FileNotFoundError | FileExistsError)
                if attempt < ATTEMPTS - 1 and is_passing:
                    continue
                raise JobError(f"cannot write to {self.uri}: {reason_of(error)}") from None

    def exists(self, name: str = "") -> bool:
        """Return whether the folder exists, or the file or folder called ``name`` in it."""
        path = f"{self.path}/{name}" if name else self.path
        return bool(self.filesystem.get_file_info(path).type != fs.FileType.NotFound)

    def is_file(self, name: str) -> bool:
        """Return whether there is a file called ``name`` in the folder."""
        info = self.filesystem.get_file_info(f"{self.path}/{name}")
        return bool(info.type == fs.FileType.File)

    def names(self) -> list[str]:
        """List the names in the folder, sorted; none if it does not exist."""
        selector = fs.FileSelector(self.path, allow_not_found=True)
        return sorted(info.base_name for info in self.filesystem.get_file_info(selector))

    def folders(self) -> list[str]:
        """List the names of the folders in it that are not hidden, sorted."""
        selector = fs.FileSelector(self.path, allow_not_found=True)
        found = self.filesystem.get_file_info(selector)
        inner = [info.base_name for info in found if info.type == fs.FileType.Directory]
        return sorted(name for name in inner if not name.startswith("."))

    def read(self, name: str, most: int | None = None) -> bytes:
        """Read a file, or its first bytes.

        Raises:
            OSError: if it cannot be read, or is a pipe or a device, which might never end.
        """
        path = self.local_path and self.local_path / name
        if path and path.exists() and not path.is_file():
            raise OSError(f"{path} is not a regular file")
        with self.filesystem.open_input_stream(f"{self.path}/{name}", compression=None) as stream:
            return bytes(stream.read(most))

    def checksum(self, name: str) -> str:
        """Return the checksum of a file, as :func:`checksum_of` does."""
        return checksum_of(self.read(name))

    def write(self, name: str, content: bytes) -> None:
        """Write a file whole: a reader sees all of it or none.

        Object stores put a file in one step; elsewhere it is written aside, under a name that no
        other process of any machine uses, and moved. The fence is asked at the last moment.
        """
        self._write(name, content, self._check_fence)

    def _write(self, name: str, content: bytes, check: Callable[[], object] = lambda: None) -> None:
        aside = name if _is_object_store(self.filesystem) else f"{name}.tmp-{uuid4().hex}"
        try:
            check()
            with self.filesystem.open_output_stream(f"{self.path}/{aside}", None) as stream:
                stream.write(content)
            if aside != name:
                check()
                self.filesystem.move(f"{self.path}/{aside}", f"{self.path}/{name}")
        except (OSError, JobError):
            if aside != name:
                with suppress(OSError):
                    self._delete(aside)
            raise

    def delete(self, name: str) -> None:
        """Delete a file, if it is there."""
        self._check_fence()
        self._delete(name)

    def _delete(self, name: str) -> None:
        with suppress(FileNotFoundError):
            self.filesystem.delete_file(f"{self.path}/{name}")

    def delete_all(self, names: Iterable[str]) -> None:
        """Delete files, many at once."""
        self._check_fence()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(self._delete, names))

    def delete_if_empty(self) -> None:
        """Remove the folder if it is empty and the file system can do that in one step.

        An object store has no folders: there it may stay as an empty name.
        """
        if self.local_path:
            with suppress(OSError):  # it holds something, or is gone
                self.local_path.rmdir()

    def delete_folder(self) -> None:
        """Delete the folder and what it holds, if it is there."""
        self._check_fence()
        if self.exists():
            self.filesystem.delete_dir(self.path)

    def is_link(self, name: str) -> bool:
        """Return whether a name in the folder is a link to somewhere else."""
        return self.local_path is not None and (self.local_path / name).is_symlink()

    def list_files(self) -> dict[str, int]:
        """List the files in the folder, at any depth, by path inside it, with their bytes.

        No link is followed, and none is listed; nor are pipes and the like.
        """
        if self.local_path is None:
            selector = fs.FileSelector(self.path, recursive=True, allow_not_found=True)
            found = self.filesystem.get_file_info(selector)
            return {self.inside(f.path): f.size for f in found if f.type == fs.FileType.File}
        listed = {}
        for place, _, names in os.walk(self.local_path):
            for path in (Path(place, name) for name in names):
                if not path.is_symlink() and path.is_file():
                    listed[str(path.relative_to(self.local_path))] = path.stat().st_size
        return listed

    def delete_empty_folders(self) -> None:
        """Remove it and the folders in it, at any depth, in which there is no file and no link."""
        self._check_fence()
        if self.local_path is not None:
            for place, _, _ in os.walk(self.local_path, topdown=False):
                with suppress(OSError):  # it holds something
                    Path(place).rmdir()
            return
        selector = fs.FileSelector(self.path, recursive=True, allow_not_found=True)
        found = self.filesystem.get_file_info(selector)
        files = [info.path for info in found if info.type == fs.FileType.File]
        folders = [info.path for info in found if info.type == fs.FileType.Directory]
        for place in [*folders, self.path]:  # names in an object store that stand for empty folders
            if not any(path.startswith(f"{place}/") for path in files):
                with suppress(FileNotFoundError):
                    self.filesystem.delete_dir(place)

    def _check_fence(self) -> None:
        if self.fence is not None:
            self.fence.check()

    def inside(self, path: str) -> str:
        """Return a path of the file system relative to the folder."""
        return path.removeprefix(self.path).strip("/")

    def size(self) -> int:
        """Return the bytes of all files in the folder, at any depth."""
        selector = fs.FileSelector(self.path, recursive=True, allow_not_found=True)
        return sum(info.size or 0 for info in self.filesystem.get_file_info(selector))

    def read_json(self, name: str) -> Any:
        """Read a JSON file.

        Raises:
            ValueError: if it is not JSON, or nested more deeply than anything that is written.
        """
        return checked_depth(parse_json(self.read(name)))

    def read_object(self, name: str) -> dict[str, Any]:
        """Read a JSON file that holds an object; empty if it is missing or damaged."""
        try:
            found = self.read_json(name)
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def write_json(self, name: str, content: object) -> None:
        """Write a JSON file whole."""
        text = json.dumps(plain(content), indent=2, ensure_ascii=False)
        self.write(name, text.encode() + b"\n")


def checksum_of(content: bytes) -> str:
    """Return the SHA-256 of a file's content in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def open_folder(place: str | os.PathLike[str]) -> Folder:
    """Open the folder at a path or URI; nothing is created, and a remote store has to answer.

    Raises:
        JobError: for a URI that pyarrow does not know or that holds credentials, and for a store
            that cannot be reached, refuses, or has no such bucket.
    """
    text = os.fspath(place)
    if whole(text) != text or "\0" in text:
        raise JobError(f"{text!r} is not a path: it must be valid Unicode, without NUL")
    scheme = scheme_of(text)
    if scheme is None:
        path = str(Path(text).expanduser().absolute())
        return Folder(fs.LocalFileSystem(), path, path)
    check_without_secrets(text)
    try:
        filesystem, path = fs.FileSystem.from_uri(with_defaults(text, DEFAULTS.get(scheme, {})))
    except (OSError, ValueError) as error:
        raise JobError(f"storage {text!r} cannot be opened: {reason_of(error)}") from None
    if filesystem.type_name == "local":
        return Folder(filesystem, path, path)
    return _reach(filesystem, path.rstrip("/") or path, without_last_slash(text))


def _reach(filesystem: fs.FileSystem, path: str, uri: str) -> Folder:
    """Open a remote folder once its store has answered: soon, or not at all."""
    first = filesystem
    if filesystem.type_name == "s3":
        from tune_jobs.engine.storage.s3 import impatient, options_of, patient

        options = options_of(filesystem)
        first, filesystem = impatient(options), patient(options)
    is_store = _is_object_store(filesystem)
    bucket = path.partition("/")[0]
    if is_store and not bucket:
        raise JobError(f"storage {uri!r} does not name a bucket")
    try:
        is_there = _is_there(first, path) or not is_store or _is_there(first, bucket)
    except OSError as error:
        raise JobError(f"storage {uri} cannot be used: {reason_of(error)}{_hint(error)}") from None
    if not is_there:
        raise JobError(f"storage {uri}: bucket {bucket!r} does not exist; create it first")
    return Folder(filesystem, path, uri)


def _is_there(filesystem: fs.FileSystem, path: str) -> bool:
    return bool(filesystem.get_file_info(path).type != fs.FileType.NotFound)


def _hint(error: OSError) -> str:
    """Return what to check after a store's error."""
    said = str(error)
    if "NETWORK_CONNECTION" in said or "CURL error" in said:
        return "; check the endpoint (endpoint_override or AWS_ENDPOINT_URL) and that it is running"
    if "ACCESS_DENIED" in said or "PERMISSION_DENIED" in said or "_KEY_ID" in said:
        return "; check the credentials of this process"
    return ""


def _is_object_store(filesystem: fs.FileSystem) -> bool:
    return filesystem.type_name in OBJECT_STORES
