"""A scheduler that pauses trials at rungs, and promotes them later."""

from __future__ import annotations

import math
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.result import TRAINING_ITERATION
from ray.tune.schedulers import FIFOScheduler

from tune_jobs.engine.goal import Goal
from tune_jobs.engine.search.observations import Curve
from tune_jobs.engine.search.promotion.brackets import Brackets
from tune_jobs.engine.search.promotion.rungs import Rungs


class PromotingScheduler(FIFOScheduler):  # type: ignore[misc]  # Ray calls it
    """Successive halving with pauses: asynchronous (Li et al. 2020), or in brackets (Hyperband).

    Ray's ``AsyncHyperBandScheduler`` stops a trial for good. Here a trial waits at its rung, its
    checkpoint kept, and is promoted when a worker is free and its rungs say so. The source of
    trials asks for a promotion before it starts a new trial, and says when no more trials will
    come; those that still wait are stopped then.

    Attributes:
        rungs: the trials by rung.
        chosen: the trials that were promoted but do not run yet.
    """

    def __init__(self, rungs: Rungs | Brackets, max_epochs: int) -> None:
        super().__init__()
        self._max_epochs = max_epochs
        self.rungs = rungs
        self.chosen: list[str] = []
        self._is_over = False

    def set_search_properties(self, metric: str | None, mode: Any, **spec: Any) -> bool:
        """Learn metric and mode."""
        self._goal = Goal(metric or "", mode or "min")
        return bool(super().set_search_properties(metric, mode, **spec))

    def on_trial_add(self, controller: Any, trial: Trial) -> None:
        """Note that a trial begins."""
        super().on_trial_add(controller, trial)
        self.rungs.start(trial.trial_id)

    def on_trial_result(self, controller: Any, trial: Trial, result: dict[str, Any]) -> str:  # noqa: ARG002
        """Pause a trial at a rung, unless it is the one to promote next."""
        name, epoch = trial.trial_id, result.get(TRAINING_ITERATION)
        value = result.get(self._goal.metric)
        self._forget(name)
        if epoch is None or value is None:
            return str(self.CONTINUE)
        if epoch >= self._max_epochs:
            return str(self.STOP)
        if not self.rungs.enter(name, epoch, self._goal.loss(value)):
            return str(self.CONTINUE)
        if self.rungs.next(self.chosen) == name:
            self._forget(name)
            return str(self.CONTINUE)
        return str(self.PAUSE)

    def recall(self, name: str, curve: Curve, *, waits: bool, is_over: bool = False) -> None:
        """Learn the curve of a trial of an earlier run.

        Args:
            name: the trial's.
            curve: (epoch, value), epochs rising.
            waits: whether it may be promoted if its last epoch is a rung.
            is_over: whether it will not be trained any further.
        """
        self.rungs.start(name)
        for epoch, value in curve:
            if math.isfinite(value) and epoch < self._max_epochs:
                self.rungs.enter(name, epoch, self._goal.loss(value))
        if not waits or (curve and curve[-1][0] >= self._max_epochs):
            self._forget(name)
        if is_over:
            self.rungs.leave(name)

    def is_waiting(self, name: str) -> bool:
        """Return whether a trial waits at a rung and was not chosen to train further."""
        return name in self.rungs.waiting and name not in self.chosen

    def promote(self) -> str | None:
        """Choose a trial that waits, and return its name; None if there is none to promote."""
        name = self.rungs.next(self.chosen)
        if name is not None:
            self.chosen.append(name)
        return name

    def expect_no_more(self) -> None:
        """Note that no new trials will start; those that wait may still be promoted."""
        self.rungs.complete()

    def close(self) -> None:
        """Stop the trials that still wait: nothing will change their places."""
        self._is_over = True

    def choose_trial_to_run(self, controller: Any) -> Trial | None:
        """Return a trial that was promoted, or else the first that is pending."""
        live = sorted(controller.get_live_trials(), key=lambda trial: str(trial.trial_id))
        paused = {trial.trial_id: trial for trial in live if trial.status == Trial.PAUSED}
        if self._is_over:
            for trial in paused.values():
                controller.stop_trial(trial)
            return None
        ready = (paused[name] for name in self.chosen if name in paused)
        pending = (trial for trial in live if trial.status == Trial.PENDING)
        return next(ready, None) or next(pending, None)

    def on_trial_complete(self, controller: Any, trial: Trial, result: dict[str, Any]) -> None:  # noqa: ARG002
        """Forget that a trial waits; its losses stay."""
        self._end(trial.trial_id)

    def on_trial_error(self, controller: Any, trial: Trial) -> None:  # noqa: ARG002
        """Forget that a trial waits; its losses stay."""
        self._end(trial.trial_id)

    def on_trial_remove(self, controller: Any, trial: Trial) -> None:  # noqa: ARG002
        """Forget that a trial waits; its losses stay."""
        self._end(trial.trial_id)

    def _end(self, name: str) -> None:
        self._forget(name)
        self.rungs.leave(name)

    def _forget(self, name: str) -> None:
        self.rungs.waiting.pop(name, None)
        if name in self.chosen:
            self.chosen.remove(name)
