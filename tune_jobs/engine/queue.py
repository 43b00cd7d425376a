"""Which trial is next, found without a look at all that have ended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler

WAITING = (Trial.PENDING, Trial.PAUSED)


@contextmanager
def short_queue() -> Iterator[None]:
    """Spare Tune its search for a trial to start among all there ever were, at each of its steps.

    Every scheduler that takes trials in their order shares the method. Where several wait, it
    decides as before; mostly one does or none, and the trials that have not ended tell.
    """
    original = FIFOScheduler.choose_trial_to_run

    def choose(scheduler: FIFOScheduler, controller: Any) -> Trial | None:
        waiting = [trial for trial in controller.get_live_trials() if trial.status in WAITING]
        if len(waiting) > 1:
            return original(scheduler, controller)
        return waiting[0] if waiting else None

    FIFOScheduler.choose_trial_to_run = choose
    try:
        yield
    finally:
        FIFOScheduler.choose_trial_to_run = original
