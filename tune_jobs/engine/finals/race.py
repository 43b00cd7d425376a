"""The race of the finalists: which is trained next, which is out, and which has won.

Fresh scores come in batches, a batch being some replicas on seeds and folds that are the same for
all finalists, so that comparisons are paired. The first batches choose: after each the ones that
are clearly behind are out (the best two stay), and after the last of them the best mean wins. The
other batches are trained for the winner and the runner-up alone, and what is said of them rests on
those: scores that had a part in the choice would be optimistic once more.

Where there is an incumbent it is never out, and the pair is the incumbent and the best of the
others, its challenger. That one wins only if it is clearly better on the batches that had no part
in the choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from tune_jobs.engine.analysis.estimates import Estimate, are_behind, estimate, judge
from tune_jobs.engine.experiments.history.replicas import Curve, stack_curves
from tune_jobs.engine.goal import Goal
from tune_jobs.engine.outcome import Judgement

Array = np.ndarray[Any, np.dtype[np.floating[Any]]]

# On fewer scores nobody is out: two that differ alike by chance would seem to be sure.
FEWEST_SCORES = 4


class Task(NamedTuple):
    """One batch of replicas of one finalist, both counted from 0."""

    finalist: int
    batch: int


@dataclass
class Race:
    """The state of the finals; the order in which curves arrive does not matter.

    Attributes:
        finalists: how many there are, the search's best first.
        choosing: number of batches that choose.
        confirming: number of further batches, for winner and runner-up.
        goal: the metric, and whether small or large values of it are good.
        overlap: held-out rows / training rows; 0 if replicas share no rows.
        level: confidence of all decisions to drop a finalist together, and of the judgement.
        incumbent: the finalist to be beaten; None if there is none.
        least_gain: the margin by which it has to be beaten.
        dropped: by finalist that was clearly behind, the number of batches it was trained on.
        failures: by finalist that could not be trained, the reason.
        lost: finalists that failed with their machine and not by their own fault.
    """

    finalists: int
    choosing: int
    confirming: int
    goal: Goal
    overlap: float
    level: float
    incumbent: int | None = None
    least_gain: float = 0.0
    dropped: dict[int, int] = field(default_factory=dict)
    failures: dict[int, str] = field(default_factory=dict)
    lost: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._curves: dict[Task, Sequence[Curve]] = {}
        self._started: set[Task] = set()
        self._ranked: list[int] = []
        self._epochs: dict[tuple[int, int], int] = {}
        self._decided = 0

    @property
    def alive(self) -> list[int]:
        """The finalists that are neither out nor failed, in order."""
        return [
            place
            for place in range(self.finalists)
            if place not in self.dropped and place not in self.failures
        ]

    @property
    def ranking(self) -> list[int]:
        """The finalists still alive, the winner first; empty before one is chosen.

        After the pair, finalists are ordered by their mean over the choosing batches.
        """
        pair = self.pair
        if self.answer == "replace":
            pair = pair[::-1]
        return pair + [place for place in self._standing if place not in pair]

    @property
    def pair(self) -> list[int]:
        """The finalists of confirming batches: the best two, or incumbent and challenger."""
        return self._pair_of(self._standing)

    @property
    def challenger(self) -> int | None:
        """The best finalist that is not the incumbent; None before it is chosen."""
        return next((place for place in self.pair if place != self.incumbent), None)

    @property
    def answer(self) -> Judgement | None:
        """True if to replace the incumbent; None if there is none, or before it is decided."""
        if self.incumbent is None or not self._ranked or self._next_confirming(set()) is not None:
            return None
        if self.incumbent in self.failures:
            return "inconclusive" if self.incumbent in self.lost or not self.pair else "replace"
        gain = self.gain
        if gain is None:  # those that could have challenged it were out before the others failed
            return "inconclusive" if self.dropped or self.lost else "keep"
        return judge(gain, self.least_gain)

    @property
    def gain(self) -> Estimate | None:
        """The incumbent's loss less the challenger's, on the same fresh batches."""
        if self.incumbent is None or len(self.pair) < 2:
            return None
        first, second = (self.fresh_scores(place) for place in self.pair)
        count = min(len(first), len(second))
        return estimate(first[:count] - second[:count], self.overlap, self.level) if count else None

    @property
    def _standing(self) -> list[int]:
        return [place for place in self._ranked if place not in self.failures]

    def _pair_of(self, ordered: Sequence[int]) -> list[int]:
        if self.incumbent is None:
            return list(ordered[:2])
        challengers = [place for place in ordered if place != self.incumbent]
        return [place for place in ordered if place == self.incumbent] + challengers[:1]

    @property
    def most_tasks(self) -> int:
        """The number of tasks if no finalist is dropped."""
        return self.finalists * self.choosing + min(self.finalists, 2) * self.confirming

    @property
    def is_done(self) -> bool:
        """True if nothing is left to train."""
        return not self.alive or (bool(self._ranked) and self._next_confirming(set()) is None)

    def next_task(self) -> Task | None:
        """Return the next task; None while it depends on what is running, or when all is done.

        Idle workers start the next batch before the deciding one is complete.
        """
        for batch in range(min(self._decided + 2, self.choosing)):
            for place in self.alive:
                if Task(place, batch) not in self._started:
                    return Task(place, batch)
        return self._next_confirming(self._started) if self._ranked else None

    def start(self, task: Task) -> None:
        """Note that a task is being trained."""
        self._started.add(task)

    def forget_unfinished(self) -> None:
        """Let tasks that were started without a result be trained again."""
        self._started &= self._curves.keys()

    def add(self, task: Task, curves: Sequence[Curve]) -> None:
        """Take in the curves of a task's replicas, and make the decisions that follow."""
        self._started.add(task)
        self._curves[task] = curves
        self._decide()

    def fail(self, task: Task, reason: str, *, is_lost: bool = False) -> None:
        """Note that a finalist cannot be trained, or was lost with its machine."""
        self.failures.setdefault(task.finalist, reason)
        if is_lost:
            self.lost.add(task.finalist)
        self._decide()

    def epochs(self, place: int) -> int:
        """Return the epoch at which a finalist's mean over its choosing batches is best."""
        key = place, self._completed(place)
        if key not in self._epochs:  # it is needed again and again
            epochs, curves = self._stack(place, range(key[1]))
            self._epochs[key] = int(epochs[np.argmin(curves.mean(axis=0))])
        return self._epochs[key]

    def choice_scores(self, place: int) -> Array:
        """Return a finalist's losses at its best epoch in the choosing batches, shape (n,)."""
        return self._scores(place, range(self._completed(place)))

    def fresh_scores(self, place: int) -> Array:
        """Return its losses at that epoch in the confirming batches, shape (n,)."""
        later = range(self.choosing, self.choosing + self.confirming)
        return self._scores(place, [b for b in later if Task(place, b) in self._curves])

    def _by_mean(self) -> list[int]:
        return sorted(self.alive, key=lambda place: float(self.choice_scores(place).mean()))

    def _completed(self, place: int) -> int:
        """Count the choosing batches that were decided with a finalist."""
        most = min(self.dropped.get(place, self.choosing), self._decided)
        return next((b for b in range(most) if Task(place, b) not in self._curves), most)

    def _scores(self, place: int, batches: Sequence[int]) -> Array:
        if not batches:
            return np.empty(0)
        epochs, curves = self._stack(place, batches)
        wanted = min(max(self.epochs(place), epochs[0]), epochs[-1])
        return np.asarray(curves[:, np.searchsorted(epochs, wanted)])

    def _stack(self, place: int, batches: Sequence[int]) -> tuple[Array, Array]:
        """Return the epochs that all replicas have reached, and losses, shape (replicas, epochs).

        A replica that ended early counts with its last value.
        """
        curves = [curve for batch in batches for curve in self._curves[Task(place, batch)]]
        epochs, values = stack_curves(curves, self.goal, "last")
        common = epochs >= max(min(curve) for curve in curves)
        return epochs[common], self.goal.sign * values[common].T

    def _decide(self) -> None:
        while self._decided < self.choosing and self.alive:
            if any(Task(place, self._decided) not in self._curves for place in self.alive):
                return
            self._decided += 1
            scores = np.stack([self.choice_scores(place) for place in self.alive])
            if scores.shape[1] >= FEWEST_SCORES:
                self._drop(scores)
        if self._decided == self.choosing and not self._ranked:
            self._ranked = self._by_mean()

    def _drop(self, scores: Array) -> None:
        """Drop finalists that are clearly behind; a pair stays, so that its gap can be measured."""
        a_look = 1 - (1 - self.level) / self.choosing  # there is one after each batch
        behind = are_behind(scores, self.overlap, a_look)
        best = self._pair_of(self._by_mean())
        for place in [p for p, is_behind in zip(self.alive, behind, strict=True) if is_behind]:
            if place not in best:
                self.dropped[place] = self._decided

    def _next_confirming(self, started: set[Task]) -> Task | None:
        """Return the next confirming task that is neither done nor started."""
        pair = self.pair
        for batch in range(self.choosing, self.choosing + self.confirming):
            for place in pair:
                if not {Task(place, batch)} & (started | self._curves.keys()):
                    return Task(place, batch)
        return None
