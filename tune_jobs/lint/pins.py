"""Rules of what the nodes of a `ray up` file install: the versions that all nodes need."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import PurePosixPath

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from tune_jobs.lint.commands import SETUPS, Command, commands_of
from tune_jobs.lint.findings import Finding
from tune_jobs.lint.images import find_images
from tune_jobs.lint.located import Document, Keys, dotted
from tune_jobs.lint.node_types import TYPES, has_gpus, provider_of
from tune_jobs.lint.versions import LOCK, read_versions

# What the autoscaler on the head imports to start machines.
CLIENTS = {"aws": "boto3", "gcp": "google-api-python-client"}
PYTHON = re.compile(r"\bc?python(?:==?|[ -])?(3\.\d+)")
DISTRIBUTION = "tune-jobs"


@dataclass(frozen=True)
class Pin:
    """A package that a command installs, with what it says of the version."""

    requirement: Requirement
    keys: Keys

    @property
    def name(self) -> str:
        """The package's name as package indexes write it."""
        return canonicalize_name(self.requirement.name)

    def agrees(self, version: str) -> bool:
        """Whether this installs the version; of Ray, whose nodes must be equal, exactly it."""
        exact = [each.version for each in self.requirement.specifier if each.operator == "=="]
        if not exact or self.requirement.url:
            return False
        wild = any(each.endswith("*") for each in exact)
        return self.requirement.specifier.contains(version) and not (self.name == "ray" and wild)


def check_pins(document: Document) -> Iterator[Finding]:
    """Versions that differ from the lock file's, are left open, or are not installed at all."""
    if SETUPS[0] not in document.content:
        rule = "Ray's default installs a nightly Ray, and none of TensorFlow"
        if provider_of(document) == "local":
            rule = "nothing would be installed"
        yield document.finding(f"{SETUPS[0]} is absent: {rule}; say it")
        return
    images = find_images(document)
    if not images or any(image.is_ray for image in images):
        for setup in _setups(document):
            yield from _check_setup(document, setup, has_ray=bool(images))
        yield from _check_client(document, has_ray=bool(images))
    yield from _check_python(document)


def needed_packages() -> list[str]:
    """The packages that a node needs to run jobs: what this distribution requires."""
    requirements = map(Requirement, metadata.requires(DISTRIBUTION) or [])
    return [
        canonicalize_name(each.name)
        for each in requirements
        if each.marker is None or each.marker.evaluate({"extra": ""})
    ]


@dataclass(frozen=True)
class _Setup:
    """All that one kind of node runs to be set up."""

    keys: Keys
    commands: list[Command]


def _setups(document: Document) -> list[_Setup]:
    """Head, workers, and each node type whose own list replaces that of the workers."""
    shared, head, worker = (commands_of(document, key) for key in SETUPS)
    setups = [_Setup((SETUPS[1],), shared + head), _Setup((SETUPS[2],), shared + worker)]
    for name in document.mapping(TYPES):
        if SETUPS[2] in document.mapping(TYPES, name):
            keys = (TYPES, name, SETUPS[2])
            setups.append(_Setup(keys, commands_of(document, *keys)))
    return setups


def _check_setup(document: Document, setup: _Setup, *, has_ray: bool) -> Iterator[Finding]:
    python = next((version for version, _ in _pythons(document)), None)
    versions = read_versions(document.path, python)
    pins = [pin for command in setup.commands for pin in find_pins(command)]
    for pin in pins:
        version = versions.get(pin.name)
        if version and not pin.agrees(version):
            yield document.finding(
                f"{dotted(pin.keys)} installs {str(pin.requirement)!r}, but all nodes need "
                f"{pin.name}=={version}, the version in {LOCK}",
                *pin.keys,
            )
    yield from _check_extras(document, pins, has_ray=has_ray)
    if any(_installs_lock(command) for command in setup.commands):
        return
    missing = {*needed_packages()} & versions.keys() - {pin.name for pin in pins}
    missing -= {"ray"} if has_ray else set()
    if missing:
        texts = ", ".join(f"{name}=={versions[name]}" for name in sorted(missing))
        keys = _present(document, setup.keys)
        yield document.finding(
            f"{dotted(keys)} installs no {texts}: trials would not find it", *keys
        )


def _check_extras(document: Document, pins: list[Pin], *, has_ray: bool) -> Iterator[Finding]:
    """The parts of a package that are easily forgotten: the Jobs API, and CUDA."""
    extras: dict[str, set[str]] = {}
    for pin in pins:
        extras.setdefault(pin.name, set()).update(pin.requirement.extras)
    gpus = any(has_gpus(document, name) for name in document.mapping(TYPES))
    wanted = [("ray", "default", "the Jobs API needs it")] if not has_ray else []
    wanted += [("tensorflow", "and-cuda", "it would train on CPUs")] if gpus else []
    for pin in pins:
        for name, extra, why in wanted:
            if pin.name == name and extra not in extras[name]:
                text = f"{dotted(pin.keys)} installs {name} without [{extra}]: {why}"
                yield document.finding(text, *pin.keys)


def _check_client(document: Document, *, has_ray: bool) -> Iterator[Finding]:
    client = CLIENTS.get(provider_of(document))
    if client is None or has_ray:
        return
    commands = commands_of(document, SETUPS[0]) + commands_of(document, SETUPS[1])
    if client not in {pin.name for command in commands for pin in find_pins(command)}:
        yield document.finding(
            f"{SETUPS[1]} installs no {client}, which the head needs to start machines",
            *_present(document, (SETUPS[1],)),
        )


def _present(document: Document, keys: Keys) -> Keys:
    """A list of commands, or where it is absent the one that all nodes share."""
    return keys if len(keys) > 1 or keys[0] in document.content else (SETUPS[0],)


def find_pins(command: Command) -> Iterator[Pin]:
    """The packages that a command installs with pip, or with what takes pip's words."""
    try:
        parts = command.parts()
    except ValueError:
        return
    for words in parts:
        if _is_pip(words):
            for word in words[words.index("install") + 1 :]:
                try:
                    yield Pin(Requirement(word), command.keys)
                except InvalidRequirement:
                    continue


def _is_pip(words: list[str]) -> bool:
    if "install" not in words[1:]:
        return False
    tool = PurePosixPath(words[words.index("install") - 1]).name
    return re.fullmatch(r"pip[0-9.]*", tool) is not None


def _installs_lock(command: Command) -> bool:
    return re.search(rf"pip3? install\b.*(-r|--requirement)[ =]\S*{LOCK}", command.text) is not None


def _check_python(document: Document) -> Iterator[Finding]:
    """One Python on all nodes, and one that this distribution supports."""
    supported = SpecifierSet(metadata.metadata(DISTRIBUTION)["Requires-Python"] or "")
    found = [*_pythons(document)]
    for version, keys in found:
        if version not in supported:
            yield document.finding(
                f"{dotted(keys)} takes Python {version}, but tune-jobs needs {supported}", *keys
            )
        elif version != found[0][0]:
            yield document.finding(
                f"{dotted(keys)} takes Python {version}, but {dotted(found[0][1])} takes "
                f"{found[0][0]}: all nodes need one",
                *keys,
            )
    if not found and not find_images(document):
        yield document.finding(
            f"{SETUPS[0]} names no Python, so nodes take what their machines have; all need one "
            f"of {supported}, as in `python3.11 -m venv`",
            SETUPS[0],
        )


def _pythons(document: Document) -> Iterator[tuple[str, Keys]]:
    for image in find_images(document):
        if image.python:
            yield image.python, image.keys
    types = [(TYPES, name, SETUPS[2]) for name in document.mapping(TYPES)]
    for keys in [*((key,) for key in SETUPS), *types]:
        for command in commands_of(document, *keys):
            for match in PYTHON.finditer(command.text):
                yield match[1], command.keys
