"""Run a job from beginning to end: search, best model, test score, summary."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Literal, get_args

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
from tune_jobs.engine.job.profile import Profile
from tune_jobs.engine.ray_internals import check_ray
from tune_jobs.engine.recurring.series import fill_name, folder_of, schedule
from tune_jobs.engine.resume.continuation import Continuation, check_name
from tune_jobs.engine.storage.folder import Folder
from tune_jobs.engine.trials.interruption import interruptible
from tune_jobs.engine.views.board import Board
from tune_jobs.engine.views.fallback import FallbackWarning
from tune_jobs.engine.views.live import choose_view
from tune_jobs.engine.views.pulse import Pulse

if TYPE_CHECKING:
    from tune_jobs.engine.data.dataset import Dataset

logger = logging.getLogger(__name__)

# What a run does that finds another one at work.
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
    defaults: Mapping[str, Any] | None = None,
    allow_changed: bool = False,
    allow_repeats: bool = False,
    track: Sequence[str] = (),
    command: Mapping[str, Any] | None = None,
    listeners: Sequence[Listener] | None = None,
    import_paths: Sequence[str] = (),
) -> Experiment:
    """Search, export the best model, score it once on the test part, and summarise.

    Args:
        job: what to search; or a function of profile and name that returns a ``ray.tune.Tuner``.
        profile: where; the default is this machine and the folder ``results``.
        name: the experiment's folder; the default is the trainable's name and the time. With a slot
            it has the place ``{slot}``, and may have ``{job}`` and ``{hash}``.
        slot: the schedule that the run is one of (:mod:`~.recurring.slots`): it goes on with
            what was begun in the same slot, or reports that, and no two of a series run at once.
        time_zone: of the slot.
        on_overlap: whether to fail, to do nothing or to wait where another run is at work.
        max_hours: the run ends after this many hours and keeps what it has found; if finals follow,
            the search ends after three quarters of them.
        resume: go on with the experiment if it exists, else begin it.
        extend: run so many trials more than the experiment has.
        warm_start: results that the searcher learns from first: experiments, tables, KerasTuner
            projects, Optuna databases (:mod:`~tune_jobs.engine.resume.warm_start`).
        defaults: values, by dotted name, of hyperparameters that earlier trials did not have.
        allow_changed: go on although data or code are others than before.
        allow_repeats: train a config again that was trained.
        track: who is told of each epoch besides (:mod:`~tune_jobs.engine.views.tracking`).
        command: what was asked for, so that it can be asked for again.
        listeners: called with each record of the history as it is written, with the start, each
            new value of a trial and the end of the search and of its finals, and with None in
            between (:mod:`~tune_jobs.engine.experiments.history.records`); the default is a live
            view.
        import_paths: folders that the workers import from, beside those of this process.

    Raises:
        JobError: for a mistake in job, profile or name, before anything is started; for one in the
            data, before a trial is; and at the first epoch for a metric that is not reported.
        TakenError: where another run is at work; with ``on_overlap="skip"`` a SkippedError.
        StorageError: where the end cannot be written.
    """
    from tune_jobs.engine.job.profile import locate
    from tune_jobs.engine.names import default_name
    from tune_jobs.engine.runs.phases import Run
    from tune_jobs.engine.views.tracking import make_trackers

    profile, began = profile or Profile(), time.time()
    check_whole_number("extend", extend, 0)
    is_resumed = resume or slot is not None
    how = Continuation(is_resumed, extend, warm_start, defaults or {}, allow_changed, allow_repeats)
    deadline = deadline_after(max_hours, began)
    if how.is_wanted and not isinstance(job, Job):
        raise JobError(
            "a job that builds its own tuner cannot be continued; use ray.tune.Tuner.restore"
        )
    if slot is not None and extend:
        raise JobError(
            "--extend does not go with --slot: every start would extend again; set num_samples"
        )
    if on_overlap not in OVERLAPS:
        raise JobError(f"on_overlap is {on_overlap!r}, but must be one of {', '.join(OVERLAPS)}")
    if track and not isinstance(job, Job):
        raise JobError(
            "--track does not apply: a job that builds its own tuner sets its own callbacks"
        )
    if listeners is None:
        listeners = _default_listeners(job)
    check_ray()
    check_fits(profile)
    module = job.trainable.__module__ if isinstance(job, Job) else job.__module__
    scheduled = schedule(job, slot, time_zone, str((command or {}).get("job") or module))
    template = name or ("{job}-{slot}" if scheduled else default_name(module))
    folder = locate(profile, fill_name(template, scheduled))
    if ended := _find_ended(folder, scheduled):
        return ended
    check_name(folder, how)
    if track and isinstance(job, Job):
        make_trackers(track, folder=folder, goal=job.goal)  # mistakes show here
    series = folder_of(template, scheduled.job, profile.storage) if scheduled else None
    # The data are read while Ray and its workers start.
    with interruptible() as interruption, _quiet_tune(), ExitStack() as stack:
        lease = _hold(stack, folder, series, on_overlap, deadline)
        if ended := _find_ended(folder, scheduled):  # by the run that was waited for
            return ended
        check_name(folder, how)  # another run may have come and gone meanwhile
        reading = _in_background(job.load_data) if isinstance(job, Job) else None
        stack.enter_context(ray_of(profile, import_paths, _find_preload(job)))
        interruption.listen()
        _examine(profile)
        dataset = reading.result() if reading else None
        _warn(job, dataset)
        if isinstance(job, Job):
            board = Board(job.num_trials, job.max_epochs, job.goal)
            listeners = [*listeners, Pulse(lease, board), FallbackWarning()]
        phases = Run(
            *(job, profile, folder, dataset, lease, listeners, track, began, deadline),
            *(command or {}, interruption, scheduled),
            spent=_seconds_spent(folder),
        )
        return phases.run(how)


def _find_ended(folder: Folder, scheduled: Slot | None) -> Experiment | None:
    """The run of the same slot and content, if it has come to its end: there is nothing to do."""
    experiment = Experiment(folder)
    summary = experiment.summary
    if scheduled is None or summary is None or not experiment.is_final:
        return None
    before = experiment.description.slot
    if before is None or before.content != scheduled.content:
        return None
    ago = duration(None if summary.ended is None else time.time() - summary.ended)
    logger.warning(f"nothing to do: {experiment.name} finished {ago} ago")
    return experiment


def _seconds_spent(folder: Folder) -> float:
    """Return the workers' seconds in earlier runs of the experiment."""
    summary = Experiment(folder).summary
    return (summary.worker_seconds if summary else None) or 0.0


def _hold(
    stack: ExitStack,
    folder: Folder,
    series: Folder | None,
    on_overlap: Overlap,
    deadline: Deadline,
) -> Lease:
    """Hold the series, so that no other slot's run is at work, and the experiment.

    Raises:
        TakenError: where another run does, and goes on doing so.
    """
    waits, held = on_overlap == "wait", None
    try:
        if series is not None:
            held = stack.enter_context(leased(series, waits=waits, deadline=deadline))
            held.say(writes=folder.uri)
        lease = stack.enter_context(leased(folder, waits=waits, deadline=deadline))
        lease.within = held
        return lease
    except TakenError as taken:
        if on_overlap == "skip":
            raise SkippedError(str(taken).split("; ")[0]) from None
        raise


def _in_background(function: Callable[..., Any], *arguments: Any) -> Future[Any]:
    """Call a function in a thread that nobody has to wait for."""
    future: Future[Any] = Future()

    def call() -> None:
        try:
            future.set_result(function(*arguments))
        except BaseException as error:  # noqa: BLE001  # whoever asks for the result gets it
            future.set_exception(error)

    threading.Thread(target=call, daemon=True).start()
    return future


def _examine(profile: Profile) -> None:
    """Look at a cluster's nodes and storage before a trial does.

    Raises:
        JobError: for what would make the run fail.
    """
    if profile.address == "local":
        return
    from tune_jobs.engine.cluster.doctor import examine, refuse

    for check in refuse(examine(profile)):
        if check.state == "warning":
            logger.warning(check.text)


def _find_preload(job: Job | MakeTuner) -> str | None:
    """The function ``preload`` beside a job's trainable, which workers call when they start."""
    module = sys.modules.get(job.trainable.__module__) if isinstance(job, Job) else None
    if module is None or module.__name__ == "__main__" or not hasattr(module, "preload"):
        return None
    return f"{module.__name__}.preload"


def _default_listeners(job: Job | MakeTuner) -> list[Listener]:
    if isinstance(job, Job):
        return [choose_view(job.num_trials, job.max_epochs, job.goal)]
    return []


def _warn(job: Job | MakeTuner, dataset: Dataset | None) -> None:
    for warning in job.warnings if isinstance(job, Job) else ():
        logger.warning(warning)
    for warning in dataset.warnings if dataset else ():
        logger.warning(warning)


@contextmanager
def _quiet_tune() -> Iterator[None]:
    """Silence what Tune prints and logs, and leave settings and loggers as they were."""
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
