"""Hash the code that a function reaches, if no file holds it: a notebook's, or a closure's."""

from __future__ import annotations

import dis
import hashlib
import inspect
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from tune_jobs.engine.job.companions import INSTALLED, is_ours

PLAIN = (bool, int, float, complex, str, bytes, type(None), type(...))
# What an object of the library counts or remembers is not the user's code.
STATE = (*PLAIN, list, tuple, set, frozenset, dict)
# The members of a container that are looked at; more of them are data.
MOST = 1000
READS = ("LOAD_GLOBAL", "LOAD_NAME")


@dataclass
class Reached:
    """What a function reaches outside installed packages.

    Attributes:
        digests: hashes of functions, classes and values that lie in no file, by name.
        files: the modules with a file, each with it.
    """

    digests: dict[str, str] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)

    def add(self, name: str, content: object) -> None:
        """Add a hash; what has the same name is hashed together."""
        text = f"{self.digests.get(name, '')}{content}"
        self.digests[name] = hashlib.sha256(text.encode()).hexdigest()


def reach(function: Any) -> Reached:
    """Find the code that a function reaches: by its globals, its closure and its imports.

    Docstrings, comments and the place in a notebook do not count.
    """
    found, seen, waiting = Reached(), dict[int, Any](), [("", function)]
    while waiting:
        name, thing = waiting.pop()
        if isinstance(thing, PLAIN):
            found.add(name, repr(thing))
        elif id(thing) not in seen:
            seen[id(thing)] = thing  # kept, so that nothing else gets its id
            waiting += reversed(list(_look_into(name, thing, found)))
    return found


def _look_into(name: str, thing: Any, found: Reached) -> Iterator[tuple[str, Any]]:
    """Hash one thing, and yield those that it reaches, with their names."""
    if isinstance(thing, ModuleType):
        _note_file(thing.__name__, found)
    elif isinstance(thing, list | tuple | set | frozenset | dict):
        yield from _members(name, thing)
    elif isinstance(thing, MethodType):
        yield from ((name, thing.__func__), (f"{name}.self", thing.__self__))
    elif isinstance(thing, partial):
        yield from ((name, thing.func), (name, thing.args), (name, thing.keywords))
    elif isinstance(thing, FunctionType):
        yield from _look_into_function(thing, found)
    elif isinstance(thing, type):
        yield from _look_into_class(thing, found)
    elif isinstance(thing, property | staticmethod | classmethod):
        parts = (getattr(thing, part, None) for part in ("__func__", "fget", "fset"))
        yield from ((name, part) for part in parts if part is not None)
    elif _lies_in_no_file(type(thing).__module__):
        yield from ((name, type(thing)), (name, getattr(thing, "__dict__", {})))
    elif is_ours(type(thing).__module__):
        held = getattr(thing, "__dict__", {}).items()
        yield from ((f"{name}.{key}", each) for key, each in held if not isinstance(each, STATE))


def _members(name: str, thing: Any) -> Iterator[tuple[str, Any]]:
    """Yield the first members of a container, in an order that is the same in every process."""
    yield name, len(thing)
    if isinstance(thing, dict):
        yield from ((f"{name}.{key}", value) for key, value in islice(thing.items(), MOST))
        return
    members = sorted(thing, key=repr) if isinstance(thing, set | frozenset) else thing
    yield from ((f"{name}.{place}", member) for place, member in enumerate(members[:MOST]))


def _look_into_function(function: FunctionType, found: Reached) -> Iterator[tuple[str, Any]]:
    name, code = f"{function.__module__}.{function.__qualname__}", function.__code__
    cells = zip(code.co_freevars, function.__closure__ or (), strict=True)
    written_in = function.__globals__.get("__name__", "")
    if _lies_in_no_file(written_in):
        found.add(name, _text_of(code))
        yield f"{name} defaults", (function.__defaults__, function.__kwdefaults__)
        yield from _globals_of(function, found)
    elif not is_ours(written_in) and not _note_file(written_in, found):
        return
    for variable, cell in cells:
        try:
            yield f"{name}.{variable}", cell.cell_contents
        except ValueError:  # nothing is in it yet
            continue


def _globals_of(function: FunctionType, found: Reached) -> Iterator[tuple[str, Any]]:
    """Yield the globals that a function reads, and note the modules that it imports."""
    for operation, name in _operations(function.__code__):
        if operation in READS and name in function.__globals__:
            yield f"{function.__module__}.{name}", function.__globals__[name]
        elif operation == "IMPORT_NAME":
            _note_file(name, found)


def _look_into_class(kind: type, found: Reached) -> Iterator[tuple[str, Any]]:
    if not _lies_in_no_file(kind.__module__):
        _note_file(kind.__module__, found)
        return
    name = f"{kind.__module__}.{kind.__qualname__}"
    found.add(name, [f"{base.__module__}.{base.__qualname__}" for base in kind.__bases__])
    yield from ((f"{name} bases", base) for base in kind.__bases__)
    for attribute, value in vars(kind).items():
        if not attribute.startswith("__") or callable(value):
            yield f"{name}.{attribute}", value


def _operations(code: CodeType) -> Iterator[tuple[str, str]]:
    """Yield the operations with names of a code, and of those inside it."""
    for each in dis.get_instructions(code):
        if isinstance(each.argval, str):
            yield each.opname, each.argval
    for inner in filter(inspect.iscode, code.co_consts):
        yield from _operations(inner)


def _text_of(code: CodeType) -> str:
    """Write a code as text that is the same in every process."""
    constants = [_text_of_constant(each) for each in code.co_consts]
    if code.co_name != "<lambda>" and isinstance(next(iter(code.co_consts), None), str):
        constants[0] = "docstring"
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    return repr((code.co_code.hex(), constants, names, counts))


def _text_of_constant(value: Any) -> str:
    if inspect.iscode(value):
        return _text_of(value)
    return repr(sorted(map(repr, value)) if isinstance(value, frozenset) else value)


def _lies_in_no_file(name: str) -> bool:
    """Return whether a module is a notebook or a terminal."""
    module = sys.modules.get(name)
    return module is None or (module.__name__ == "__main__" and not _file_of(module))


def _file_of(module: ModuleType) -> Path | None:
    """Return the file of Python code that a module has; None if it has none."""
    file = Path(getattr(module, "__file__", None) or "")
    return file.absolute() if file.suffix == ".py" and file.is_file() else None


def _note_file(name: str, found: Reached) -> bool:
    """Note the file of a module if that is the user's own; return whether it is."""
    module = sys.modules.get(name)
    file = None if module is None or is_ours(name) else _file_of(module)
    standard = Path(sysconfig.get_paths()["stdlib"])
    if file is None or file.is_relative_to(standard) or set(INSTALLED) & {*file.parts}:
        return False
    found.files[name] = file
    return True
