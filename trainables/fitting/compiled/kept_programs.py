"""The programs that a worker keeps for later trials, within a share of the machine's memory."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

# The share of a machine's memory that the programs of one worker per core take together.
SHARE = 0.5

# What a worker's programs may take at least and at most, in MiB. The 70 structures of a search
# space of five optimizers and 2 to 6 layers take 1,500 MiB; 4,500 if they train three replicas.
LEAST, MOST = 1024.0, 4096.0

# Where a container's limit stands, in version 2 and 1 of control groups.
LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


class Sized(Protocol):
    """A program that knows about how much memory it takes, in MiB."""

    memory: float


P = TypeVar("P", bound=Sized)


class KeptPrograms(Generic[P]):
    """Programs by the description of their model; the one that was not used for longest goes first.

    Args:
        most_memory: MiB that they may take together; the last one is kept whatever it takes.
    """

    def __init__(self, most_memory: float) -> None:
        self._most_memory = most_memory
        self._kept: OrderedDict[str, P | None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def memory(self) -> float:
        """The estimated memory of all programs, in MiB."""
        return sum(each.memory for each in self._kept.values() if each)

    def get(self, key: str, trace: Callable[[], P | None]) -> P | None:
        """Return the program of a key, traced if it is not kept; None if it cannot be traced."""
        program = self._kept.pop(key) if key in self._kept else trace()
        self._kept[key] = program
        while len(self._kept) > 1 and self.memory > self._most_memory:
            self._kept.popitem(last=False)
        return program

    def clear(self) -> None:
        """Keep no program any longer."""
        self._kept.clear()


def memory_for_programs(memory: float, cores: int) -> float:
    """Return what a worker's programs may take, given the machine's memory, in MiB."""
    return min(max(LEAST, SHARE * memory / cores), MOST)


def memory_of_machine() -> float:
    """Return the memory of this machine, or of this container if it has less, in MiB."""
    found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for place in LIMITS:
        with suppress(OSError, ValueError):  # it is not there, or says "max"
            found = min(found, int(Path(place).read_text()))
    return found / 2**20


PROGRAMS: KeptPrograms[Any] = KeptPrograms(
    memory_for_programs(memory_of_machine(), os.cpu_count() or 1)
)
