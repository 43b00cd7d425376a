"""A limit on the space that the checkpoints of all trials may take."""

from __future__ import annotations

import math

from tune_jobs.engine.goal import Goal
from tune_jobs.engine.storage.folder import Folder

# The best trials always keep their checkpoints: they may be exported or trained further.
ALWAYS = 5


class CheckpointLimit:
    """Deletes the checkpoints of the worst trials that have ended, once they take too much space.

    Of each trial, Tune itself keeps only the best and the latest checkpoint.

    Args:
        folder: the experiment.
        goal: what makes a trial good.
        most: bytes that checkpoints may take, None for no limit.
    """

    def __init__(self, folder: Folder, goal: Goal, most: float | None) -> None:
        self._folder, self._goal, self._most = folder, goal, most
        self._best: dict[int, float] = {}
        self._sizes: dict[int, tuple[str, int]] = {}

    def note(self, number: int, value: float) -> None:
        """Take in the value of a trial after an epoch, the mean over its replicas."""
        if math.isfinite(value):
            self._best[number] = min(self._best.get(number, math.inf), self._goal.loss(value))

    def add(self, number: int, path: str) -> None:
        """Take in a trial that ended, with the path of its folder in the file system."""
        if self._most is None:
            return
        inside = self._folder.inside(path)
        self._sizes[number] = (inside, self._folder.child(inside).size())
        total = sum(size for _, size in self._sizes.values())
        order = sorted(self._sizes, key=lambda n: self._best.get(n, math.inf), reverse=True)
        for worst in order[: max(len(order) - ALWAYS, 0)]:
            if total <= self._most:
                return
            inside, size = self._sizes.pop(worst)
            self._folder.child(inside).delete_folder()
            total -= size
