"""The brackets of Hyperband: trials that wait for each other at rungs, and who trains further."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Bracket:
    """A bracket's plan: its rungs, and how many trials begin and pass each of them.

    Attributes:
        epochs: its rungs, rising; the budget is none of them.
        sizes: how many trials it begins with, then how many train beyond each rung.
    """

    epochs: tuple[int, ...]
    sizes: tuple[int, ...]


def plan_brackets(max_epochs: int, factor: float) -> list[Bracket]:
    """Plan the brackets of Hyperband (Li et al. 2018), the one of the most trials first.

    With 8 epochs and a factor of 2 they begin with 8, 4, 2 and 1 trials of 1, 2, 4 and 8 epochs,
    and half of those at a rung train twice as long.
    """
    most = 0
    while factor ** (most + 1) <= max_epochs:
        most += 1
    found = []
    for halvings in range(most, -1, -1):
        left = range(halvings, 0, -1)
        rungs = [math.ceil(max_epochs / factor**each) for each in left]
        sizes = [max(1, round(factor**each)) for each in (*left, 0)]
        found.append(Bracket(tuple(rungs), tuple(sizes)))
    return found


@dataclass
class _Filled:
    """A bracket with its trials.

    Attributes:
        plan: of the bracket.
        size: how many trials it has in the end.
        started: the trials that have begun.
        losses: of the trials by rung.
        gone: the trials that have ended.
    """

    plan: Bracket
    size: int
    started: set[str] = field(default_factory=set)
    losses: dict[int, dict[str, float]] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)

    def passing(self) -> dict[int, list[str]]:
        """Return the trials that may train beyond each rung that all of its trials have reached."""
        found: dict[int, list[str]] = {}
        members = self.started
        if len(members) < self.size:
            return {}
        for place, epoch in enumerate(self.plan.epochs):
            there = self.losses.get(epoch, {})
            if not members <= there.keys() | self.gone:
                break
            known = sorted(members & there.keys(), key=lambda name: (there[name], name))
            found[epoch] = known[: self.plan.sizes[place + 1]]
            members = set(found[epoch])
        return found


class Brackets:
    """The trials of Hyperband by bracket; each waits at its rung until all of its bracket came.

    What may be promoted follows from the losses only, in whatever order they came. Trials belong to
    brackets by their numbers, which are their names; after the last bracket the first is next.

    Args:
        plans: of the brackets.
    """

    def __init__(self, plans: Sequence[Bracket]) -> None:
        self._plans = plans
        self._filled: dict[int, _Filled] = {}
        self.waiting: dict[str, int] = {}  # the rung by the trial's name

    def start(self, name: str) -> None:
        """Note that a trial has begun."""
        self._bracket(name).started.add(name)

    def enter(self, name: str, epoch: int, loss: float) -> bool:
        """Note the loss of a trial; return whether it has reached a rung, where it waits now."""
        self.start(name)
        self.waiting.pop(name, None)
        bracket = self._bracket(name)
        rung = max((rung for rung in bracket.plan.epochs if rung <= epoch), default=None)
        if rung is None or name in bracket.losses.setdefault(rung, {}):
            return False
        bracket.losses[rung][name] = loss
        self.waiting[name] = rung
        return True

    def next(self, leave_out: Iterable[str] = ()) -> str | None:
        """Return the trial to promote next, of the earliest bracket that has one."""
        left_out = set(leave_out)
        for number in sorted(self._filled):
            for epoch, names in reversed(self._filled[number].passing().items()):
                for name in names:
                    if self.waiting.get(name) == epoch and name not in left_out:
                        return name
        return None

    def leave(self, name: str) -> None:
        """Note that a trial has ended: nobody waits for it any longer."""
        self._bracket(name).gone.add(name)

    def complete(self) -> None:
        """Note that no more trials will come: the last bracket has those that have begun."""
        for bracket in self._filled.values():
            bracket.size = min(bracket.size, len(bracket.started))

    def _bracket(self, name: str) -> _Filled:
        place = int(name) - 1
        whole = sum(plan.sizes[0] for plan in self._plans)
        repeat, place = divmod(place, whole)
        number = 0
        while place >= self._plans[number].sizes[0]:
            place -= self._plans[number].sizes[0]
            number += 1
        plan = self._plans[number]
        key = repeat * len(self._plans) + number
        return self._filled.setdefault(key, _Filled(plan, plan.sizes[0]))
