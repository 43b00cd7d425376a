"""Trials in worker processes that outlive a search, so that finals and export find them warm.

Tune starts a process per worker and search, which imports Ray, the engine and Keras: seconds, of
which a small search would be all there is. During a run (:mod:`~tune_jobs.engine.cluster.kept`)
workers are kept instead: an actor stays and is given one trainable of Tune after another. To Tune
it looks like an actor of each trainable. In a local Ray, workers without a GPU run outside of what
Tune reserves; others stay in their reservation (:mod:`~tune_jobs.engine.cluster.reservations`).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any

import ray
from ray.tune.result import RESULT_DUPLICATE, SHOULD_CHECKPOINT

from tune_jobs.engine.cluster.concurrency import find_concurrency
from tune_jobs.engine.cluster.kept import KeptRay, kept_ray
from tune_jobs.engine.cluster.reservations import managed_by
from tune_jobs.engine.deadline import Deadline
from tune_jobs.engine.job.profile import Profile
from tune_jobs.engine.ray_internals import (
    FIND_CLASS,
    HIDE_NOTEBOOK,
    KILL_WORKER,
    KILL_WORKERS,
    RESERVATIONS,
    SESSION,
    find,
    replaced,
    revealed,
)
from tune_jobs.engine.search.schedulers import EPOCH

# Seconds that a worker may take to say that it has nothing left to do.
PATIENCE = 10.0

# How often a call is repeated whose worker dies, as that of a task of Ray is.
RETRIES = 3
LOST = (ray.exceptions.RayActorError, ray.exceptions.OutOfMemoryError)


# Arguments of a method, by position and by name.
Call = tuple[tuple[Any, ...], dict[str, Any]]


class Worker:
    """A process that runs one trainable of Tune after another."""

    def __init__(self) -> None:
        self._trainable: Any = None
        self._thread: Any = None
        self._last_epoch = sys.maxsize
        self._saved: Any = None  # the checkpoint of a last epoch, until Tune asks for it
        self._raised: Exception | None = None  # after a last epoch, until Tune asks for more

    def begin(
        self, trainable: Callable[..., Any], arguments: dict[str, Any], last_epoch: int
    ) -> bool:
        """Make a trainable of Tune, as its actor would; True when it is made.

        Tune looks for a notebook whose output it would hide, and imports IPython for that.
        """
        with replaced({HIDE_NOTEBOOK: lambda: None}):
            self._trainable = trainable(**arguments)
        self._last_epoch = last_epoch
        return True

    def call(
        self,
        method: str,
        arguments: tuple[Any, ...],
        named: dict[str, Any],
        reset: Call | None = None,
    ) -> Any:
        """Call a method of the trainable, after it was given another trial if there is one."""
        if reset is not None:
            self._reset(reset)
        if method == "save" and self._saved is not None:
            saved, self._saved = self._saved, None
            return saved
        if method == "train" and self._raised is not None:
            raise self._raised
        found = getattr(self._trainable, method)(*arguments, **named)
        return self._with_end(found) if method == "train" else found

    def _reset(self, reset: Call) -> None:
        """Give the trainable another trial.

        Raises:
            RuntimeError: if the function of the last one still runs.
        """
        self._saved = self._raised = None
        arguments, named = reset
        if not self._trainable.reset(*arguments, **named):
            raise RuntimeError("the function of the last trial still runs in this worker")

    def _with_end(self, result: dict[str, Any]) -> dict[str, Any] | list[dict[str, Any]]:
        """Add to the message of a last epoch the one that says that its function has returned.

        Tune would ask for that with a call of its own. What goes wrong after the last epoch is
        raised when Tune asks.
        """
        if result.get(EPOCH, 0) < self._last_epoch or RESULT_DUPLICATE in result:
            return result
        self._saved = self._trainable.save() if result.get(SHOULD_CHECKPOINT) else None
        try:
            return [result, self._trainable.train()]
        except Exception as error:  # noqa: BLE001  # of whatever the function does
            self._raised = error
            return result

    def stop(self) -> None:
        """Stop the trainable, and note the thread that its function runs in."""
        self._saved = self._raised = None
        session = find(SESSION)()
        self._thread = getattr(session, "training_thread", None)
        trainable, self._trainable = self._trainable, None
        if trainable is not None:
            trainable.stop()

    def do(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """Call a function."""
        return function(*arguments)

    def is_idle(self) -> bool:
        """Return whether nothing of the last trainable runs any more, waiting a little for it."""
        if self._thread is not None:
            self._thread.join(PATIENCE / 2)
        return self._thread is None or not self._thread.is_alive()


class _Actor:
    """A kept worker, as Tune sees it: as an actor of the trainable that it runs.

    Attributes:
        kept: what the worker goes back to.
        worker: the actor behind it.
        group: the placement group that the worker stays in, None outside of any.
        begun: the reference of the start of the trainable, which may fail.
        is_given_up: whether the worker ends with this trainable.
        handed_over: what gives the trainable its next trial, until it travels with the next call.
    """

    def __init__(self, kept: KeptRay, worker: Any, begun: Any, group: Any = None) -> None:
        self.kept, self.worker, self.begun, self.group = kept, worker, begun, group
        self.is_given_up = False
        self.handed_over: Call | None = None

    def __getattr__(self, method: str) -> _Method:
        if method.startswith("_") and method not in ("__ray_ready__", "__ray_terminate__"):
            raise AttributeError(method)
        return _Method(self, method)

    def release(self) -> Any:
        """Stop the trainable; keep the worker, unless it is given up."""
        stopped = self.worker.stop.remote()
        has_begun = bool(ray.wait([self.begun], timeout=0)[0])
        if self.is_given_up or (self.group is not None and not has_begun):
            self.worker.__ray_terminate__.remote()
        elif self.group is not None:
            self.kept.reservations.hold(self.group, self.worker)
        elif has_begun:
            self.kept.workers.append(self.worker)
        else:
            self.kept.starting.append(self.worker)
        return stopped


class _Method:
    """A method of an actor, called with ``remote``."""

    def __init__(self, actor: _Actor, name: str) -> None:
        self._actor, self._name = actor, name

    def remote(self, *arguments: Any, **named: Any) -> Any:
        """Call the method in the worker; one that has stopped its trainable is kept."""
        worker = self._actor.worker
        if self._name == "__ray_ready__":
            return self._actor.begun
        if self._name == "__ray_terminate__":
            return worker.__ray_terminate__.remote()
        if self._name == "reset":  # Tune waits for what it knows already: it takes no message
            self._actor.handed_over = (arguments, named)
            return self._actor.begun
        if self._name != "stop":
            reset, self._actor.handed_over = self._actor.handed_over, None
            return worker.call.remote(self._name, arguments, named, reset)
        return self._actor.release()


class _ActorClass(ray.actor.ActorClass):  # type: ignore[misc]
    """The class of a trainable's actors, as Tune sees it.

    Args:
        kept: where the workers come from.
        trainable: what they run.
        last_epoch: after which a trial has nothing more to report.
        starts: the class of new workers that stay in what Tune reserves; None for workers outside.
    """

    def __init__(self, kept: KeptRay, trainable: Any, last_epoch: int, starts: Any = None) -> None:
        self._kept, self._trainable, self._last_epoch = kept, trainable, last_epoch
        self._starts, self._group = starts, None

    def options(self, **options: Any) -> _ActorClass:
        """Return the class with the resources that Tune has reserved for an actor."""
        if self._starts is None:
            return self
        starts = self._starts.options(**options)
        found = _ActorClass(self._kept, self._trainable, self._last_epoch, starts)
        found._group = options["scheduling_strategy"].placement_group
        return found

    def remote(self, **arguments: Any) -> _Actor:
        """Give a kept worker the trainable."""
        worker = self._take()
        begun = worker.begin.remote(self._trainable, arguments, self._last_epoch)
        return _Actor(self._kept, worker, begun, self._group)

    def _take(self) -> Any:
        if self._starts is None:
            return take_worker(self._kept)
        worker = self._kept.reservations.take_from(self._group)
        return worker if worker is not None and _is_idle(worker) else self._starts.remote()


def in_warm_workers(
    profile: Profile, last_epoch: int, *, is_adopted: bool = False
) -> AbstractContextManager[None]:
    """Let Tune run trials in kept workers during a block, if this process keeps its Ray.

    Args:
        profile: what a trial may use.
        last_epoch: after which a trial has nothing more to report.
        is_adopted: whether a user's module has built the tuner; its trials may reserve anything.
    """
    kept = kept_ray()
    if kept is None or (is_adopted and _is_reserved(profile)):
        return nullcontext()
    kill, kill_all, find_class = find(KILL_WORKER), find(KILL_WORKERS), find(FIND_CLASS)

    def class_of(cache: Any, trainable: Any) -> _ActorClass:
        starts = find_class(cache, Worker) if _is_reserved(profile) else None
        return _ActorClass(kept, trainable, last_epoch, starts)

    def kill_one(manager: Any) -> Any:
        _reveal(manager, doomed_only=True)
        return kill(manager)

    def kill_rest(manager: Any) -> Any:
        _reveal(manager, doomed_only=False)
        return kill_all(manager)

    return replaced(
        {
            FIND_CLASS: class_of,
            RESERVATIONS: managed_by(kept.reservations),
            KILL_WORKER: kill_one,
            KILL_WORKERS: kill_rest,
        }
    )


def _is_reserved(profile: Profile) -> bool:
    """Return whether the workers of a profile stay in what Tune reserves.

    Ray assigns GPUs to a process when it starts, and a cluster belongs to others, too.
    """
    return bool(profile.gpus_per_trial) or profile.address != "local"


def start_workers(profile: Profile, trials: int) -> None:
    """Start the workers of a run whose Ray is kept: they import while its tuner is prepared.

    Args:
        profile: says how many trials run at once.
        trials: how many there are.
    """
    kept = kept_ray()
    if kept is not None and not _is_reserved(profile):
        missing = min(trials, find_concurrency(profile)) - len(kept.workers) - len(kept.starting)
        kept.starting += [_start_worker() for _ in range(missing)]


def _start_worker() -> Any:
    return ray.remote(num_cpus=0)(Worker).remote()


def take_worker(kept: KeptRay) -> Any:
    """Take a worker that is idle, the last used first, or one that starts, or start one."""
    while kept.workers:
        worker = kept.workers.pop()
        if _is_idle(worker):
            return worker
    return kept.starting.pop(0) if kept.starting else _start_worker()


def _is_idle(worker: Any) -> bool:
    """Return whether a worker has nothing left to do; one that has, or is lost, is killed."""
    with suppress(ray.exceptions.RayError):
        if ray.get(worker.is_idle.remote(), timeout=PATIENCE):
            return True
    ray.kill(worker)
    return False


def kill_worker(actor: Any) -> None:
    """Kill the process that runs a trial, whether it is a kept worker or not."""
    if isinstance(actor, _Actor):
        actor.kept.drop(actor.worker)
        actor = actor.worker
    ray.kill(actor)


def give_up_worker(actor: Any) -> None:
    """Let the process that runs a trial end with it, whether it is a kept worker or not."""
    if isinstance(actor, _Actor):
        actor.is_given_up = True


def call_in_worker(
    function: Callable[..., Any],
    *arguments: Any,
    profile: Profile,
    timeout: float | None = None,
) -> Any:
    """Call a function in a worker of a profile, a kept one if there is one; wait for the result.

    If the worker dies, the function is called again in another one, as Ray does with its tasks.

    Args:
        function: what is called.
        arguments: of the function.
        profile: what the worker may use.
        timeout: seconds after which the call is broken off.

    Raises:
        GetTimeoutError: if the time is over.
        RayError: if it cannot be called, or raises an exception.
    """
    kept = kept_ray()
    if kept is not None and not _is_reserved(profile):
        return _call_in_kept(kept, function, arguments, timeout)
    deadline = Deadline(None if timeout is None else time.monotonic() + timeout)
    while kept is not None and (found := kept.reservations.take()):
        with suppress(*LOST):
            return kept.reservations.call(found, "do", function, arguments, timeout=deadline.left)
    timeout = deadline.left
    task = ray.remote(num_cpus=profile.cpus_per_trial, num_gpus=profile.gpus_per_trial)
    reference = task(function).remote(*arguments)
    try:
        return ray.get(reference, timeout=timeout)
    except ray.exceptions.GetTimeoutError:
        ray.cancel(reference, force=True)
        raise


def _call_in_kept(
    kept: KeptRay, function: Callable[..., Any], arguments: tuple[Any, ...], timeout: float | None
) -> Any:
    """Call a function in a kept worker, again if that dies; one that is called off is killed."""
    deadline = Deadline(None if timeout is None else time.monotonic() + timeout)
    retries = RETRIES
    while True:
        worker = take_worker(kept)
        try:
            result = ray.get(worker.do.remote(function, arguments), timeout=deadline.left)
        except ray.exceptions.RayTaskError:
            kept.workers.append(worker)
            raise
        except LOST:
            retries -= 1
            if retries < 0:
                raise
        except BaseException:
            ray.kill(worker)
            raise
        else:
            kept.workers.append(worker)
            return result


def _reveal(manager: Any, *, doomed_only: bool) -> None:
    """Put the actors behind kept workers in their place, before Tune's manager kills them."""
    for actor in revealed(manager, _Actor, doomed_only=doomed_only):
        actor.kept.drop(actor.worker)
