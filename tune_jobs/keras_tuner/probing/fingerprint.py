"""What tells two models apart before they are trained."""

from __future__ import annotations

import hashlib
import json
import sys
from typing import Any

from trainables.fitting.compiled.keras_internals import is_keras_module


def fingerprint(model: Any) -> str | None:
    """Return a text that is equal for equal models; None if a model is more than its config says.

    Functions, layers and models of the program may hold values that no config shows.
    """
    keras = sys.modules.get("keras")
    if keras is None or not is_keras_module(type(model).__module__):
        return None
    try:
        config = keras.saving.serialize_keras_object(model)
        if not _is_of_keras(config):
            return None
        text = json.dumps(config, sort_keys=True, default=repr)
    except Exception:  # noqa: BLE001  # a layer without get_config, and whatever else
        return None
    return hashlib.sha256(text.encode()).hexdigest()


def _is_of_keras(part: Any) -> bool:
    if isinstance(part, list | tuple):
        return all(_is_of_keras(child) for child in part)
    if not isinstance(part, dict):
        return True
    module = part.get("module")
    is_own = isinstance(module, str) and not is_keras_module(module)
    if is_own or part.get("class_name") in ("Lambda", "__lambda__"):
        return False
    return all(_is_of_keras(child) for child in part.values())
