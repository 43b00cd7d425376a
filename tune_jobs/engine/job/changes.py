"""Compare a run with the one that began its experiment: are their results comparable?"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import inspect
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from tune_jobs.engine.job.description import Description
from tune_jobs.engine.job.reached import reach

# What must be the same for results to be comparable, and its name in messages.
DECISIVE = {
    "trainable": "the trainable",
    "source": "the trainable's code",
    "fingerprint": "the data",
    "data": "the way the data is read",
    "evaluation": "the evaluation",
    "preprocessing": "the preprocessing",
}
HASHES = ("source", "fingerprint")

# What may differ, but is worth a line.
NOTED = ("max_epochs", "seed", "searcher", "scheduler")

# The library's own part of the package that holds the user's trainables.
FITTING = "trainables.fitting"


@dataclass(frozen=True)
class Changes:
    """The differences between two descriptions.

    Attributes:
        decisive: those that make results incomparable, one line each.
        notes: those that are worth a line.
    """

    decisive: list[str]
    notes: list[str]


def find_changes(before: Description, now: Description) -> Changes:
    """Compare the description of an earlier run with that of a new one."""
    decisive = [
        f"{DECISIVE[name]} changed" + _how(name, getattr(before, name), getattr(now, name))
        for name in differing(before, now)
    ]
    notes = [
        f"{package} changed from {version} to {now.versions.get(package, 'not installed')}"
        for package, version in before.versions.items()
        if now.versions.get(package) != version
    ]
    for name in NOTED:
        old, new = getattr(before, name), getattr(now, name)
        if _plain(old) != _plain(new):
            notes.append(f"{name} changed from {_short(old)} to {_short(new)}")
    if _plain(before.space) != _plain(now.space):
        notes.append("the search space changed")
    if before.source is None and before.code is not None:
        version = before.versions.get("tune-jobs", "an earlier version")
        notes.append(f"the trainable's code cannot be compared with that of tune-jobs {version}")
    return Changes(decisive, notes)


def differing(before: Description, now: Description) -> list[str]:
    """Return the names of the decisive facts that differ; a source counts if both have one."""
    found = [
        name for name in DECISIVE if _plain(getattr(before, name)) != _plain(getattr(now, name))
    ]
    is_known = None not in (before.source, now.source)
    return [name for name in found if name != "source" or is_known]


def _how(name: str, before: Any, now: Any) -> str:
    """Say how two values differ, if few words can."""
    if name in HASHES:
        return ""
    if name == "preprocessing" and before and now:
        return _how_columns(before.get("columns") or (), now.get("columns") or ())
    return _shown(before, now)


def _how_columns(before: Any, now: Any) -> str:
    old, new = ([column["name"] for column in columns] for columns in (before, now))
    gone, come = [c for c in old if c not in new], [c for c in new if c not in old]
    parts = [("removed", gone), ("added", come)]
    said = [f"{word} {', '.join(map(repr, names))}" for word, names in parts if names]
    return f" ({' and '.join(said)})" if said else " (same columns, fitted to other values)"


def source_of(function: Callable[..., Any]) -> str | None:
    """Return a hash of a function's module and of what it imports from its package or folder.

    Of a function that a notebook defines, or that this library made of the user's, the hash is of
    what it reaches. Comments and docstrings do not count, nor does what belongs to this library: an
    upgrade of it leaves the hash as it is. None if there is no source.
    """
    try:
        file = inspect.getsourcefile(function)
    except TypeError:
        file = None
    seen: dict[str, _Source] = {}
    digests: dict[str, str] = {}
    if file is not None and Path(file).is_file() and not _is_made_here(function):
        _collect(function.__module__, Path(file), seen)
    else:
        reached = reach(function)
        digests = reached.digests
        for name, place in reached.files.items():
            _collect(name, place, seen)
    digests |= {name: source.digest for name, source in seen.items()}
    if not digests:
        return None
    return hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()[:16]


def _is_made_here(function: Callable[..., Any]) -> bool:
    """Return whether this library made a function of the user's own, which its closure holds."""
    written_in = getattr(function, "__globals__", {}).get("__name__", "")
    return _is_ours(written_in) and bool(getattr(function, "__closure__", None))


def modules_beside(module: ModuleType) -> dict[str, str]:
    """Return a module and what it imports from its package or folder, each with its file."""
    file, seen = Path(getattr(module, "__file__", None) or ""), dict[str, _Source]()
    if file.is_file():
        _collect(module.__name__, file.absolute(), seen)
    return {name: str(source.file) for name, source in seen.items()}


@dataclass(frozen=True)
class _Source:
    """The file of a module, and a hash of its code."""

    file: Path
    digest: str


def _collect(module: str, file: Path, seen: dict[str, _Source]) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(
            node
        ):
            node.body = node.body[1:]
    seen[module] = _Source(file, hashlib.sha256(ast.dump(tree).encode()).hexdigest())
    for name in sorted(_imported(tree)):
        found = None if name in seen or _is_ours(name) else _find(name, module, file)
        if found is not None:
            _collect(name, found, seen)


def _is_ours(module: str) -> bool:
    """Return whether a module is this library's, so that no user edits it."""
    return any(f"{module}.".startswith(f"{package}.") for package in ("tune_jobs", FITTING))


def _find(name: str, module: str, file: Path) -> Path | None:
    """Return the file of an imported module of the same package, or of the same folder.

    Nothing is imported but the packages around it: the driver stays free of Keras.
    """
    package = module.partition(".")[0]
    if name.partition(".")[0] == package:
        try:
            found = importlib.util.find_spec(name)
        except (ImportError, ValueError):
            return None
        origin = found.origin if found else None
        return Path(origin) if origin and origin.endswith(".py") else None
    beside = file.parent / f"{name}.py"
    return beside if module == package and beside.is_file() else None


def _imported(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def _plain(value: object) -> str:
    """Return a value as text; of a function without its place in memory."""
    return re.sub(r" at 0x[0-9a-f]+", "", json.dumps(value, sort_keys=True, default=repr))


def _shown(before: object, now: object) -> str:
    texts = [_short(before), _short(now)]
    return f" (from {texts[0]} to {texts[1]})" if max(map(len, texts)) <= 60 else ""


def _short(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=repr)
