"""YAML documents that know on which line each of their values stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.lint.findings import Finding

Keys = tuple[str | int, ...]


@dataclass(frozen=True)
class Document:
    """One document of a YAML file.

    Attributes:
        path: the file, as it was named.
        content: plain dicts, lists, texts, numbers, booleans and None.
        repeated: keys that stand twice in one mapping, of which YAML keeps the last silently.
    """

    path: str
    content: Any
    repeated: tuple[Keys, ...] = ()
    _lines: dict[Keys, int] = field(default_factory=dict, repr=False)

    def line(self, *keys: str | int) -> int:
        """The line of a key or a list's element, or of the nearest one around it that is there."""
        for length in range(len(keys), -1, -1):
            if keys[:length] in self._lines:
                return self._lines[keys[:length]]
        return 1

    def finding(self, text: str, *keys: str | int) -> Finding:
        """A finding at the line of a key."""
        return Finding(self.path, self.line(*keys), text)


def read_documents(path: str | Path) -> list[Document]:
    """Read all documents of a YAML file; empty ones are left out.

    Raises:
        JobError: ``path:line: ...`` where it is no YAML, or cannot be read.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        nodes = list(yaml.compose_all(text, Loader=yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise JobError(f"{path}:{line}: not YAML: {error.problem}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise JobError(f"{path}:1: not YAML: {' '.join(str(error).split())}") from None
    except OSError as error:
        raise JobError(f"{path} cannot be read: {error.strerror}") from None
    return [_read(str(path), node) for node in nodes if node is not None]


def _read(path: str, root: yaml.Node) -> Document:
    lines: dict[Keys, int] = {}
    repeated: list[Keys] = []

    def walk(node: yaml.Node, keys: Keys) -> Any:
        lines.setdefault(keys, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            found: dict[Any, Any] = {}
            for key_node, value_node in node.value:
                key = _scalar(key_node)
                inner = (*keys, key)
                if key in found:
                    repeated.append(inner)
                lines[inner] = key_node.start_mark.line + 1
                found[key] = walk(value_node, inner)
            return found
        if isinstance(node, yaml.SequenceNode):
            return [walk(child, (*keys, index)) for index, child in enumerate(node.value)]
        return _scalar(node)

    return Document(path, walk(root, ()), tuple(repeated), lines)


def _scalar(node: yaml.Node) -> Any:
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_object(node, deep=True)
    finally:
        loader.dispose()
