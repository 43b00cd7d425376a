"""Find the functions beside a trainable: build, export, load, predict."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from tune_jobs.engine.errors import JobError


def companion(module: ModuleType, name: str) -> Callable[..., Any]:
    """Find the function called ``name`` in the module of a trainable.

    A module of ``trainables`` has ``build`` and ``train``, and re-exports ``export``, ``load`` and
    ``predict``: so the engine needs no import of Keras.

    Raises:
        JobError: if there is none.
    """
    found = getattr(module, name, None)
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
