"""Methods of Tune that are replaced while a search runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler

from tune_jobs.engine.experiments.messages import memory_in
from tune_jobs.engine.ray_internals import REUSE_WORKER, SAVE_STATE, find, replaced

CHOOSE_TRIAL = "ray.tune.schedulers:FIFOScheduler.choose_trial_to_run"

# How much a worker may grow after its first trial before it is replaced, in MiB.
MOST_GROWTH = 2048


def short_queue() -> AbstractContextManager[None]:
    """Find the next trial without a look at all that have ended, at each of Tune's steps.

    Every scheduler that takes trials in their order shares the method, and chooses as before.
    """
    return replaced({CHOOSE_TRIAL: _choose})


def _choose(_: FIFOScheduler, controller: Any) -> Trial | None:
    """Return the first trial that is pending, or else the first that is paused."""
    queue = list(_list_waiting(controller))[::-1]
    pending = (trial for trial in queue if trial.status == Trial.PENDING)
    return next(pending, None) or next(iter(queue), None)


def _list_waiting(controller: Any) -> Iterator[Trial]:
    """Yield the trials that wait, the last first; few are younger than they."""
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

    If Tune keeps one checkpoint per trial, it saves the state of all trials after each checkpoint
    and waits for the upload, so that its state never names a checkpoint that is gone. Here nothing
    continues from that state: searches continue from the history.
    """
    return replaced({SAVE_STATE: lambda *_: None})


def replaced_when_grown(most_growth: float = MOST_GROWTH) -> AbstractContextManager[None]:
    """Let Tune give up a worker that leaks memory, so that the next trial gets a fresh one.

    Tune decides in a private method whether the next trial reuses a worker; the decision stays
    Tune's for a trial that does not report its worker's memory.
    """
    first: dict[str, float] = {}
    original = find(REUSE_WORKER)

    def decide(controller: Any, trial: Trial) -> bool:
        if used := memory_in(trial.last_result or {}):
            worker, memory = used
            if memory - first.setdefault(worker, memory) > most_growth:
                return False
        return bool(original(controller, trial))

    return replaced({REUSE_WORKER: decide})
