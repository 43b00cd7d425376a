"""Start Ray for a run, quietly, while its data are read."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from tune_jobs.engine.background import in_background
from tune_jobs.engine.cluster.local_ray import kill_local
from tune_jobs.engine.cluster.watchdog import watched
from tune_jobs.engine.environment import environment
from tune_jobs.engine.errors import ClusterError
from tune_jobs.engine.job.companions import INSTALLED, LIBRARY, is_fitted_by_library, is_ours
from tune_jobs.engine.job.job import Job, MakeTuner
from tune_jobs.engine.job.modules import root_of
from tune_jobs.engine.job.profile import Profile
from tune_jobs.engine.runs.ends import Ends
from tune_jobs.engine.runs.rehearsal import refuse_unreported
from tune_jobs.engine.trials.interruption import Interruption
from tune_jobs.engine.trials.warm_workers import start_workers

if TYPE_CHECKING:
    from tune_jobs.engine.data.dataset import Dataset
    from tune_jobs.engine.data.own_data import OwnData

logger = logging.getLogger(__name__)

# Ray's screen output, loggers and signal handling give way to the history and its listeners.
TUNE_SETTINGS = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_COLOR_PREFIX": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
}
PRELOAD = f"{LIBRARY}.preload.preload"
CHATTY = ("ray", "ray.tune", "hyperopt")


def start_ray(
    stack: Ends,
    ray: AbstractContextManager[None],
    profile: Profile,
    interruption: Interruption,
    job: Job | MakeTuner,
    name: str,
) -> Dataset | OwnData | None:
    """Start or join Ray and the workers, and read the data meanwhile.

    Args:
        stack: Ray ends with it; it ends the process if Ray dies and the run hangs.
        ray: starts or joins it.
        profile: the machines.
        interruption: breaks the run off if Ray dies.
        job: what is searched.
        name: the experiment's.
    """
    reading = in_background(partial(_load_data, job)) if isinstance(job, Job) else None
    stack.enter_context(ray)
    interruption.listen()
    stack.enter_context(
        watched(
            lambda died: interruption.break_off(_lost(died, name)),
            lambda died: stack.end_process(_lost(died, name), kill_local),
        )
    )
    if isinstance(job, Job):
        start_workers(profile, job.num_trials)
    _examine(profile)
    if reading is None or not isinstance(job, Job):
        return None
    data = reading.result()
    for warning in (*job.warnings, *(data.warnings if data else ())):
        logger.warning(warning)
    return data


def _load_data(job: Job) -> Dataset | OwnData | None:
    """Read the data of a job, and refuse a metric that its model would not report."""
    data = job.load_data()
    refuse_unreported(job, data)
    return data


def _lost(died: str, name: str) -> ClusterError:
    """Return what a run says whose Ray has died."""
    return ClusterError(
        f"Ray's {died} has ended, so the run cannot continue; results so far are kept, continue "
        f"them later with --name {name} --resume"
    )


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


def find_preload(job: Job | MakeTuner) -> str | None:
    """Name the function ``preload`` beside a job's trainable, which workers call at start."""
    module = sys.modules.get(job.trainable.__module__) if isinstance(job, Job) else None
    if isinstance(job, Job) and callable(own := getattr(job.trainable, "preload", None)):
        return f"{own.__module__}.{own.__name__}"
    if module is None or not hasattr(module, "preload"):
        return PRELOAD if module is not None and is_fitted_by_library(module) else None
    # Workers cannot import a script or a notebook, but what it imports.
    is_main = module.__name__ == "__main__"
    place = module.preload.__module__ if is_main else module.__name__
    return None if place == "__main__" else f"{place}.preload"


def import_roots(job: Job | Callable[..., Any]) -> list[str]:
    """Return the folder that the module of a job's trainable was imported from, for the workers.

    A function stands for itself.

    That is the folder beside a script or a notebook, or around a package. What is installed is
    found without.
    """
    function = job.trainable if isinstance(job, Job) else job
    module = sys.modules.get(function.__module__)
    root = None if module is None or is_ours(module.__name__) else root_of(module)
    return [] if root is None or root.name in INSTALLED else [str(root)]


@contextmanager
def quiet_tune() -> Iterator[None]:
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
