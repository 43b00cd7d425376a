"""Run a job from beginning to end: search, best model, test score, summary."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar, get_args

from tune_jobs.engine.cluster.concurrency import check_fits
from tune_jobs.engine.cluster.connection import ray_of
from tune_jobs.engine.deadline import Deadline, deadline_after
from tune_jobs.engine.environment import environment
from tune_jobs.engine.errors import JobError, check_whole_number
from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.experiments.history.records import Listener
from tune_jobs.engine.experiments.lease import Lease, SkippedError, TakenError, leased
from tune_jobs.engine.formatting import duration
from tune_jobs.engine.job.description import Slot
from tune_jobs.engine.job.job import Job, MakeTuner
from tune_jobs.engine.job.profile import Profile, locate
from tune_jobs.engine.job.setup import Setup
from tune_jobs.engine.names import default_name
from tune_jobs.engine.ray_internals import check_ray
from tune_jobs.engine.recurring.series import fill_name, folder_of, schedule
from tune_jobs.engine.resume.continuation import Continuation, check_name
from tune_jobs.engine.runs.finish import Timing
from tune_jobs.engine.runs.phases import Run
from tune_jobs.engine.storage.folder import Folder
from tune_jobs.engine.trials.interruption import Interruption, interruptible
from tune_jobs.engine.views.board import Board
from tune_jobs.engine.views.fallback import FallbackWarning
from tune_jobs.engine.views.live import choose_view
from tune_jobs.engine.views.pulse import Pulse
from tune_jobs.engine.views.tracking import make_trackers

if TYPE_CHECKING:
    from tune_jobs.engine.data.dataset import Dataset

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

# What a run does if another one is active.
Overlap = Literal["fail", "skip", "wait"]
OVERLAPS: tuple[Overlap, ...] = get_args(Overlap)

# Ray's screen output, loggers and signal handling give way to the history and its listeners.
TUNE_SETTINGS = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_COLOR_PREFIX": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
}
CHATTY = ("ray", "ray.tune", "hyperopt")


def run(
    job: Job | MakeTuner,
    *,
    profile: Profile | None = None,
    name: str | None = None,
    slot: str | None = None,
    time_zone: str = "UTC",
    on_overlap: Overlap = "fail",
    max_hours: float | None = None,
    resume: bool = False,
    extend: int = 0,
    warm_start: Sequence[str] = (),
    defaults: Mapping[str, object] | None = None,
    allow_changed: bool = False,
    allow_repeats: bool = False,
    track: Sequence[str] = (),
    command: Mapping[str, object] | None = None,
    listeners: Sequence[Listener] | None = None,
    import_paths: Sequence[str] = (),
) -> Experiment:
    """Search, export the best model, score it once on the test set, and write a summary.

    Args:
        job: what to search; or a function of profile and name that returns a ``ray.tune.Tuner``.
        profile: where to run; the default is this machine and the folder ``results``.
        name: the experiment's folder; the default is the trainable's name and the time. With a slot
            it has the placeholder ``{slot}``, and may have ``{job}`` and ``{hash}``.
        slot: the schedule that the run is part of (:mod:`~.recurring.slots`): it continues the run
            that began in the same slot, or reports it, and no two runs of a series overlap.
        time_zone: of the slot; hourly slots are in UTC.
        on_overlap: whether to fail, to do nothing or to wait if another run is active.
        max_hours: the run ends after this many hours and keeps what it has found; if finals follow,
            the search ends after three quarters of them.
        resume: continue the experiment if it exists, else start it.
        extend: how many trials to add to the experiment.
        warm_start: results that the searcher learns from first: experiments, tables, KerasTuner
            projects, Optuna databases (:mod:`~tune_jobs.engine.resume.warm_start`).
        defaults: values, by dotted name, of hyperparameters that earlier trials did not have.
        allow_changed: continue even if data or code have changed.
        allow_repeats: allow a config to be trained more than once.
        track: trackers that log every epoch, too (:mod:`~tune_jobs.engine.views.tracking`).
        command: the options of the command line, so that it can be repeated.
        listeners: called with each event of the run (:mod:`~.experiments.history.records`), and
            with None in between; the default is a live view.
        import_paths: folders that the workers import from, in addition to those of this process.

    Raises:
        JobError: for a mistake in job, profile or name, before anything starts; for one in the
            data, before a trial starts; and at the first epoch if the metric is not reported.
        TakenError: if another run is active; with ``on_overlap="skip"`` a SkippedError.
        StorageError: if the end cannot be written.
    """
    profile, began = profile or Profile(), time.time()
    deadline = deadline_after(max_hours)
    check_whole_number("extend", extend, 0)
    how = Continuation(
        resume=resume or slot is not None,
        extend=extend,
        warm_start=warm_start,
        defaults=defaults or {},
        allow_changed=allow_changed,
        allow_repeats=allow_repeats,
    )
    _check_arguments(job, how, slot=slot, on_overlap=on_overlap, track=track)
    check_ray()
    check_fits(profile)
    target = _find_target(job, profile, name, slot, time_zone, command or {})
    if ended := _find_ended(target):
        return ended
    check_name(target.folder, how)
    if track and isinstance(job, Job):
        make_trackers(track, folder=target.folder, goal=job.goal)  # mistakes show here
    with interruptible() as interruption, _quiet_tune(), ExitStack() as stack:
        lease = _hold(stack, target, on_overlap, deadline)
        if ended := _find_ended(target):  # by the run that was waited for
            return ended
        check_name(target.folder, how)  # another run may have come and gone meanwhile
        ray = ray_of(profile, import_paths, _find_preload(job))
        dataset = _start_ray(stack, ray, profile, interruption, job)
        started = Run(
            profile=profile,
            folder=target.folder,
            timing=Timing(began, deadline, spent=_seconds_spent(target.folder)),
            lease=lease,
            interruption=interruption,
            listeners=_all_listeners(job, listeners, lease),
            track=track,
        )
        if not isinstance(job, Job):
            return started.run_tuner(job)
        setup = Setup(job, profile, target.folder, dataset, command or {}, target.slot)
        return started.run_job(setup, how)


@dataclass(frozen=True)
class Target:
    """What a run writes to.

    Attributes:
        folder: the experiment's.
        series: the folder of the series that it is one of, None without a schedule.
        slot: the slot that it is for, None without a schedule.
    """

    folder: Folder
    series: Folder | None = None
    slot: Slot | None = None


def _check_arguments(
    job: Job | MakeTuner,
    how: Continuation,
    *,
    slot: str | None,
    on_overlap: Overlap,
    track: Sequence[str],
) -> None:
    """Refuse arguments that contradict each other.

    Raises:
        JobError: naming them.
    """
    if slot is not None and how.extend:
        raise JobError(
            "--extend does not go with --slot: every start would extend again; set num_samples"
        )
    if on_overlap not in OVERLAPS:
        raise JobError(f"on_overlap must be one of {', '.join(OVERLAPS)}, got {on_overlap!r}")
    if isinstance(job, Job):
        return
    if how.is_wanted:
        raise JobError(
            "a job that builds its own tuner cannot be continued; use ray.tune.Tuner.restore"
        )
    if track:
        raise JobError(
            "--track does not apply: a job that builds its own tuner sets its own callbacks"
        )


def _find_target(
    job: Job | MakeTuner,
    profile: Profile,
    name: str | None,
    slot: str | None,
    time_zone: str,
    command: Mapping[str, object],
) -> Target:
    """Find the experiment that a run writes to.

    Raises:
        JobError: if the name or the slot is not valid.
    """
    module = job.trainable.__module__ if isinstance(job, Job) else job.__module__
    scheduled = schedule(job, slot, time_zone, str(command.get("job") or module))
    if scheduled is None:
        return Target(locate(profile, fill_name(name or default_name(module), None)))
    template = name or "{job}-{slot}"
    folder = locate(profile, fill_name(template, scheduled))
    return Target(folder, folder_of(template, scheduled.job, profile.storage), scheduled)


def _find_ended(target: Target) -> Experiment | None:
    """Return the run of the same slot and content, if it has finished: nothing is left to do."""
    experiment = Experiment(target.folder)
    summary = experiment.summary
    if target.slot is None or summary is None or not experiment.is_final:
        return None
    before = experiment.description.slot
    if before is None or before.content != target.slot.content:
        return None
    ago = duration(None if summary.ended is None else time.time() - summary.ended)
    logger.warning(f"nothing to do: {experiment.name} finished {ago} ago")
    return experiment


def _start_ray(
    stack: ExitStack,
    ray: AbstractContextManager[None],
    profile: Profile,
    interruption: Interruption,
    job: Job | MakeTuner,
) -> Dataset | None:
    """Start or join Ray, and read the data meanwhile."""
    reading = _in_background(job.load_data) if isinstance(job, Job) else None
    stack.enter_context(ray)
    interruption.listen()
    _examine(profile)
    if reading is None or not isinstance(job, Job):
        return None
    dataset = reading.result()
    for warning in (*job.warnings, *(dataset.warnings if dataset else ())):
        logger.warning(warning)
    return dataset


def _seconds_spent(folder: Folder) -> float:
    """Return the workers' seconds in earlier runs of the experiment."""
    summary = Experiment(folder).summary
    return (summary.worker_seconds if summary else None) or 0.0


def _hold(stack: ExitStack, target: Target, on_overlap: Overlap, deadline: Deadline) -> Lease:
    """Hold the experiment and its series, so that no other slot's run is active.

    Raises:
        TakenError: if another run holds one of them, until the deadline if this one waits.
    """
    waits, held = on_overlap == "wait", None
    try:
        if target.series is not None:
            held = stack.enter_context(leased(target.series, waits=waits, deadline=deadline))
            held.say(writes=target.folder.uri)
        lease = stack.enter_context(leased(target.folder, waits=waits, deadline=deadline))
        lease.within = held
        return lease
    except TakenError as taken:
        if on_overlap == "skip":
            raise SkippedError(str(taken).split("; ")[0]) from None
        raise


def _in_background(function: Callable[[], Result]) -> Future[Result]:
    """Call a function in a thread that nobody has to wait for."""
    future: Future[Result] = Future()

    def call() -> None:
        try:
            future.set_result(function())
        except BaseException as error:  # noqa: BLE001  # whoever asks for the result gets it
            future.set_exception(error)

    threading.Thread(target=call, daemon=True).start()
    return future


def _examine(profile: Profile) -> None:
    """Check a cluster's nodes and storage before a trial uses them.

    Raises:
        JobError: for a fault that would make the run fail.
    """
    if profile.address == "local":
        return
    from tune_jobs.engine.cluster.doctor import examine, refuse

    for check in refuse(examine(profile)):
        if check.state == "warning":
            logger.warning(check.text)


def _find_preload(job: Job | MakeTuner) -> str | None:
    """Name the function ``preload`` beside a job's trainable, which workers call at start."""
    module = sys.modules.get(job.trainable.__module__) if isinstance(job, Job) else None
    if module is None or module.__name__ == "__main__" or not hasattr(module, "preload"):
        return None
    return f"{module.__name__}.preload"


def _all_listeners(
    job: Job | MakeTuner, given: Sequence[Listener] | None, lease: Lease
) -> list[Listener]:
    """Add the run's own listeners to those given; if none are, a job gets a view of its trials."""
    if not isinstance(job, Job):
        return list(given or ())
    if given is None:
        given = [choose_view(job.num_trials, job.max_epochs, job.goal)]
    board = Board(job.num_trials, job.max_epochs, job.goal)
    return [*given, Pulse(lease, board), FallbackWarning()]


@contextmanager
def _quiet_tune() -> Iterator[None]:
    """Silence what Tune prints and logs during a block."""
    loggers = [logging.getLogger(name) for name in CHATTY]
    levels = [chatty.level for chatty in loggers]
    for chatty in loggers:
        chatty.setLevel(logging.CRITICAL)
    try:
        with environment(TUNE_SETTINGS):
            yield
    finally:
        for chatty, level in zip(loggers, levels, strict=True):
            chatty.setLevel(level)
