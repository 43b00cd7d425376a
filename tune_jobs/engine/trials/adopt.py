"""A tuner that a module builds itself, with a history like any job's."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

import ray

from tune_jobs.engine.cluster.concurrency import find_concurrency
from tune_jobs.engine.deadline import NO_DEADLINE, Deadline
from tune_jobs.engine.errors import JobError
from tune_jobs.engine.experiments.history.records import Listener
from tune_jobs.engine.goal import Goal
from tune_jobs.engine.job.describing import add_provenance, describe_search
from tune_jobs.engine.job.job import MakeTuner
from tune_jobs.engine.job.profile import Profile
from tune_jobs.engine.ray_internals import settings_of
from tune_jobs.engine.search.schedulers import changes_configs
from tune_jobs.engine.storage.folder import Folder
from tune_jobs.engine.trials.stopping import RunStopper
from tune_jobs.engine.trials.tuner import Prepared, begin

logger = logging.getLogger(__name__)


def adopt(
    make_tuner: MakeTuner,
    profile: Profile,
    folder: Folder,
    *,
    listeners: Sequence[Listener] = (),
    deadline: Deadline = NO_DEADLINE,
) -> Prepared:
    """Let a tuner that a module builds itself write a history like any job's.

    Raises:
        JobError: if the tuner has no metric or no mode.
    """
    tuner = make_tuner(profile, folder.name)
    settings = settings_of(tuner)
    wanted, run_config = settings.tune_config, settings.run_config
    if wanted.metric is None or wanted.mode is None:
        raise JobError(
            f"{make_tuner.__module__}.tuner() must set metric and mode in its TuneConfig"
        )
    if changes_configs(wanted.scheduler):
        logger.warning(
            "%s changes configs while trials train: the history holds those they start with",
            type(wanted.scheduler).__name__,
        )
    described = describe_search(
        f"{make_tuner.__module__}.tuner",
        Goal(wanted.metric, wanted.mode),
        max_epochs=sys.maxsize,  # its epochs have no limit that is known
        space=settings.space,
    )
    stopper = RunStopper(wanted.metric, folder, deadline, profile.min_free_gb)
    recorder = begin(
        profile,
        folder,
        add_provenance(described, profile),
        target=wanted.num_samples or 1,
        listeners=listeners,
        stopper=stopper,
    )
    run_config.callbacks = [*(run_config.callbacks or []), recorder]
    run_config.stop = stopper if run_config.stop is None else run_config.stop
    concurrency = find_concurrency(profile) if ray.is_initialized() else 1
    return Prepared(tuner, folder, recorder, stopper, concurrency, is_adopted=True)
