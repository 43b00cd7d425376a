"""Layers, losses and functions that a module registers with Keras, carried to another process.

The file of a job, a script and a notebook go to workers by value: they get its classes, but run
none of its decorators.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from importlib import import_module
from typing import Any


def registered_in(modules: Collection[str]) -> dict[str, Any]:
    """Return what some modules have registered with Keras, by name; nothing without Keras."""
    keras = sys.modules.get("keras") and import_module("keras")  # once all of it is imported
    if keras is None:
        return {}
    known = keras.saving.get_custom_objects().items()
    return {name: thing for name, thing in known if getattr(thing, "__module__", None) in modules}


def register(objects: Mapping[str, Any]) -> None:
    """Register objects with Keras in this process, by the names that they have in another one."""
    if not objects:
        return
    import keras

    for name, thing in objects.items():
        package, mark, own = name.rpartition(">")
        if mark:
            keras.saving.register_keras_serializable(package, own)(thing)
        else:
            keras.saving.get_custom_objects()[name] = thing
