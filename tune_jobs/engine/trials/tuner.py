"""Job, profile and data as a plain ``ray.tune.Tuner``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import ray
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler

from tune_jobs.engine.cluster.concurrency import find_concurrency
from tune_jobs.engine.cluster.connection import connect
from tune_jobs.engine.deadline import NO_DEADLINE, Deadline
from tune_jobs.engine.errors import JobError
from tune_jobs.engine.experiments.failures import as_report
from tune_jobs.engine.experiments.files import (
    DESCRIPTION,
    EPOCHS_TABLE,
    SUMMARY,
    TRIALS,
    TRIALS_TABLE,
)
from tune_jobs.engine.experiments.history.records import (
    Attempt,
    ImportedResult,
    Listener,
    StageStart,
)
from tune_jobs.engine.experiments.history.segments import SegmentWriter
from tune_jobs.engine.goal import Goal
from tune_jobs.engine.job.declaration import add_provenance, constants, describe_job
from tune_jobs.engine.job.description import Description
from tune_jobs.engine.job.job import MakeTuner
from tune_jobs.engine.job.profile import Profile, locate
from tune_jobs.engine.names import default_name
from tune_jobs.engine.ray_internals import settings_of
from tune_jobs.engine.resume.continuation import Continuation, check_name
from tune_jobs.engine.resume.replay import check_replayable, replay
from tune_jobs.engine.search.searchers import FlatSpaceAdapter, SpaceSearcher
from tune_jobs.engine.seeds import derive
from tune_jobs.engine.space.domains import describe, distinct
from tune_jobs.engine.space.membership import from_json
from tune_jobs.engine.storage.folder import Folder
from tune_jobs.engine.trials.checkpoint_limit import CheckpointLimit
from tune_jobs.engine.trials.recorder import Recorder
from tune_jobs.engine.trials.source import TrialSource
from tune_jobs.engine.trials.stopping import GIB, RunStopper

if TYPE_CHECKING:
    from tune_jobs.engine.data.dataset import Dataset
    from tune_jobs.engine.job.job import Job


@dataclass(frozen=True)
class Prepared:
    """A tuner that is ready to fit, and what was made for it."""

    tuner: tune.Tuner
    folder: Folder
    recorder: Recorder
    concurrency: int
    search: TrialSource | None = None


def tuner_of(job: Job, profile: Profile, name: str | None) -> tune.Tuner:
    """Build a job's tuner for a new experiment, its history written to the profile's storage.

    Raises:
        JobError: if the name is taken, or not one trial fits.
    """
    dataset = job.load_data()
    folder = locate(profile, name or default_name(job.trainable.__module__))
    check_name(folder, Continuation())
    folder.create()
    return prepare(job, profile, folder, dataset).tuner


def prepare(
    job: Job,
    profile: Profile,
    folder: Folder,
    dataset: Dataset | None,
    listeners: Sequence[Listener] = (),
    deadline: Deadline = NO_DEADLINE,
    how: Continuation | None = None,
    more: Mapping[str, Any] | None = None,
    entering: StageStart | None = None,
    trackers: Sequence[tune.Callback] = (),
) -> Prepared:
    """Describe the run in the experiment's folder, with ``more`` beside it, and build the tuner.

    Raises:
        JobError: where not one trial fits, or the scheduler cannot go on.
    """
    how = how or Continuation()
    if not ray.is_initialized():
        connect(profile, [])
    concurrency = find_concurrency(profile)
    scheduler = job.scheduler(job.max_epochs) if job.scheduler else FIFOScheduler()
    searcher = _searcher(job, how.past.asked)
    if how.past.trials:
        check_replayable(scheduler)
    if how.past.trials or how.imported or job.points_to_evaluate:
        searcher.check_learns()
    target = how.target or job.num_trials
    about = replace(describe_job(job, profile, dataset), **(more or {}))
    recorder = begin(
        profile,
        folder,
        job.goal,
        about,
        target,
        listeners,
        deadline,
        lambda: replay(scheduler, how.past.trials, job.metric),
    )
    if entering is not None:
        recorder.append(entering)
    for result, source in how.imported:
        recorder.append(ImportedResult(result.config, result.score, source, how.past.asked))
    search = TrialSource(
        searcher,
        job.space,
        folder,
        past=replace(how.past, results=[*how.past.results, *(each for each, _ in how.imported)]),
        points=[from_json(job.space, point) for point in job.points_to_evaluate],
        num_trials=target,
        concurrency=concurrency,
        allow_repeats=how.allow_repeats,
        seed=derive(job.seed, "draws"),
        recorder=recorder,
    )
    attempt = recorder.attempt
    tuner = tune.Tuner(
        tune.with_resources(_trainable(job, dataset), profile.resources),
        param_space=distinct(job.space),
        tune_config=tune.TuneConfig(
            metric=job.metric,
            mode=job.mode,
            search_alg=search,
            scheduler=scheduler,
            num_samples=max(search.total_samples, 1),
            reuse_actors=True,
            trial_dirname_creator=lambda trial: trial_folder(trial, attempt),
        ),
        run_config=run_config(job, profile, folder, recorder, trackers),
    )
    return Prepared(tuner, folder, recorder, concurrency, search)


def adopt(
    make_tuner: MakeTuner,
    profile: Profile,
    folder: Folder,
    listeners: Sequence[Listener] = (),
    deadline: Deadline = NO_DEADLINE,
) -> Prepared:
    """Let a tuner that somebody else built write a history like any job's.

    Raises:
        JobError: for a tuner without metric and mode.
    """
    tuner = make_tuner(profile, folder.name)
    settings = settings_of(tuner)
    wanted, run_config = settings.tune_config, settings.run_config
    if wanted.metric is None or wanted.mode is None:
        raise JobError(
            f"{make_tuner.__module__}.tuner() must set metric and mode in its TuneConfig"
        )
    goal = Goal(wanted.metric, wanted.mode)
    about = Description(
        trainable=f"{make_tuner.__module__}.tuner",
        metric=goal.metric,
        mode=goal.mode,
        max_epochs=sys.maxsize,
        space=describe(settings.space),
        commit=None,
        constants={},
        fingerprint=None,
        preprocessing=None,
        resources=profile.resources,
        started=None,
        machine=None,
        versions={},
        slot=None,
    )
    about = add_provenance(about, profile)
    target = wanted.num_samples or 1
    recorder = begin(profile, folder, goal, about, target, listeners, deadline)
    run_config.callbacks = [*(run_config.callbacks or []), recorder]
    run_config.stop = recorder.stopper if run_config.stop is None else run_config.stop
    concurrency = find_concurrency(profile) if ray.is_initialized() else 1
    return Prepared(tuner, folder, recorder, concurrency)


def begin(
    profile: Profile,
    folder: Folder,
    goal: Goal,
    about: Description,
    target: int,
    listeners: Sequence[Listener],
    deadline: Deadline,
    before: Callable[[], None] | None = None,
) -> Recorder:
    """Open the history for one more attempt, and say what is attempted.

    Raises:
        JobError: where storage has too little space left.
    """
    stopper = RunStopper(goal.metric, folder, deadline, profile.min_free_gb)
    if lacking := stopper.free_space_lacking():
        raise JobError(lacking)
    most = profile.max_checkpoint_gb
    recorder = Recorder(
        folder,
        SegmentWriter(folder),
        about.max_epochs or sys.maxsize,
        listeners,
        stopper,
        CheckpointLimit(folder, goal, None if most is None else most * GIB),
        60 * profile.max_silence_minutes,
        before,
    )
    # What these say is about to be outdated.
    for name in (SUMMARY, TRIALS_TABLE, EPOCHS_TABLE):
        folder.delete(name)
    described = about.to_json()
    folder.write_json(DESCRIPTION, described)
    recorder.append(Attempt(described, target))
    recorder.flush()
    return recorder


def _trainable(job: Job, dataset: Dataset | None) -> Any:
    """What Ray calls in a worker; the arrays go once to each node's object store."""
    return tune.with_parameters(
        fit_trial,
        train=job.trainable,
        fixed=constants(job, dataset),
        data=dataset.training if dataset else None,
    )


def fit_trial(config: dict[str, Any], *, train: Any, fixed: dict[str, Any], data: Any) -> None:
    """Fit, and report an exception instead of raising it: the worker stays warm for the next."""
    try:
        train({**config, **fixed}, data)
    except Exception as error:  # noqa: BLE001  # the history has to know of any
        tune.report(as_report(error))


def trial_folder(trial: Trial, attempt: int) -> str:
    """A folder of its own for each attempt: Tune numbers checkpoints from 0 again."""
    return str(trial.trial_id) if attempt == 1 else f"{trial.trial_id}-{attempt}"


def _searcher(job: Job, asked: int) -> SpaceSearcher:
    """The job's searcher; one of Ray's own gets another seed for each time a search goes on."""
    searcher = job.searcher(derive(job.seed, "searcher"))
    if isinstance(searcher, SpaceSearcher):
        return searcher
    if asked:
        searcher = job.searcher(derive(job.seed, f"searcher after {asked}"))
    return FlatSpaceAdapter(searcher)


def run_config(
    job: Job,
    profile: Profile,
    folder: Folder,
    recorder: Recorder,
    trackers: Sequence[tune.Callback] = (),
) -> tune.RunConfig:
    """Where Tune writes, who listens, and which checkpoints stay."""
    return tune.RunConfig(
        name=TRIALS,
        storage_path=folder.path,
        storage_filesystem=folder.filesystem,
        callbacks=[recorder, *trackers],
        stop=recorder.stopper,
        failure_config=tune.FailureConfig(max_failures=profile.max_failures),
        checkpoint_config=tune.CheckpointConfig(
            num_to_keep=1,  # the best, and the latest
            checkpoint_score_attribute=job.metric,
            checkpoint_score_order=job.mode,
        ),
        verbose=0,
    )
