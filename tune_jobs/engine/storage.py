"""A folder anywhere: on this machine, on NFS, in S3 or GCS, through one ``pyarrow.fs`` path."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from pyarrow import fs

from tune_jobs.engine.errors import JobError

ATTEMPTS = 20


@dataclass(frozen=True)
class Folder:
    """A folder of a ``pyarrow`` file system; ``uri`` is what Ray and people call it."""

    filesystem: fs.FileSystem
    path: str
    uri: str

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rsplit("/", 1)[-1]

    def child(self, name: str) -> Folder:
        """The folder called ``name`` inside this one."""
        return Folder(self.filesystem, f"{self.path}/{name}", f"{self.uri}/{name}")

    def create(self) -> None:
        """Make the folder and its parents, once more where another process removes it meanwhile.

        Raises:
            JobError: where it cannot be written.
        """
        probe = f".writable-{uuid4().hex}"
        for attempt in range(ATTEMPTS):
            try:
                self.filesystem.create_dir(self.path, recursive=True)
                self.write(probe, b"")
                self.filesystem.delete_file(f"{self.path}/{probe}")
                return
            except OSError as error:
                if attempt < ATTEMPTS - 1 and isinstance(error, FileNotFoundError):
                    continue
                raise JobError(f"{self.uri} cannot be written to: {reason_of(error)}") from None

    def exists(self, name: str = "") -> bool:
        """Whether the folder, or the file or folder called ``name`` in it, is there."""
        path = f"{self.path}/{name}" if name else self.path
        return bool(self.filesystem.get_file_info(path).type != fs.FileType.NotFound)

    def names(self) -> list[str]:
        """The names of what the folder holds, sorted; none where it does not exist."""
        selector = fs.FileSelector(self.path, allow_not_found=True)
        return sorted(info.base_name for info in self.filesystem.get_file_info(selector))

    def read(self, name: str) -> bytes:
        """The content of a file."""
        with self.filesystem.open_input_stream(f"{self.path}/{name}", compression=None) as stream:
            return bytes(stream.read())

    def write(self, name: str, content: bytes) -> None:
        """Write a file whole: a reader sees all of it or none.

        Object stores put a file in one step; elsewhere it is written aside, under a name that no
        other process of any machine uses, and moved.
        """
        aside = name if _is_object_store(self.filesystem) else f"{name}.tmp-{uuid4().hex}"
        try:
            with self.filesystem.open_output_stream(f"{self.path}/{aside}", None) as stream:
                stream.write(content)
            if aside != name:
                self.filesystem.move(f"{self.path}/{aside}", f"{self.path}/{name}")
        except OSError:
            if aside != name:
                self.delete(aside)
            raise

    def delete(self, name: str) -> None:
        """Delete a file, if it is there."""
        if self.exists(name):
            self.filesystem.delete_file(f"{self.path}/{name}")

    def delete_folder(self) -> None:
        """Delete the folder and what it holds, if it is there."""
        if self.exists():
            self.filesystem.delete_dir(self.path)

    def inside(self, path: str) -> str:
        """A path of the file system, seen from the folder."""
        return path.removeprefix(self.path).strip("/")

    def size(self) -> int:
        """The bytes of all files in the folder, at any depth."""
        selector = fs.FileSelector(self.path, recursive=True, allow_not_found=True)
        return sum(info.size or 0 for info in self.filesystem.get_file_info(selector))

    def read_json(self, name: str) -> Any:
        """The content of a JSON file."""
        return json.loads(self.read(name))

    def write_json(self, name: str, content: Any) -> None:
        """Write a JSON file whole."""
        text = json.dumps(plain(content), indent=2, ensure_ascii=False)
        self.write(name, text.encode() + b"\n")


def open_folder(place: str | os.PathLike[str]) -> Folder:
    """The folder at a path or URI; nothing is made or read.

    Raises:
        JobError: for a URI that pyarrow does not know.
    """
    text = os.fspath(place)
    if "://" not in text:
        path = str(Path(text).expanduser().absolute())
        return Folder(fs.LocalFileSystem(), path, path)
    try:
        filesystem, path = fs.FileSystem.from_uri(text)
    except (OSError, ValueError) as error:
        raise JobError(f"storage {text!r} cannot be opened: {reason_of(error)}") from None
    return Folder(filesystem, path.rstrip("/"), text.rstrip("/"))


def plain(value: Any) -> Any:
    """A value as JSON knows it: numpy's numbers as numbers, tuples as lists, the rest as text."""
    if isinstance(value, dict):
        return {str(key): plain(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [plain(child) for child in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        return value.item()
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return repr(value)


def is_local(folder: Folder) -> bool:
    """Whether a folder lies in a file system of this machine (NFS included)."""
    return bool(folder.filesystem.type_name == "local")


def _is_object_store(filesystem: fs.FileSystem) -> bool:
    return filesystem.type_name in ("s3", "gcs", "abfs")


def reason_of(error: Exception) -> str:
    """What an exception says, in one line."""
    return " ".join(str(error).split())
