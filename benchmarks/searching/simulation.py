"""Searches with simulated workers, which share a clock that counts epochs."""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from benchmarks.searching.contenders import Contender
from benchmarks.searching.problem import Played, Task

T = TypeVar("T")

# How many configs a search's finals train to the end.
FINALISTS = 3

# How much longer or shorter than others a trial's epochs may take.
SPREAD = 0.3


@dataclass(frozen=True)
class Limits:
    """When a search ends: at whichever comes first."""

    trials: float = math.inf
    epochs: float = math.inf


@dataclass
class Trace:
    """What a search found.

    Attributes:
        regrets: of what looks best at its last epoch, after each trial that has ended.
        epochs: that were trained.
        failing: for each suggestion whether it fails.
        cpu: seconds of the searcher.
    """

    regrets: list[float] = field(default_factory=list)
    epochs: int = 0
    failing: list[bool] = field(default_factory=list)
    cpu: float = 0.0


class Rungs:
    """Asynchronous successive halving as the engine's ``ASHA(grace_period, 3)`` applies it."""

    def __init__(self, max_epochs: int, grace_period: int = 1) -> None:
        from tune_jobs.engine.search.schedulers import ASHA

        self._factor = 3
        rungs = ASHA(grace_period, self._factor).rungs(max_epochs)
        self._seen: dict[int, list[float]] = {rung: [] for rung in rungs}

    def stops(self, epoch: int, loss: float) -> bool:
        """Record a loss at a rung, and return whether it is not among the best there."""
        if epoch not in self._seen:
            return False
        seen = self._seen[epoch]
        cut = np.percentile(seen, 100 / self._factor) if seen else math.inf
        seen.append(loss)
        return bool(loss > cut)


class Search:
    """One search of a task by a contender.

    Args:
        task: to search.
        contender: that searches.
        seed: of noise and of how long trials take, alike for all contenders.
        grace_period: the first rung of trials with several epochs.
    """

    def __init__(self, task: Task, contender: Contender, seed: int, grace_period: int = 1) -> None:
        self._task, self._contender, self._seed = task, contender, seed
        self._rungs = Rungs(task.max_epochs, grace_period) if task.max_epochs > 1 else None
        self._running: list[tuple[float, int, int]] = []  # when, trial, epoch
        self._played: dict[int, Played] = {}
        self._paces: dict[int, float] = {}
        self._now = 0.0
        self._used: set[int] = set()
        self._best = math.inf, math.inf  # the lowest loss, and the regret of its trial
        self._reached: dict[int, int] = {}
        self._is_exhausted = False
        self._trace = Trace()

    def run(self, workers: int, limits: Limits) -> Trace:
        """Search with a number of trials in flight."""
        while not self._is_over(limits):
            while len(self._running) < workers and self._may_start(limits):
                self._start()
            if not self._running:
                break
            self._step()
        return self._trace

    @property
    def reached(self) -> Iterator[tuple[Played, int]]:
        """The trials that have reported: what each would report, and how many epochs it did."""
        return ((self._played[number], epoch) for number, epoch in self._reached.items())

    def _is_over(self, limits: Limits) -> bool:
        found = self._trace
        return len(found.regrets) >= limits.trials or found.epochs >= limits.epochs

    def _may_start(self, limits: Limits) -> bool:
        return not self._is_exhausted and len(self._trace.failing) < limits.trials

    def _start(self) -> None:
        number = len(self._trace.failing)
        random = np.random.default_rng([self._seed, number])
        self._paces[number] = 1 + SPREAD * (2 * random.random() - 1)
        suggested = self._timed(lambda: self._contender.suggest(str(number)))
        played = self._task.play(suggested, random, self._used) if suggested is not None else None
        if played is None:
            self._is_exhausted = True
            return
        self._timed(lambda: self._contender.start(str(number), played.config))
        self._trace.failing.append(played.fails)
        self._played[number] = played
        heapq.heappush(self._running, (self._now + self._paces[number], number, 1))

    def _step(self) -> None:
        """Let the trial whose epoch ends next train it."""
        self._now, number, epoch = heapq.heappop(self._running)
        self._train(number, epoch)
        self._trace.epochs += 1

    def _train(self, number: int, epoch: int) -> None:
        """Let a trial report an epoch, and end or train one more."""
        played = self._played[number]
        if epoch > len(played.losses):  # it fails in this epoch
            self._end(number, failed=True)
            return
        is_last = epoch == self._task.max_epochs
        stops = self._report(number, epoch) and not is_last
        if stops or is_last:
            self._end(number, stopped=stops)
        else:
            heapq.heappush(self._running, (self._now + self._paces[number], number, epoch + 1))

    def _report(self, number: int, epoch: int) -> bool:
        """Report an epoch, and return whether the trial has to stop."""
        played = self._played[number]
        loss = played.losses[epoch - 1]
        self._reached[number] = epoch
        self._best = min(self._best, (loss, played.regrets[-1]))
        stops = self._timed(lambda: self._contender.report(str(number), epoch, loss))
        if self._contender.prunes or self._rungs is None:
            return stops
        return self._rungs.stops(epoch, loss)

    def _end(self, number: int, failed: bool = False, stopped: bool = False) -> None:
        self._timed(lambda: self._contender.end(str(number), failed, stopped))
        self._trace.regrets.append(self._best[1])

    def _timed(self, call: Callable[[], T]) -> T:
        began = time.process_time()
        found = call()
        self._trace.cpu += time.process_time() - began
        return found


def search_for_one_epoch(task: Task, seed: int, count: int) -> list[Played]:
    """Return random configs, of which every one is trained for an epoch.

    With the finals this is "one epoch for all, then only the best to the end".

    Source: Egele et al. 2024, "The Unreasonable Effectiveness Of Early Discarding After One Epoch
    In Neural Network Hyperparameter Optimization".
    """
    from benchmarks.searching.contenders import Ours

    searcher, used = Ours("random", task, seed), set[int]()
    found: list[Played] = []
    for number in range(count):
        config = searcher.suggest(str(number))
        random = np.random.default_rng([seed, number])
        played = task.play(config, random, used) if config is not None else None
        if played is None:
            break
        found.append(played)
    return found
