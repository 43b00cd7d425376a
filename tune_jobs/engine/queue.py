"""Which trial is next, found without a look at all that have ended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler

from tune_jobs.engine.replacing import replaced


def short_queue() -> AbstractContextManager[None]:
    """Spare Tune its search for a trial to start among all there ever were, at each of its steps.

    Every scheduler that takes trials in their order shares the method, and chooses as before.
    """
    return replaced(FIFOScheduler, choose_trial_to_run=_choose)


def _choose(_: FIFOScheduler, controller: Any) -> Trial | None:
    """The first that is pending, or else the first that is paused."""
    queue = list(_list_waiting(controller))[::-1]
    pending = (trial for trial in queue if trial.status == Trial.PENDING)
    return next(pending, None) or next(iter(queue), None)


def _list_waiting(controller: Any) -> Iterator[Trial]:
    """The trials that wait, the last first; few are younger than they."""
    live = controller.get_live_trials()
    waiting = {trial for trial in live if trial.status in (Trial.PENDING, Trial.PAUSED)}
    for trial in reversed(controller.get_trials()):
        if not waiting:
            return
        if trial in waiting:
            waiting.remove(trial)
            yield trial
