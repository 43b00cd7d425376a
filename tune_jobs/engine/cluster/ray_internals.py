"""Where Ray has no public way: members of its classes and modules, replaced for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def replaced(owner: Any, **members: Any) -> Iterator[None]:
    """Replace members of a class or a module for a block, and leave them as they were.

    Args:
        owner: the class or module.
        members: what stands in for each, by its name.
    """
    before = {name: getattr(owner, name) for name in members}
    for name, member in members.items():
        setattr(owner, name, member)
    try:
        yield
    finally:
        for name, member in before.items():
            setattr(owner, name, member)
