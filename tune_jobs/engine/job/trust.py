"""Decide which code may run: what a results folder names is run only if the user names it, too.

The folder of an experiment may come from anybody. Its ``experiment.json`` names a trainable, a job
and a profile; any of them can be a file that came with the folder.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from itertools import accumulate
from pathlib import Path
from types import ModuleType
from typing import Any

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.job.changes import modules_beside
from tune_jobs.engine.job.companions import LIBRARY, owner_of
from tune_jobs.engine.job.modules import PACKAGE, list_jobs
from tune_jobs.engine.storage.folder import Folder

# Code that came with this installation, wherever the storage lies.
INSTALLED = (PACKAGE, PACKAGE.parent / LIBRARY)


@dataclass(frozen=True)
class Trusted:
    """Code that the user has given, by a job that runs or by ``--trust``.

    Attributes:
        module: the trainable's; what is registered there may be part of a model.
        owner: what has the functions that may read a model, None for the module.
    """

    module: ModuleType
    owner: Any = None

    @property
    def functions(self) -> Any:
        """What has the functions that go with the trainable."""
        return self.owner or self.module

    @property
    def is_made(self) -> bool:
        """True if a program has made the trainable: its functions are in no module."""
        return self.owner not in (None, self.module)

    def import_registered(self, names: Iterable[str]) -> None:
        """Import modules that register layers and losses, if they belong to the user's code.

        They do if that imports them, be it inside a function, or if they are of its package.

        Raises:
            JobError: if one cannot be imported.
        """
        own = self.module.__name__
        package, known = f"{own.partition('.')[0]}.", modules_beside(self.module)
        for name in sorted(set(names) - sys.modules.keys()):
            if name in known or ("." in own and name.startswith(package)):
                _import(name)


def trust(given: Any) -> Trusted | None:
    """Trust a job, or a module with one; None if the trainable's module is not known."""
    if isinstance(given, ModuleType):
        given = getattr(given, "JOB", given)
    if isinstance(given, ModuleType):
        return Trusted(given)
    trainable = getattr(given, "trainable", given)
    module = sys.modules.get(trainable.__module__)
    return Trusted(module, owner_of(trainable)) if module else None


def import_library(module: str, storage: Folder) -> ModuleType:
    """Import a module of ``trainables``.

    Raises:
        JobError: if there is no such module, or it lies below the storage.
    """
    if _below(storage.local_path, list_files(module)):
        raise JobError(f"{module} lies below the storage {storage.uri}, and is not imported")
    return _import(module)


def _import(module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise JobError(f"{module} cannot be imported: {error}") from None


def refuse_stored(
    what: str, name: str, files: Sequence[Path], storages: Iterable[Path | None], mark: str
) -> None:
    """Refuse a file that lies below the results of this or any other experiment.

    Args:
        what: what it is, and of which experiment, for the message.
        name: as the experiment or the user has it.
        files: the files that would be used.
        storages: the folders of the results, None for one that is not on this machine.
        mark: the file that marks the folder of an experiment, wherever it lies.

    Raises:
        JobError: naming it.
    """
    if "\0" in name:
        raise JobError(f"{name!r}, {what}, is no name of a file")
    if any(_below(storage, files) for storage in [*storages, *_marked_above(files, mark)]):
        raise JobError(
            f"{name!r}, {what}, lies below the results and is not used: results may "
            "come from a stranger; if it is yours, keep it elsewhere and name it in the command"
        )


def list_files(name: str) -> list[Path]:
    """Return the files that a job's or a module's name would run; nothing is imported."""
    if name.endswith(".py"):
        return [Path(name)]
    dotted = name if "." in name or name not in list_jobs() else f"tune_jobs.{name}"
    found: list[Path] = []
    path = [*sys.path, str(Path.cwd())]
    for name in accumulate(dotted.split("."), "{}.{}".format):
        spec = _find_spec(name, path)
        if spec is None:
            break
        path = list(spec.submodule_search_locations or ())
        found += [Path(place) for place in path]
        found += [Path(spec.origin)] if spec.has_location and spec.origin else []
    return found


def _find_spec(name: str, path: Sequence[str]) -> ModuleSpec | None:
    """Find a module as an import would, without the import of its packages."""
    if name in sys.modules:
        return sys.modules[name].__spec__
    package, _, last = name.rpartition(".")
    finders = [PathFinder] if package else sys.meta_path
    return next(filter(None, (finder.find_spec(last, path) for finder in finders)), None)


def _marked_above(files: Iterable[Path], mark: str) -> set[Path]:
    """Return the folders above some files that a file of a name lies in."""
    folders = {folder for place in _places(files) for folder in place.parents}
    return {folder for folder in folders if os.path.lexists(folder / mark)}


def _places(files: Iterable[Path]) -> set[Path]:
    """Return the places of files, with links followed and without."""
    found = [(file.absolute(), Path(os.path.realpath(file))) for file in files]
    return {place for places in found for place in places}


def _below(storage: Path | None, files: Iterable[Path]) -> bool:
    """Return whether one of some files lies below a storage, links followed or not."""
    roots = () if storage is None else _places([storage])
    return any(
        place.is_relative_to(above)
        for place in _places(files)
        for above in roots
        if not any(place.is_relative_to(ours) for ours in INSTALLED)
    )
