"""Methods of Tune that are replaced while a search runs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

from ray.exceptions import OutOfMemoryError, RayActorError, RayError, RayTaskError
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler

from tune_jobs.engine.cluster.kept import kept_ray
from tune_jobs.engine.errors import first_line
from tune_jobs.engine.experiments.messages import memory_in
from tune_jobs.engine.ray_internals import (
    CALL_FAILED,
    CHECK_TRAINABLE,
    COLLECT_RESULTS,
    END_IDLE,
    FIND_TRAINABLE,
    KEEP_IDLE,
    LIST_RESULTS,
    REUSE_WORKER,
    SAVE_STATE,
    SET_WORKER,
    START_FAILED,
    WRITE_STATE,
    find,
    replaced,
    trials_with_worker,
)
from tune_jobs.engine.trials.warm_workers import give_up_worker

CHOOSE_TRIAL = "ray.tune.schedulers:FIFOScheduler.choose_trial_to_run"

# The reason of a death for which Ray has a page of text, another one each time.
KILLED = "the worker was killed due to the node running low on memory"

# How much a worker may grow after its first trial before it is replaced, in MiB. The programs that
# it keeps on purpose do not count.
MOST_GROWTH = 2048


def short_queue() -> AbstractContextManager[None]:
    """Find the next trial without a look at all that have ended, at each of Tune's steps.

    Every scheduler that takes trials in their order shares the method. It chooses as before, but
    for a trial whose worker is about to start: Tune would give it the worker that another trial has
    just left and call its own off, again and again while trials are short. It comes after
    the others that are pending.
    """
    return replaced({CHOOSE_TRIAL: _choose})


def _choose(_: FIFOScheduler, controller: Any) -> Trial | None:
    """Return the first trial that is pending, or else the first that is paused."""
    queue, served = list(_list_waiting(controller))[::-1], trials_with_worker(controller)
    return min(
        queue,
        key=lambda trial: (trial.status != Trial.PENDING, trial in served),
        default=None,
    )


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


def without_unused_work() -> AbstractContextManager[None]:
    """Leave out what Tune does for each trial of a run that nobody asks for.

    It looks the trainable up in the cluster's store, four requests per trial; it asks each worker
    twice for its address; it writes the state of all trials every 10 seconds, and at the end it
    collects their results. A run reads its results from the history, and continues from there; the
    state is written once, at the end, for those who open the folder with Tune.
    """
    look_up, write = cache(find(FIND_TRAINABLE)), find(WRITE_STATE)

    def write_last(controller: Any, *, force: bool = False, wait: bool = False) -> None:
        if force:
            write(controller, force=force, wait=wait)

    return replaced(
        {
            CHECK_TRAINABLE: look_up,
            FIND_TRAINABLE: look_up,
            SET_WORKER: _set_worker,
            WRITE_STATE: write_last,
            COLLECT_RESULTS: lambda **_: None,
            LIST_RESULTS: lambda _: None,
        }
    )


def _set_worker(trial: Trial, worker: Any) -> None:
    """Note the worker of a trial, and ask it nothing."""
    trial.temporary_state.ray_actor = worker


def with_idle_workers_kept() -> AbstractContextManager[None]:
    """Keep all workers that wait for a decision, until no more trials come.

    Tune keeps one; the next trials wait until it has reserved resources again, and outside a local
    Ray for processes that import Keras.
    """
    keep, end = find(KEEP_IDLE), find(END_IDLE)

    def keep_all(cache: Any, key: Any, worker: Any) -> bool:
        cache.increase_max(key, by=sys.maxsize)
        try:
            return bool(keep(cache, key, worker))
        finally:
            cache.decrease_max(key, by=sys.maxsize)

    def end_at_last(cache: Any, force_all: bool = False) -> Iterator[Any]:
        return iter(end(cache, force_all=True) if force_all else ())

    return replaced({KEEP_IDLE: keep_all, END_IDLE: end_at_last})


def surviving_lost_workers() -> AbstractContextManager[None]:
    """Let a trial that lost its worker to Ray's memory monitor fail, or start again, as any other.

    Tune knows the death of an actor and an exception in it; whatever else Ray says of a call, such
    as that it killed the worker because memory was short, ends the whole search. Little is kept of
    what it says: it lists the command lines of everybody's processes.
    """
    call_failed, start_failed = find(CALL_FAILED), find(START_FAILED)

    def fail_call(manager: Any, tracked_actor_task: Any, exception: Exception) -> None:
        call_failed(manager, tracked_actor_task, _as_lost_worker(exception))

    def fail_start(manager: Any, tracked_actor: Any, exception: Exception) -> None:
        start_failed(manager, tracked_actor, _as_lost_worker(exception))

    return replaced({CALL_FAILED: fail_call, START_FAILED: fail_start})


def _as_lost_worker(error: Exception) -> Exception:
    """Return what Tune takes as the loss of a worker, for anything that it does not know."""
    if isinstance(error, RayActorError | RayTaskError) or not isinstance(error, RayError):
        return error
    said = KILLED if isinstance(error, OutOfMemoryError) else first_line(error)
    return RayActorError(error_msg=f"{type(error).__name__}: {said}")  # type: ignore[no-any-return]


def replaced_when_grown(most_growth: float = MOST_GROWTH) -> AbstractContextManager[None]:
    """Let Tune give up a worker that leaks memory, so that the next trial gets a fresh one.

    Tune decides in a private method whether the next trial reuses a worker; the decision stays
    Tune's for a trial that does not report its worker's memory.
    """
    kept = kept_ray()
    first = {} if kept is None else kept.memory
    original = find(REUSE_WORKER)

    def decide(controller: Any, trial: Trial) -> bool:
        if used := memory_in(trial.last_result or {}):
            worker, memory = used
            if memory - first.setdefault(worker, memory) > most_growth:
                give_up_worker(trial.temporary_state.ray_actor)
                return False
        return bool(original(controller, trial))

    return replaced({REUSE_WORKER: decide})
