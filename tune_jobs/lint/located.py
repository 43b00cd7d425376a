"""YAML documents that know on which line each of their values stands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import SafeConstructor

from tune_jobs.engine.errors import JobError
from tune_jobs.lint.findings import Finding

Keys = tuple[str | int, ...]
MERGE = "tag:yaml.org,2002:merge"


class NotYamlError(JobError):
    """A file that YAML's rules refuse; ``finding`` says where."""

    def __init__(self, path: str | Path, line: int, problem: str) -> None:
        self.finding = Finding(str(path), line, f"not YAML: {' '.join(problem.split())}")
        super().__init__(str(self.finding))


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

    def mapping(self, *keys: str) -> dict[str, Any]:
        """The mapping at a key; empty where there is none, or something else."""
        found = self.content
        for key in keys:
            found = found.get(key) if isinstance(found, dict) else None
        return found if isinstance(found, dict) else {}

    def repetitions(self) -> Iterator[Finding]:
        """One finding for each key that stands twice."""
        for keys in self.repeated:
            yield self.finding(
                f"{dotted(keys)} stands twice: only this one counts, so remove one", *keys
            )


def dotted(keys: tuple[str | int, ...]) -> str:
    """The way to a value, as one writes it: ``provider.region``, ``setup_commands[2]``."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys)
    return text.removeprefix(".")


def check_one_document(
    path: str | Path, check: Callable[[Document], Iterable[Finding]], what: str
) -> list[Finding]:
    """All mistakes in a file that holds one document, or is empty.

    Raises:
        NotYamlError: where it is no YAML.
        JobError: where it cannot be read.
    """
    documents = read_documents(path)
    if len(documents) > 1:
        return [documents[1].finding(f"a second YAML document, but {what} is one")]
    return sorted({finding for document in documents for finding in check(document)})


def read_documents(path: str | Path) -> list[Document]:
    """Read all documents of a YAML file; empty ones are left out.

    Raises:
        NotYamlError: ``path:line: ...`` where it is no YAML.
        JobError: where it cannot be read.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        nodes = list(yaml.compose_all(text, Loader=yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise NotYamlError(path, line, str(error.problem)) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise NotYamlError(path, 1, str(error)) from None
    except OSError as error:
        raise JobError(f"{path} cannot be read: {error.strerror}") from None
    documents = [_Reading(str(path)).read(node) for node in nodes if node is not None]
    return [document for document in documents if document.content is not None]


class _Reading:
    """One walk over a document's nodes, which notes the line of each."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.lines: dict[Keys, int] = {}
        self.repeated: list[Keys] = []
        self.around: list[yaml.Node] = []
        self.constructor = SafeConstructor()

    def read(self, root: yaml.Node) -> Document:
        content = self.value(root, ())
        return Document(self.path, content, tuple(self.repeated), self.lines)

    def value(self, node: yaml.Node, keys: Keys) -> Any:
        if node in self.around:
            raise self.refusal(node, "an anchor that holds itself")
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
        """The pairs of a mapping; those that ``<<`` brings in give way to its own."""
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
