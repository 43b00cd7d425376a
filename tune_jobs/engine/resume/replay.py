"""Replay the results of earlier runs to a new scheduler."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    FIFOScheduler,
    MedianStoppingRule,
    TrialScheduler,
)

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.names import trial_id
from tune_jobs.engine.search.promotion.scheduler import PromotingScheduler
from tune_jobs.engine.search.schedulers import EPOCH
from tune_jobs.engine.space.configs import Config

if TYPE_CHECKING:
    from tune_jobs.engine.resume.past import PastTrial


class _Past:
    """A trial that has ended, as schedulers see it."""

    status = "TERMINATED"

    def __init__(self, name: str, config: Config) -> None:
        self.trial_id, self.config = name, config

    def is_finished(self) -> bool:
        return True


class _NoController:
    """Tune, as schedulers see it, while nothing runs."""

    def get_trials(self) -> list[_Past]:
        return []

    get_live_trials = get_trials


def check_replayable(scheduler: TrialScheduler) -> None:
    """Refuse a scheduler to which earlier results cannot be replayed.

    Raises:
        JobError: if it pauses, exchanges or changes trials.
    """
    known = isinstance(scheduler, AsyncHyperBandScheduler | MedianStoppingRule | PromotingScheduler)
    if not known and type(scheduler) is not FIFOScheduler:
        raise JobError(
            f"a search with {type(scheduler).__name__} cannot be continued, since its trials wait "
            "for or change each other; use ASHA(), MedianStopping() or no scheduler"
        )


def replay(scheduler: TrialScheduler, trials: Sequence[PastTrial], metric: str) -> None:
    """Give a new scheduler every result of earlier runs, as it would have seen them."""
    if isinstance(scheduler, PromotingScheduler):
        for past in trials:
            name, is_over = trial_id(past.number), past.is_finished and not past.waits
            scheduler.recall(name, past.curve, waits=past.waits, is_over=is_over)
        return
    controller = _NoController()
    for past in trials:
        trial, result = _Past(trial_id(past.number), past.config), {}
        scheduler.on_trial_add(controller, trial)
        for epoch, value in past.curve:
            result = {EPOCH: epoch, metric: value, "time_total_s": float(epoch)}
            if not math.isfinite(value):
                continue
            decision = scheduler.on_trial_result(controller, trial, result)
            if decision == TrialScheduler.STOP:  # it must not see the trial again
                break
        if past.is_finished and result:
            scheduler.on_trial_complete(controller, trial, result)
