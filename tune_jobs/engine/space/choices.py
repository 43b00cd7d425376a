"""Hyperparameters that are a choice, and those of which nothing is known."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Choice:
    """One of several options: values, or sub-spaces.

    Attributes:
        options: as the space has them, so that a config gets the space's own objects.
    """

    options: Sequence[Any]

    @property
    def is_ordered(self) -> bool:
        """True if the options are rising numbers, so that neighbours are alike."""
        if not all(_is_number(option) for option in self.options):
            return False
        return all(one < other for one, other in itertools.pairwise(self.options))

    def as_code(self) -> str:
        """Write the choice as the call that makes it."""
        return f"choice({list(self.options)})"


@dataclass(frozen=True)
class Grid:
    """One of the values of ``tune.grid_search``, each of which is tried.

    Attributes:
        given: what the user wrote for the values.
    """

    given: object

    @property
    def values(self) -> list[Any]:
        """The values; none if anything but a list was given."""
        return self.given if isinstance(self.given, list) else []

    def as_code(self) -> str:
        """Write the grid as the call that makes it."""
        return f"grid_search({self.given!r})"


@dataclass(frozen=True)
class Unknown:
    """A domain of which nothing is known but how to draw from it.

    Attributes:
        name: ``sample_from``, or the class of the user's own domain.
    """

    name: str

    def as_code(self) -> str:
        """Write the domain without its arguments."""
        return f"{self.name}(...)"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
