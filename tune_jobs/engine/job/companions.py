"""Find the functions that go with a trainable: build, export, load, predict, preload.

They lie beside it in its module; a trainable that is made for one search has them as attributes.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

from tune_jobs.engine.errors import JobError

# What reads and writes model files; ``build`` is always the user's.
MODEL_FUNCTIONS = ("export", "load", "predict")
LIBRARY = "trainables"

# What reads and writes model files, unless the user names other functions.
MODEL_FILES = f"{LIBRARY}.export"

# The folders of installed packages, which every process finds.
INSTALLED = ("site-packages", "dist-packages")


def belongs_to_library(module: str) -> bool:
    """Return whether a module is one of ``trainables``."""
    return f"{module}.".startswith(f"{LIBRARY}.")


def is_ours(module: str) -> bool:
    """Return whether a module came with this installation, and is found by every process."""
    return belongs_to_library(module) or module.startswith("tune_jobs.")


def own_functions(trainable: Callable[..., Any]) -> tuple[str, ...]:
    """Name the functions for model files beside a trainable that are not those of the library."""
    owner = owner_of(trainable)
    found = {name: getattr(owner, name, None) for name in MODEL_FUNCTIONS}
    return tuple(
        name
        for name, function in found.items()
        if callable(function) and not belongs_to_library(getattr(function, "__module__", ""))
    )


def owner_of(trainable: Callable[..., Any]) -> Any:
    """Return what has the functions of a trainable: itself if it has a ``build``, else its module.

    None if the module is not known.
    """
    if callable(getattr(trainable, "build", None)):
        return trainable
    return sys.modules.get(trainable.__module__)


def companion(module: Any, name: str) -> Callable[..., Any]:
    """Find the function called ``name`` of a trainable, in its module or among its attributes.

    A trainable that is fitted by the library's ``fit`` has the library's ``export``, ``load`` and
    ``predict`` unless it has its own. They are found by name, so the engine imports no Keras.

    Raises:
        JobError: if there is none.
    """
    found = getattr(module, name, None)
    if found is None and name in MODEL_FUNCTIONS and is_fitted_by_library(module):
        found = getattr(importlib.import_module(MODEL_FILES), name)
    if not callable(found):
        advice = (
            f"define {name}(config) there"
            if name == "build"
            else f"add `from trainables.export import {name}` there"
        )
        raise JobError(
            f"{module.__name__} has no function {name!r} next to its trainable; {advice}"
        )
    return found  # type: ignore[no-any-return]


def is_fitted_by_library(module: Any) -> bool:
    """Return whether a trainable's module imports something that fits Keras models."""
    return any(
        f"{getattr(value, '__module__', '')}.".startswith(f"{LIBRARY}.fitting.")
        for value in list(vars(module).values())
        if callable(value)
    )


def beside(function: Callable[..., Any], name: str) -> Callable[..., Any] | None:
    """Find a function in the module that another is defined in; None if there is none.

    A job imports ``export`` from ``trainables.export``, which has more that goes with it.
    """
    found = getattr(sys.modules.get(function.__module__), name, None)
    return found if callable(found) else None
