"""Parts of a document: the values below some keys, and findings about them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tune_jobs.lint.findings import Finding
from tune_jobs.lint.located import Document, Keys


@dataclass(frozen=True)
class Part:
    """The part of a document below some keys; it may be absent, or of any type."""

    document: Document
    keys: Keys = ()

    def get(self, *keys: str | int) -> Any:
        """Return the value below further keys; None if absent."""
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
        """Return the text below further keys; empty if it is not text."""
        found = self.get(*keys)
        return found if isinstance(found, str) else ""

    def number(self, *keys: str | int) -> int | None:
        """Return the whole number below further keys, if it is one."""
        found = self.get(*keys)
        return found if isinstance(found, int) and not isinstance(found, bool) else None

    def mapping(self, *keys: str | int) -> dict[str, Any]:
        """Return the mapping below further keys; empty if it is not a mapping."""
        found = self.get(*keys)
        return found if isinstance(found, dict) else {}

    def part(self, *keys: str | int) -> Part:
        """Return the part below further keys."""
        return Part(self.document, (*self.keys, *keys))

    def parts(self, *keys: str | int) -> list[Part]:
        """Return the elements of the list below further keys; none if it is not a list."""
        found = self.get(*keys)
        return [self.part(*keys, i) for i in range(len(found))] if isinstance(found, list) else []

    def within(self, name: str) -> Iterator[Part]:
        """Yield every part with this name, however deep."""
        found = self.get()
        if not isinstance(found, dict | list):
            return
        for key in found if isinstance(found, dict) else range(len(found)):
            if key == name:
                yield self.part(key)
            yield from self.part(key).within(name)

    def finding(self, text: str, *keys: str | int) -> Finding:
        """Return a finding at the line of the value below further keys, or around it."""
        return self.document.finding(text, *self.keys, *keys)
