"""Which versions all nodes need: those of the lock file, or of this environment."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

LOCK = "requirements.lock"
PINNED = re.compile(r"^(?P<name>[a-z0-9-]+)(\[[^]]*\])?==(?P<version>[^ ;\\]+)", re.MULTILINE)


def read_versions(near: str | Path) -> dict[str, str]:
    """The pinned version of each package, by its name in lower case.

    They come from the ``requirements.lock`` in the nearest folder above a file, and where there is
    none from what is installed here.
    """
    for folder in Path(near).absolute().parents:
        if (folder / LOCK).is_file():
            text = (folder / LOCK).read_text(encoding="utf-8")
            return {match["name"]: match["version"] for match in PINNED.finditer(text)}
    return {each.name.lower(): each.version for each in metadata.distributions() if each.name}
