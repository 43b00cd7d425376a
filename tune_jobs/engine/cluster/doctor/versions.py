"""Versions and code: trials run on the nodes what this process has read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tune_jobs.engine.cluster.capacity import Node
from tune_jobs.engine.cluster.doctor.check import Check, State
from tune_jobs.engine.cluster.doctor.probe import Machine
from tune_jobs.engine.formatting import count, listed

NAME = "versions"
REMEDY = "install the same version everywhere (see requirements.lock)"

# Messages between processes, checkpoints and models are read by another version at best by luck.
MUST_AGREE = ("Python", "ray", "tensorflow", "keras")


def compare(here: Machine, there: Sequence[tuple[Node, Machine]]) -> Iterator[Check]:
    """Compare versions and code on the nodes with those here; one line if all agree."""
    checks = [*_compare_versions(here, there), *_compare_code(here, there)]
    if not checks:
        found = [f"{name} {version}" for name, version in here["versions"].items() if version]
        same = f", same here and on {count(len(there), 'node')}" if there else ""
        checks = [Check(NAME, "ok", f"{', '.join(found)}{same}")]
    yield from checks


def missing(here: Machine) -> Iterator[Check]:
    """Report packages that a run needs and this process cannot import."""
    for name in MUST_AGREE:
        if here["versions"][name] is None:
            yield Check(NAME, "failure", f"{name} is not installed here: pip install {name}")


def _compare_versions(here: Machine, there: Sequence[tuple[Node, Machine]]) -> Iterator[Check]:
    for name, expected in here["versions"].items():
        found = [(node, description["versions"][name]) for node, description in there]
        for version, nodes in _others(found, expected):
            is_there = f"{version} on" if version else "not installed on"
            yield Check(
                NAME,
                _severity(name, expected, version),
                f"{name} is {is_there} {listed(nodes)}, but {expected or 'missing'} here: {REMEDY}",
            )


def _compare_code(here: Machine, there: Sequence[tuple[Node, Machine]]) -> Iterator[Check]:
    for name, expected in here["code"].items():
        found = [(node, description["code"][name]) for node, description in there]
        for digest, nodes in _others(found, expected):
            what = "has different code" if digest else "cannot be imported"
            yield Check(
                NAME,
                "failure",
                f"{name} {what} on {listed(nodes)}: use tune-jobs submit, which sends the code, or "
                "install the same wheel there",
            )


def _others(
    found: Sequence[tuple[Node, str | None]], expected: str | None
) -> list[tuple[str | None, list[str]]]:
    """Return the values that are not as expected, each with the labels of its nodes."""
    values = dict.fromkeys(value for _, value in found if value != expected)
    return [(value, [node.label for node, other in found if other == value]) for value in values]


def _severity(name: str, here: str | None, there: str | None) -> State:
    if name not in MUST_AGREE:
        return "warning"
    if name == "Python" and here and there and _minor(here) == _minor(there):
        return "warning"
    return "failure"


def _minor(version: str) -> list[str]:
    return version.split(".")[:2]
