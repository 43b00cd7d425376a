"""What has changed since an experiment was begun, and whether its results can still be compared."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

# What must be the same for results to be comparable, and how it is called.
DECISIVE = {
    "trainable": "the trainable",
    "code": "the trainable's code",
    "fingerprint": "the data",
    "data": "the way the data is read",
    "evaluation": "the evaluation",
    "preprocessing": "the preprocessing",
}
HASHES = ("code", "fingerprint")


def find_changes(before: dict[str, Any], now: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Compare two descriptions: what forbids a comparison of results, and what is worth saying."""
    decisive = [
        f"{text} changed" + _how(name, before.get(name), now.get(name))
        for name, text in DECISIVE.items()
        if _plain(before.get(name)) != _plain(now.get(name))
    ]
    notes = [
        f"{package} changed from {version} to {now['versions'].get(package, 'not installed')}"
        for package, version in before.get("versions", {}).items()
        if now["versions"].get(package) != version
    ]
    notes += [
        f"{name} changed from {_short(before.get(name))} to {_short(now.get(name))}"
        for name in ("max_epochs", "seed", "searcher", "scheduler")
        if _plain(before.get(name)) != _plain(now.get(name))
    ]
    if _plain(before.get("space")) != _plain(now.get("space")):
        notes.append("the search space changed")
    return decisive, notes


def _how(name: str, before: Any, now: Any) -> str:
    """In what two values differ, where that can be said in few words."""
    if name in HASHES:
        return ""
    if name == "preprocessing" and before and now:
        old, new = (
            [column["name"] for column in each.get("columns", ())] for each in (before, now)
        )
        gone, come = [c for c in old if c not in new], [c for c in new if c not in old]
        parts = [("removed", gone), ("added", come)]
        said = [f"{word} {', '.join(map(repr, names))}" for word, names in parts if names]
        return f" ({' and '.join(said)})" if said else " (same columns, fitted to other values)"
    return _shown(before, now)


def fingerprint_of(function: Callable[..., Any]) -> str | None:
    """A fingerprint of a function's module and of what it imports from its package or folder.

    Comments and docstrings do not count. None where there is no source.
    """
    try:
        file = inspect.getsourcefile(function)
    except TypeError:
        file = None
    if file is None or not Path(file).is_file():
        return None
    seen: dict[str, str] = {}
    _collect(function.__module__, Path(file), seen)
    return hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()[:16]


def _collect(module: str, file: Path, seen: dict[str, str]) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(
            node
        ):
            node.body = node.body[1:]
    seen[module] = hashlib.sha256(ast.dump(tree).encode()).hexdigest()
    package = module.partition(".")[0]
    for name in sorted(_imported(tree)):
        found = None if name in seen or package == "tune_jobs" else _find(name, module, file)
        if found is not None:
            _collect(name, found, seen)


def _find(name: str, module: str, file: Path) -> Path | None:
    """The file of an imported module of the same package, or of the same folder.

    Nothing is imported for it but packages of one's own: the driver stays free of Keras.
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


def _plain(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=repr)


def _shown(before: Any, now: Any) -> str:
    texts = [_short(before), _short(now)]
    return f" (from {texts[0]} to {texts[1]})" if max(map(len, texts)) <= 60 else ""


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=repr)
