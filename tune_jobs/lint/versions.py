"""Which versions all nodes need: those of the lock file, or of this environment."""

from __future__ import annotations

import re
import sys
from importlib import metadata
from pathlib import Path

from packaging.markers import Marker

LOCK = "requirements.lock"
PINNED = re.compile(
    r"^(?P<name>[a-z0-9.-]+)(\[[^]]*\])?==(?P<version>[^ ;\\\n]+)( *; *(?P<marker>[^\\\n]+))?",
    re.MULTILINE,
)


def read_versions(near: str | Path, python: str | None = None) -> dict[str, str]:
    """The pinned version of each package, by its name in lower case.

    They come from the ``requirements.lock`` in the nearest folder above a file, and where there is
    none from what is installed here. Where a lock file has one version for each Python, it is that
    of ``python``, such as ``3.11``, or of this one, on Linux.
    """
    for folder in Path(near).absolute().parents:
        if (folder / LOCK).is_file():
            return _parse((folder / LOCK).read_text(encoding="utf-8"), python)
    return {each.name.lower(): each.version for each in metadata.distributions() if each.name}


def _parse(text: str, python: str | None) -> dict[str, str]:
    python = python or ".".join(map(str, sys.version_info[:2]))
    node = {"python_version": python, "python_full_version": f"{python}.0"}
    node |= {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"}
    return {
        found["name"]: found["version"]
        for found in PINNED.finditer(text)
        if found["marker"] is None or Marker(found["marker"].strip()).evaluate(node)
    }
