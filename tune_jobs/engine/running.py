"""Run a job from beginning to end: search, best model, test score, summary."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from tune_jobs.engine.concurrency import check_fits
from tune_jobs.engine.continuing import Continuation, check_name
from tune_jobs.engine.errors import JobError, check_whole_number
from tune_jobs.engine.experiment import Experiment
from tune_jobs.engine.job import Job
from tune_jobs.engine.joining import ray_of
from tune_jobs.engine.lease import leased
from tune_jobs.engine.machine import environment
from tune_jobs.engine.profile import Profile
from tune_jobs.engine.recorder import Listener

if TYPE_CHECKING:
    from ray import tune

    from tune_jobs.engine.dataset import Dataset

logger = logging.getLogger(__name__)

MakeTuner = Callable[[Profile, str], "tune.Tuner"]

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
    max_hours: float | None = None,
    resume: bool = False,
    extend: int = 0,
    warm_start: Sequence[str] = (),
    defaults: Mapping[str, Any] | None = None,
    allow_changed: bool = False,
    repeats: bool = False,
    track: Sequence[str] = (),
    command: Mapping[str, Any] | None = None,
    listeners: Sequence[Listener] | None = None,
    import_paths: Sequence[str] = (),
) -> Experiment:
    """Search, export the best model, score it once on the test part, and summarise.

    Args:
        job: what to search; or a function of profile and name that returns a ``ray.tune.Tuner``.
        profile: where; the default is this machine and the folder ``results``.
        name: the experiment's folder; the default is the trainable's name and the time.
        max_hours: after so long the search ends, and what it has found is kept.
        resume: go on with the experiment if it exists, else begin it.
        extend: run so many trials more than the experiment has.
        warm_start: results that the searcher learns from first: experiments, tables, KerasTuner
            projects, Optuna databases (:mod:`~tune_jobs.engine.warm_start`).
        defaults: values, by dotted name, of hyperparameters that earlier trials did not have.
        allow_changed: go on although data or code are others than before.
        repeats: train a config again that was trained.
        track: who is told of each epoch besides (:mod:`~tune_jobs.engine.tracking`).
        command: what was asked for, so that it can be asked for again.
        listeners: called with ``{"kind": "start"}``, with each record of the history as it is made,
            with None in between, and with ``{"kind": "finish"}``; the default is a live view.
        import_paths: folders that the workers import from, beside those of this process.

    Raises:
        JobError: for a mistake in job, profile or name, before anything is started; for one in the
            data, before a trial is; and at the first epoch for a metric that is not reported.
        StorageError: where the end cannot be written.
    """
    from tune_jobs.engine.course import Course
    from tune_jobs.engine.tracking import make_trackers
    from tune_jobs.engine.tuner import default_name, load_data, locate

    profile, began = profile or Profile(), time.time()
    check_whole_number("extend", extend, 0)
    how = Continuation(resume, extend, warm_start, defaults or {}, allow_changed, repeats)
    if max_hours is not None and not max_hours > 0:
        raise JobError(f"max_hours is {max_hours}, but must be above 0")
    if how.is_wanted and not isinstance(job, Job):
        raise JobError("a job that builds its own tuner cannot go on; use ray.tune.Tuner.restore")
    if track and not isinstance(job, Job):
        raise JobError("a job that builds its own tuner has callbacks of its own; track there")
    if listeners is None:
        listeners = _default_listeners(job)
    check_fits(profile)
    module = job.trainable.__module__ if isinstance(job, Job) else job.__module__
    folder = locate(profile, name or default_name(module))
    check_name(folder, how)
    if track and isinstance(job, Job):
        make_trackers(track, folder=folder, metric=job.metric, mode=job.mode)  # mistakes show here
    # The data are read while Ray and its workers start.
    with (
        leased(folder) as lease,
        _quiet_tune(),
        ThreadPoolExecutor(1) as pool,
        ExitStack() as stack,
    ):
        check_name(folder, how)  # another run may have come and gone meanwhile
        reading = pool.submit(load_data, job) if isinstance(job, Job) else None
        stack.enter_context(ray_of(profile, import_paths, _find_preload(job)))
        _examine(profile)
        dataset = reading.result() if reading else None
        _warn(job, dataset)
        course = Course(
            job, profile, folder, dataset, lease, listeners, track, max_hours, began, command or {}
        )
        return course.run(how)


def _examine(profile: Profile) -> None:
    """Look at a cluster's nodes and storage before a trial does.

    Raises:
        JobError: for what would make the run fail.
    """
    if profile.address == "local":
        return
    from tune_jobs.engine.doctor import examine, refuse

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
    from tune_jobs.engine.progress import choose_view

    if isinstance(job, Job):
        return [choose_view(job.num_trials, job.max_epochs, job.metric, job.mode)]
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
