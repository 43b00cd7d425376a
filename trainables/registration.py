"""Layers, losses and functions that a job registers with Keras, on their way to a worker.

A job that is a file goes to the workers by value: its module is not imported there, so that its
decorators never run.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any


def registered_in(module: str) -> dict[str, Any]:
    """Return what a module has registered with Keras in this process, by registered name."""
    if "keras" not in sys.modules:
        return {}
    import keras

    objects = keras.saving.get_custom_objects()
    return {
        name: found
        for name, found in objects.items()
        if getattr(found, "__module__", None) == module
    }


def register(objects: Mapping[str, Any]) -> None:
    """Register objects with Keras, but those that are."""
    import keras

    for name, found in objects.items():
        if keras.saving.get_registered_object(name) is None:
            package, _, short = name.rpartition(">")
            keras.saving.register_keras_serializable(package, short)(found)
