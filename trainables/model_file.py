"""What a ``.keras`` file holds, read without Keras, and refused if it cannot be a whole model."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

FILES = {"config.json", "metadata.json", "model.weights.h5"}

DAMAGED = "is damaged ({}); copy it again, or delete it and export the best trial instead"

MAIN = "__main__"  # of a script or a notebook

OWN = "; if the job writes files of its own kind, name it (tune-jobs: --trust JOB)"


@dataclass(frozen=True)
class Registered:
    """A layer, loss or function in a model file that is not one of Keras.

    Attributes:
        name: what it is registered as.
        module: the module that registers it.
    """

    name: str
    module: str


def check_model_file(content: bytes, name: str) -> list[Registered]:
    """Check that a file is a whole Keras model without code; list what is not Keras' own in it.

    Args:
        content: of the file.
        name: of the file, for messages.

    Raises:
        ValueError: in one line, if the file is something else, is damaged, or holds code.
    """
    return check_config(_read_config(content, name), name)


def check_config(config: Any, name: str) -> list[Registered]:
    """Check that the configuration of a model has no code; list what is not Keras' own in it.

    Raises:
        ValueError: in one line, if it has, or is not one.
    """
    nodes = list(_nodes(config))
    if not nodes:
        raise ValueError(f"{name} is not a Keras model{OWN}")
    if any(node.get("class_name") == "__lambda__" for node in nodes):
        raise ValueError(
            f"{name} has a Lambda layer with Python code, which is not run; train again with a "
            "registered layer or keras.ops instead of the lambda"
        )
    found = [node for node in nodes if _is_registered(node)]
    return [Registered(node["registered_name"], node["module"] or MAIN) for node in found]


def _read_config(content: bytes, name: str) -> Any:
    """Read the configuration of the model in a file.

    Raises:
        ValueError: if the file is no Keras model, or is damaged.
    """
    if not content.startswith(b"PK"):
        raise ValueError(f"{name} is not a Keras model{OWN}")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if lacking := FILES.difference(archive.namelist()):
                raise ValueError(f"{name} is not a Keras model: it has no {min(lacking)}{OWN}")
            if torn := archive.testzip():
                raise ValueError(f"{name} {DAMAGED.format(torn)}")
            return json.loads(archive.read("config.json"))
    except zipfile.BadZipFile:
        raise ValueError(f"{name} {DAMAGED.format('cut off')}") from None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        raise ValueError(f"{name} {DAMAGED.format('config.json')}") from None


def _nodes(config: Any) -> Iterator[dict[str, Any]]:
    """Yield every object in a configuration, the outer ones first."""
    waiting = [config]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            yield part
            waiting.extend(part.values())
        elif isinstance(part, list):
            waiting.extend(part)


def _is_registered(node: dict[str, Any]) -> bool:
    """Return whether an object is one that Keras does not have."""
    module = f"{node.get('module') or MAIN}."  # Keras writes no module for that of a script
    is_keras = module.startswith(("keras.", "builtins."))
    return "class_name" in node and bool(node.get("registered_name")) and not is_keras
