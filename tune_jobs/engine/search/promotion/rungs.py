"""The rungs of successive halving: the losses there, and which trial is promoted next."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class Rungs:
    """The losses of trials at each rung, and the trials that wait there.

    What may be promoted follows from the losses and the waiting trials only, in whatever order
    they came, so a search that continues from its history promotes what it would have promoted.

    Args:
        epochs: the rungs, rising.
        reduction_factor: the best one in this many at a rung may train further, at least one.
    """

    def __init__(self, epochs: Sequence[int], reduction_factor: float) -> None:
        self.epochs, self._factor = list(epochs), reduction_factor
        self.losses: dict[int, dict[str, float]] = {epoch: {} for epoch in epochs}
        self.waiting: dict[str, int] = {}  # the rung by the trial's name

    def start(self, name: str) -> None:
        """Do nothing: a trial counts once it has reached a rung."""

    def leave(self, name: str) -> None:
        """Do nothing: nobody waits for a trial."""

    def complete(self) -> None:
        """Do nothing: a rung is never complete."""

    def enter(self, name: str, epoch: int, loss: float) -> bool:
        """Note the loss of a trial; return whether it has reached a rung, where it waits now."""
        self.waiting.pop(name, None)
        rung = max((rung for rung in self.epochs if rung <= epoch), default=None)
        if rung is None or name in self.losses[rung]:
            return False
        self.losses[rung][name] = loss
        self.waiting[name] = rung
        return True

    def next(self, leave_out: Iterable[str] = ()) -> str | None:
        """Return the trial to promote next: the best that may be, at the highest rung."""
        candidates = {name: rung for name, rung in self.waiting.items() if name not in leave_out}
        for rung in sorted(set(candidates.values()), reverse=True):
            for name in self._best(rung):
                if candidates.get(name) == rung:
                    return name
        return None

    def _best(self, rung: int) -> list[str]:
        """Return the trials that may train beyond a rung, the best first."""
        there = self.losses[rung]
        order = sorted(there, key=lambda name: (there[name], name))
        return order[: max(1, int(len(order) / self._factor))]
