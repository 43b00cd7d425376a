"""All problems by name."""

from __future__ import annotations

from benchmarks.searching import curves, functions, tables
from benchmarks.searching.problem import Problem


def list_problems() -> dict[str, Problem]:
    """Return the problems whose data is here."""
    found = [*functions.list_problems(), *tables.list_problems(), *curves.list_problems()]
    return {problem.name: problem for problem in found}
