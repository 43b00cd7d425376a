"""YAML documents that know the line of each of their values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import SafeConstructor

from tune_jobs.engine.errors import JobError
from tune_jobs.lint.findings import Finding

Keys = tuple[str | int, ...]
MERGE = "tag:yaml.org,2002:merge"

# Of a file: more than any needs.
MOST_LEVELS, MOST_VALUES = 100, 200_000


class NotYamlError(JobError):
    """A file that is not YAML; ``finding`` says where."""

    def __init__(self, path: str | Path, line: int, problem: str) -> None:
        self.finding = Finding(str(path), line, f"not YAML: {' '.join(problem.split())}")
        super().__init__(str(self.finding))


@dataclass(frozen=True)
class Document:
    """One document of a YAML file.

    Attributes:
        path: the file, as it was given.
        content: plain dicts, lists, texts, numbers, booleans and None.
        repeated: keys that occur twice in one mapping, of which YAML silently keeps the last.
    """

    path: str
    content: Any
    repeated: tuple[Keys, ...] = ()
    _lines: dict[Keys, int] = field(default_factory=dict, repr=False)

    def line(self, *keys: str | int) -> int:
        """Return the line of a key or list element, or of the nearest one around it."""
        for length in range(len(keys), -1, -1):
            if keys[:length] in self._lines:
                return self._lines[keys[:length]]
        return 1

    def finding(self, text: str, *keys: str | int) -> Finding:
        """Return a finding at the line of a key."""
        return Finding(self.path, self.line(*keys), text)

    def repetitions(self) -> Iterator[Finding]:
        """Yield one finding per key that occurs twice."""
        for keys in self.repeated:
            yield self.finding(f"{dotted(keys)} is repeated: only this one counts", *keys)


def dotted(keys: tuple[str | int, ...]) -> str:
    """Write the path to a value: ``provider.region``, ``setup_commands[2]``."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys)
    return text.removeprefix(".")


def read_documents(path: str | Path, text: str) -> list[Document]:
    """Parse all documents of a YAML file; empty ones are left out.

    Raises:
        NotYamlError: if it is not YAML.
    """
    try:
        nodes = list(yaml.compose_all(text, Loader=yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise NotYamlError(path, line, str(error.problem)) from None
    except yaml.YAMLError as error:
        raise NotYamlError(path, 1, str(error)) from None
    except RecursionError:
        raise NotYamlError(path, 1, "it is nested too deeply") from None
    documents = [_Reading(str(path)).read(node) for node in nodes if node is not None]
    return [document for document in documents if document.content is not None]


class _Reading:
    """One walk over a document's nodes, which records the line of each."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.lines: dict[Keys, int] = {}
        self.repeated: list[Keys] = []
        self.around: list[yaml.Node] = []
        self.count = 0
        self.constructor = SafeConstructor()

    def read(self, root: yaml.Node) -> Document:
        content = self.value(root, ())
        return Document(self.path, content, tuple(self.repeated), self.lines)

    def value(self, node: yaml.Node, keys: Keys) -> Any:
        if node in self.around:
            raise self.refusal(node, "an anchor that contains itself")
        if len(self.around) > MOST_LEVELS:
            raise self.refusal(node, f"more than {MOST_LEVELS} levels of nesting")
        self.count += 1
        if self.count > MOST_VALUES:
            raise self.refusal(node, f"more than {MOST_VALUES:,} values, with those of anchors")
        self.lines.setdefault(keys, node.start_mark.line + 1)
        self.around.append(node)
        try:
            if isinstance(node, yaml.MappingNode):
                return self.mapping(node, keys)
            if isinstance(node, yaml.SequenceNode):
                return [self.value(child, (*keys, at)) for at, child in enumerate(node.value)]
            return self.scalar(node)
        finally:
            self.around.pop()

    def mapping(self, node: yaml.MappingNode, keys: Keys) -> dict[Any, Any]:
        """Read the pairs of a mapping; its own win over those merged by ``<<``."""
        found: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == MERGE:
                continue
            key = self.key(key_node)
            if key in found:
                self.repeated.append((*keys, key))
            self.lines[(*keys, key)] = key_node.start_mark.line + 1
            found[key] = self.value(value_node, (*keys, key))
        for key_node, value_node in node.value:
            if key_node.tag == MERGE:
                found = self.merged(value_node, keys) | found
        return found

    def merged(self, node: yaml.Node, keys: Keys) -> dict[Any, Any]:
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        found: dict[Any, Any] = {}
        for each in nodes:
            if not isinstance(each, yaml.MappingNode):
                raise self.refusal(each, "<< must name a mapping")
            before = dict(self.lines)
            found = self.value(each, keys) | found
            self.lines |= before
        return found

    def key(self, node: yaml.Node) -> Any:
        if not isinstance(node, yaml.ScalarNode):
            raise self.refusal(node, "a key that is a list or a mapping")
        return self.scalar(node)

    def scalar(self, node: yaml.Node) -> Any:
        try:
            return self.constructor.construct_object(node, deep=True)
        except yaml.MarkedYAMLError as error:
            raise self.refusal(node, str(error.problem)) from None
        except ValueError as error:
            raise self.refusal(node, str(error)) from None

    def refusal(self, node: yaml.Node, problem: str) -> NotYamlError:
        return NotYamlError(self.path, node.start_mark.line + 1, problem)
