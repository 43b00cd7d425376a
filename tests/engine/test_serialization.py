"""Frozen dataclasses as JSON objects, and the files of an experiment that are made of them."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from tune_jobs.engine.experiments.summary import Summary
from tune_jobs.engine.experiments.verdict import Verdict
from tune_jobs.engine.job.description import Description
from tune_jobs.engine.serialization import parse, serialize

FIXTURES = Path(__file__).parents[1] / "fixtures"
KINDS = {"verdict.json": Verdict, "summary.json": Summary, "experiment.json": Description}
FILES = [path for path in sorted(FIXTURES.rglob("*.json")) if path.name in KINDS]


@dataclass(frozen=True, kw_only=True)
class Inner:
    x: float


@dataclass(frozen=True, kw_only=True)
class Outer:
    number: int
    text: str | None
    pair: tuple[float, float] = (0.0, 1.0)
    many: tuple[Inner, ...]
    named: dict[str, float] = field(default_factory=dict)
    choice: Literal["a", "b"] = "a"
    whatever: Any = None


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(FIXTURES)))
def test_a_file_of_the_last_version_is_read_and_would_be_written_the_same(path) -> None:
    content = json.loads(path.read_text())
    assert KINDS[path.name].from_json(content).to_json() == content


def test_the_fixtures_have_all_these_files() -> None:
    assert {path.name for path in FILES} == set(KINDS)


def test_what_is_written_is_read_back() -> None:
    record = Outer(number=3, text="x", many=(Inner(x=1), Inner(x=math.inf)), named={"a": 2.0})
    assert parse(Outer, json.loads(json.dumps(serialize(record)))) == record


def test_what_equals_its_default_is_not_written() -> None:
    assert serialize(Outer(number=3, text=None, many=())) == {"number": 3, "text": None, "many": []}


def test_what_is_missing_or_null_is_its_default_or_empty_and_more_is_ignored() -> None:
    found = parse(Outer, {"number": 3, "many": None, "choice": None, "of a newer version": [1]})
    assert found == Outer(number=3, text=None, many=())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "it is [], but must be an object"),
        ({}, "it has no number"),
        ({"number": 1.5}, "number is 1.5, but must be a whole number"),
        ({"number": True}, "number is True, but must be a whole number"),
        ({"number": 1, "text": 2}, "text is 2, but must be a string"),
        ({"number": 1, "pair": [1]}, "pair has 1 values, but must have 2"),
        ({"number": 1, "many": [{"x": 1}, {"x": "y"}]}, "many.1.x is 'y', but must be a number"),
        ({"number": 1, "named": {"a": None}}, "named.a is None, but must be a number"),
        ({"number": 1, "choice": "c"}, "choice is 'c', but must be one of a, b"),
    ],
)
def test_what_is_of_another_type_is_refused_by_name(content, message) -> None:
    with pytest.raises(ValueError) as refused:
        parse(Outer, content)
    assert str(refused.value) == message


def test_an_integer_that_no_table_can_hold_is_refused() -> None:
    for content in ({"count": 10**400}, {"count": -(2**63) - 1}):
        with pytest.raises(ValueError, match="count is an integer of more than 64 bits"):
            parse(Counted, content)
    assert parse(Counted, {"count": -(2**63)}).count == -(2**63)


@dataclass(frozen=True)
class Counted:
    count: int
