"""All problems by name."""

from __future__ import annotations

from benchmarks.searching import curves, functions, surrogates, tables
from benchmarks.searching.problem import Problem


def list_problems() -> dict[str, Problem]:
    """Return the problems whose data is here."""
    modules = (functions, tables, curves, surrogates)
    found = [problem for module in modules for problem in module.list_problems()]
    return {problem.name: problem for problem in found}
