"""A tuner that a module builds itself, with a history like any job's."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import ray

from tune_jobs.engine.cluster.concurrency import find_concurrency
from tune_jobs.engine.deadline import NO_DEADLINE, Deadline
from tune_jobs.engine.errors import JobError
from tune_jobs.engine.experiments.history.records import Listener
from tune_jobs.engine.job.describing import add_provenance
from tune_jobs.engine.job.description import Description
from tune_jobs.engine.job.job import MakeTuner
from tune_jobs.engine.job.profile import Profile
from tune_jobs.engine.ray_internals import TunerSettings, settings_of
from tune_jobs.engine.space.domains import describe
from tune_jobs.engine.storage.folder import Folder
from tune_jobs.engine.trials.tuner import Prepared, begin


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
    recorder = begin(
        profile,
        folder,
        add_provenance(_describe_tuner(make_tuner, settings), profile),
        target=wanted.num_samples or 1,
        listeners=listeners,
        deadline=deadline,
    )
    run_config.callbacks = [*(run_config.callbacks or []), recorder]
    run_config.stop = recorder.stopper if run_config.stop is None else run_config.stop
    concurrency = find_concurrency(profile) if ray.is_initialized() else 1
    return Prepared(tuner, folder, recorder, concurrency)


def _describe_tuner(make_tuner: MakeTuner, settings: TunerSettings) -> Description:
    """Describe what a tuner says of itself; its epochs have no limit that is known."""
    return Description(
        trainable=f"{make_tuner.__module__}.tuner",
        metric=settings.tune_config.metric,
        mode=settings.tune_config.mode,
        max_epochs=sys.maxsize,
        space=describe(settings.space),
        commit=None,
        constants={},
        fingerprint=None,
        preprocessing=None,
        resources={},
        started=None,
        machine=None,
        versions={},
        slot=None,
    )
