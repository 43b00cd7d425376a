"""Configs that are chosen for a worker before it needs them, so that it can train them in step.

A worker's first trial says which configs follow it (``in_step`` in its config); each of them is a
trial of its own, which starts when the one before it has ended.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.job.profile import Profile
from tune_jobs.engine.search.promotion.scheduler import PromotingScheduler
from tune_jobs.engine.space.configs import IN_STEP, Config
from tune_jobs.engine.space.membership import identity


@dataclass(frozen=True)
class Chosen:
    """A config that was chosen.

    Attributes:
        config: the config.
        by: what chose it.
        asked: how many suggestions the searcher had made then.
        key: the searcher's key of its suggestion.
    """

    config: Config
    by: str
    asked: int
    key: str | None = None

    @cached_property
    def identity(self) -> str:
        """What equal configs have in common."""
        return identity(self.config)


@dataclass
class _Queue:
    configs: deque[Chosen] = field(default_factory=deque)
    is_new: bool = True


class Reserve:
    """The configs that wait for the worker that they were chosen for.

    Args:
        in_step: how many trials a worker trains in step.
        concurrency: how many workers there are.
    """

    def __init__(self, in_step: int, concurrency: int) -> None:
        self._in_step, self._concurrency = in_step, concurrency
        self._free: deque[_Queue] = deque()  # those whose worker needs a trial
        self._busy: dict[str, _Queue] = {}  # by the trial that their worker trains

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, config: Config) -> bool:
        own = identity(config)
        return any(each.identity == own for each in self._waiting)

    @property
    def is_wanted(self) -> bool:
        """True if a worker that needs a trial has none in reserve."""
        return not self._free

    def begin(self, left: int) -> int:
        """Begin the reserve of a worker, and return how many configs it should have.

        Args:
            left: how many trials are left to choose.
        """
        self._free.append(_Queue())
        return max(1, min(self._in_step, math.ceil(left / self._concurrency)))

    def add(self, chosen: Chosen) -> None:
        """Add a config to the reserve that was begun last."""
        self._free[-1].configs.append(chosen)

    def take(self, name: str) -> tuple[Chosen, Sequence[Config]] | None:
        """Take the config of the next trial, and those that follow it in the same worker.

        Another worker's are taken if none is left to choose.

        Args:
            name: of the trial.
        """
        while self._free:
            queue = self._free.popleft()
            if queue.configs:
                chosen, is_new, queue.is_new = queue.configs.popleft(), queue.is_new, False
                self._busy[name] = queue
                return chosen, [each.config for each in queue.configs] if is_new else []
        longest = max(self._busy.values(), key=lambda each: len(each.configs), default=_Queue())
        return (longest.configs.pop(), []) if longest.configs else None

    def end(self, name: str) -> None:
        """Note that a trial has ended, so that its worker needs the next."""
        queue = self._busy.pop(name, None)
        if queue is not None and queue.configs:
            self._free.append(queue)

    def asked(self, now: int) -> int:
        """Return the suggestions after which a resumed search asks again, those waiting first.

        Args:
            now: how many suggestions the searcher has made.
        """
        return min([now, *(each.asked - 1 for each in self._waiting if each.key is not None)])

    @property
    def _waiting(self) -> list[Chosen]:
        queues = [*self._free, *self._busy.values()]
        return [chosen for queue in queues for chosen in queue.configs]


class RetriedAlone(Callback):  # type: ignore[misc]  # Ray calls it
    """Lets a trial that lost its worker train alone: one that follows it may have killed that."""

    def on_trial_recover(self, *, trial: Trial, **_: Any) -> None:
        """Forget the configs that follow a trial."""
        trial.config.pop(IN_STEP, None)


def check_in_step(profile: Profile, scheduler: TrialScheduler, *, pauses: bool) -> None:
    """Refuse to train trials in step that a scheduler pauses: their worker takes others then.

    Raises:
        JobError: naming the setting.
    """
    count = profile.trials_in_step
    if count > 1 and (isinstance(scheduler, PromotingScheduler) or pauses):
        raise JobError(
            f"trials_in_step is {count}, but the scheduler pauses trials; "
            "set trials_in_step to 1, or use a scheduler that only stops trials, such as ASHA()"
        )
