"""Which trial is next, found without a look at all that have ended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

from ray.tune.execution.experiment_state import _ExperimentCheckpointManager as Manager
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler

from tune_jobs.engine.cluster.ray_internals import replaced
from tune_jobs.engine.experiments.messages import work_of


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


def without_checkpoint_snapshots() -> AbstractContextManager[None]:
    """Let Tune save its state every 10 seconds or more, and at the end, during a block.

    Where it keeps one checkpoint of a trial, it saves the state of all trials after each, and waits
    until that is uploaded, lest its state name one that is gone. Nothing goes on from that state
    here, but from the history.
    """
    return replaced(Manager, on_trial_checkpoint=lambda *_: None)


# How much a worker may grow after its first trial before it is replaced, in MiB.
MOST_GROWTH = 2048


def replaced_when_grown(most_growth: float = MOST_GROWTH) -> AbstractContextManager[None]:
    """Let Tune give up a worker that leaks memory, so that the next trial gets a fresh one.

    Tune decides in a private method whether the next trial uses a worker again; a trial that does
    not report its worker's memory leaves the decision to it.
    """
    first: dict[str, float] = {}
    original = TuneController._maybe_cache_trial_actor

    def decide(controller: TuneController, trial: Trial) -> bool:
        work = work_of(trial.last_result or {})
        memory = work.get("memory")
        if memory is not None and memory - first.setdefault(work["worker"], memory) > most_growth:
            return False
        kept: Any = original(controller, trial)
        return bool(kept)

    return replaced(TuneController, _maybe_cache_trial_actor=decide)
