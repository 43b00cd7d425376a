"""The versions that all nodes need: those of the lock file, or of this environment."""

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
# Images that say which Ray they hold: Ray's own, and any with a tag of this form.
RAY_IMAGE = re.compile(r"(^|/)rayproject/ray(-ml)?([:@]|$)|:\d+\.\d+\.\d+-py3")


def read_versions(near: str | Path, python: str | None = None) -> dict[str, str]:
    """Return the pinned version of each package, by its name in lower case.

    They come from the ``requirements.lock`` in the nearest folder above a file; without one, from
    the packages installed here. If the lock file pins a package once per Python, the version for
    ``python``, such as ``3.11``, or for this one counts, on Linux.
    """
    for folder in Path(near).absolute().parents:
        if (folder / LOCK).is_file():
            return _parse((folder / LOCK).read_text(encoding="utf-8"), python)
    return {each.name.lower(): each.version for each in metadata.distributions() if each.name}


def image_problem(where: str, image: str, ray: str) -> str | None:
    """Return what is wrong with an image that should hold a version of Ray."""
    if RAY_IMAGE.search(image) and not re.search(rf":{re.escape(ray)}-py3", image):
        return f"{where} is {image!r}, but all nodes need Ray {ray} of {LOCK}: tag it {ray}-py311"
    return None


def _parse(text: str, python: str | None) -> dict[str, str]:
    python = python or ".".join(map(str, sys.version_info[:2]))
    node = {"python_version": python, "python_full_version": f"{python}.0"}
    node |= {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"}
    return {
        found["name"]: found["version"]
        for found in PINNED.finditer(text)
        if found["marker"] is None or Marker(found["marker"].strip()).evaluate(node)
    }
