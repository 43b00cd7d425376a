"""Parts of a document: what stands at a place, and the findings there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tune_jobs.lint.findings import Finding
from tune_jobs.lint.located import Document, Keys

QUANTITY = re.compile(r"(?P<number>[0-9]+(\.[0-9]*)?|\.[0-9]+)(?P<unit>[A-Za-z]*|[eE][+-]?[0-9]+)")
DECIMAL = {"": 1, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60}
UNITS = DECIMAL | BINARY


@dataclass(frozen=True)
class Part:
    """The part of a document below some keys; it may be absent, or not be what it should be."""

    document: Document
    keys: Keys = ()

    def get(self, *keys: str | int) -> Any:
        """What stands below further keys; None where nothing does."""
        found: Any = self.document.content
        for key in (*self.keys, *keys):
            if isinstance(found, dict):
                found = found.get(key)
            elif isinstance(found, list) and isinstance(key, int) and key < len(found):
                found = found[key]
            else:
                return None
        return found

    def text(self, *keys: str | int) -> str:
        """The text below further keys; empty where there is none."""
        found = self.get(*keys)
        return found if isinstance(found, str) else ""

    def number(self, *keys: str | int) -> int | None:
        """The whole number below further keys, if one is there."""
        found = self.get(*keys)
        return found if isinstance(found, int) and not isinstance(found, bool) else None

    def mapping(self, *keys: str | int) -> dict[str, Any]:
        """The fields below further keys; none where there are none."""
        found = self.get(*keys)
        return found if isinstance(found, dict) else {}

    def part(self, *keys: str | int) -> Part:
        """The part below further keys."""
        return Part(self.document, (*self.keys, *keys))

    def parts(self, *keys: str | int) -> list[Part]:
        """The elements of the list below further keys; none where there is no list."""
        found = self.get(*keys)
        return [self.part(*keys, i) for i in range(len(found))] if isinstance(found, list) else []

    def within(self, name: str) -> Iterator[Part]:
        """Every part with this name, however deep."""
        found = self.get()
        if not isinstance(found, dict | list):
            return
        for key in found if isinstance(found, dict) else range(len(found)):
            if key == name:
                yield self.part(key)
            yield from self.part(key).within(name)

    def finding(self, text: str, *keys: str | int) -> Finding:
        """A finding at the line of what stands below further keys, or around it."""
        return self.document.finding(text, *self.keys, *keys)


def as_quantity(value: Any) -> float | None:
    """An amount as Kubernetes writes it (``16Gi``, ``500m``, 4); None for what is not one."""
    match = QUANTITY.fullmatch(str(value).strip())
    if isinstance(value, bool) or match is None:
        return None
    if match["unit"] in UNITS:
        return float(match["number"]) * UNITS[match["unit"]]
    try:
        return float(match[0])
    except ValueError:
        return None
