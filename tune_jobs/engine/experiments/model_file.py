"""An experiment's model file: which functions read it, and what its damage is called."""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tune_jobs.engine.errors import JobError, reason_of
from tune_jobs.engine.experiments.files import MODEL
from tune_jobs.engine.job.companions import (
    LIBRARY,
    MODEL_FILES,
    MODEL_FUNCTIONS,
    belongs_to_library,
    companion,
)
from tune_jobs.engine.job.description import Description
from tune_jobs.engine.job.trust import Trusted, import_library
from tune_jobs.engine.storage.folder import Folder

Function = Callable[..., Any]

# What the comment of an archive begins with, before the id of the experiment that wrote it.
MARK = b"tune-jobs experiment "

# The file in the archive that holds the threshold of a model of two classes.
THRESHOLD = "threshold.json"

MODEL_FILE_CHECK = f"{LIBRARY}.model_file"


def find_function(
    name: str, description: Description, folder: Folder, trusted: Trusted | None
) -> Function:
    """Find the function called ``name`` that goes with an experiment's trainable.

    The user's own code is used if the user has given it. Else the functions of ``trainables`` are:
    no other module is imported because an experiment names it.

    Raises:
        JobError: if there is none, or it is code that the user has not given.
    """
    if trusted is not None:
        return companion(trusted.functions, name)
    module = (description.trainable or "").rpartition(".")[0]
    if belongs_to_library(module):
        return companion(import_library(module, folder.parent), name)
    if name in MODEL_FUNCTIONS and name not in description.own_functions:
        return companion(import_library(MODEL_FILES, folder.parent), name)
    raise JobError(
        f"{folder.uri} needs {name!r} of its trainable's module {module!r}, and code is not run "
        "because results name it; if you know it, add --trust JOB, the job that it belongs to"
    )


def mark_model(content: bytes, experiment_id: str | None) -> bytes:
    """Write an experiment's id into its model file, as the comment of the archive that it is.

    A file of another kind, which a job's own code writes, stays as it is.
    """
    buffer = io.BytesIO(content)
    if experiment_id is None or not is_archive(content):
        return content
    with zipfile.ZipFile(buffer, "a") as archive:
        if archive.comment:
            return content
        archive.comment = MARK + experiment_id.encode()
    return buffer.getvalue()


def add_threshold(content: bytes, threshold: float) -> bytes:
    """Write into a model file above which probability the second of two classes is predicted.

    A file of another kind, which a job's own code writes, stays as it is.
    """
    if not is_archive(content):
        return content
    buffer = io.BytesIO(content)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr(THRESHOLD, json.dumps({"threshold": threshold}))
    return buffer.getvalue()


def threshold_in_model(content: bytes) -> float | None:
    """Return the threshold that a model file holds; None if it holds none."""
    if not is_archive(content):
        return None
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if THRESHOLD not in archive.namelist():
            return None
        with suppress(ValueError, KeyError, TypeError, zipfile.BadZipFile):
            return float(json.loads(archive.read(THRESHOLD))["threshold"])
    return None


def id_in_model(content: bytes) -> str | None:
    """Return the id of the experiment that wrote a model file; None if it has none."""
    if not is_archive(content):
        return None
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        found = archive.comment
    return found.removeprefix(MARK).decode("ascii", "replace") if found.startswith(MARK) else None


def is_archive(content: bytes) -> bool:
    """Return whether a model file is an archive, as those of Keras are, and not cut off."""
    try:
        zipfile.ZipFile(io.BytesIO(content)).close()
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return False
    return True


def read_bytes(folder: Folder) -> bytes:
    """Read the model file of an experiment.

    Raises:
        JobError: if it cannot be read.
    """
    try:
        return folder.read(MODEL)
    except OSError as error:
        raise JobError(f"{folder.uri}: {MODEL} cannot be read: {reason_of(error)}") from None


def check_model(folder: Folder, content: bytes, load: Function) -> list[Any]:
    """Check a model file that the library reads; list what is registered and not Keras' own in it.

    Nothing is known of a file that other code reads.

    Raises:
        JobError: in one line, if it is damaged, something else, or holds code.
    """
    if not belongs_to_library(getattr(load, "__module__", "")):
        return []
    check: Function = import_library(MODEL_FILE_CHECK, folder.parent).check_model_file
    try:
        return list(check(content, MODEL))
    except ValueError as error:
        raise JobError(f"{folder.uri}: {error}") from None


def load_model(
    folder: Folder,
    content: bytes,
    load: Function,
    trusted: Trusted | None,
    modules: Mapping[str, str],
) -> Any:
    """Load the model file of an experiment.

    Args:
        folder: the experiment's.
        content: of the file.
        load: reads it.
        trusted: code that the user has given.
        modules: the files of the trainable's modules, as the experiment notes them.

    Raises:
        JobError: if it cannot be loaded.
    """
    needed = {each.module for each in check_model(folder, content, load)}
    if trusted is not None:
        trusted.import_registered(needed)
    files = sorted(modules[name] for name in needed & modules.keys())
    noted = f" (it was trained with {', '.join(files)})" if files else ""
    with tempfile.TemporaryDirectory() as aside:
        path = Path(aside, MODEL)
        path.write_bytes(content)
        try:
            return load(str(path))
        except (ValueError, OSError) as error:
            raise JobError(f"{folder.uri}: {reason_of(error)}{noted}") from error
