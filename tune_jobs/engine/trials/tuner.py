"""Job, profile and data as a plain ``ray.tune.Tuner``."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import ray
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import SearchAlgorithm

from tune_jobs.engine.cluster.concurrency import find_concurrency
from tune_jobs.engine.cluster.connection import connect
from tune_jobs.engine.deadline import NO_DEADLINE, Deadline
from tune_jobs.engine.errors import JobError
from tune_jobs.engine.experiments.experiment import Experiment
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
from tune_jobs.engine.experiments.identity import draw_id
from tune_jobs.engine.job.companions import belongs_to_library, beside
from tune_jobs.engine.job.describing import describe_job
from tune_jobs.engine.job.description import Description
from tune_jobs.engine.job.profile import Profile, locate
from tune_jobs.engine.job.setup import Setup
from tune_jobs.engine.names import default_name
from tune_jobs.engine.resume.continuation import Continuation, check_name
from tune_jobs.engine.resume.replay import check_replayable, replay
from tune_jobs.engine.search.promotion.scheduler import PromotingScheduler
from tune_jobs.engine.search.ray_searcher import FlatSpaceAdapter
from tune_jobs.engine.search.space_searcher import SpaceSearcher
from tune_jobs.engine.seeds import derive
from tune_jobs.engine.space.domains import Space, distinct
from tune_jobs.engine.space.membership import from_json
from tune_jobs.engine.storage.folder import Folder
from tune_jobs.engine.trials.checkpoint_limit import CheckpointLimit
from tune_jobs.engine.trials.done_rule import DoneRule
from tune_jobs.engine.trials.fitting import fit_trial
from tune_jobs.engine.trials.recorder import Recorder
from tune_jobs.engine.trials.reserve import RetriedAlone, check_in_step
from tune_jobs.engine.trials.shipping import ship
from tune_jobs.engine.trials.source import TrialSource
from tune_jobs.engine.trials.stopping import GIB, RunStopper

if TYPE_CHECKING:
    from tune_jobs.engine.job.job import Job


@dataclass(frozen=True)
class Prepared:
    """A tuner that is ready to fit, and what was made for it.

    ``is_adopted`` is true of a tuner that a user's module has built.
    """

    tuner: tune.Tuner
    folder: Folder
    recorder: Recorder
    stopper: RunStopper
    concurrency: int
    source: TrialSource | None = None
    is_adopted: bool = False


def tuner_of(job: Job, profile: Profile, name: str | None) -> tune.Tuner:
    """Build a job's tuner for a new experiment, its history written to the profile's storage.

    Raises:
        JobError: if the name is taken, or not one trial fits.
    """
    data = job.load_data()
    folder = locate(profile, name or default_name(job.trainable.__module__))
    check_name(folder, Continuation())
    folder.create()
    return prepare(Setup(job, profile, folder, data)).tuner


def prepare(
    setup: Setup,
    how: Continuation | None = None,
    *,
    entering: StageStart | None = None,
    listeners: Sequence[Listener] = (),
    trackers: Sequence[tune.Callback] = (),
    deadline: Deadline = NO_DEADLINE,
) -> Prepared:
    """Describe the run in the experiment's folder, and build the tuner.

    Args:
        setup: what is searched.
        how: what an earlier run has done, None for a new experiment.
        entering: the stage that begins, None for a job without stages.
        listeners: called with each event.
        trackers: further callbacks of Tune.
        deadline: when the search has to end.

    Raises:
        JobError: if not one trial fits, or the search cannot be continued.
    """
    job, how = setup.job, how or Continuation()
    if not ray.is_initialized():
        connect(setup.profile, [])
    concurrency = find_concurrency(setup.profile)
    scheduler = job.scheduler(job.max_epochs) if job.scheduler else FIFOScheduler()
    check_in_step(setup.profile, scheduler, pauses=job.pauses)
    searcher = _searcher(job, how.past.asked)
    _check_continuable(job, how, scheduler, searcher)
    stopper = RunStopper(
        job.metric,
        setup.folder,
        deadline,
        setup.profile.min_free_gb,
        is_reported=any(trial.curve for trial in how.past.trials),
    )
    recorder = begin(
        setup.profile,
        setup.folder,
        describe_job(setup),
        target=how.target or job.num_trials,
        listeners=listeners,
        stopper=stopper,
        before=lambda: replay(scheduler, how.past.trials, job.metric),
    )
    if entering is not None:
        recorder.append(entering)
    for result, origin in how.imported:
        recorder.append(ImportedResult(result.config, result.score, origin, how.past.asked))
    source = _make_source(setup, how, searcher, recorder, concurrency, scheduler)
    tuner = build_tuner(
        setup,
        _trainable(setup),
        source,
        recorder,
        stopper=stopper,
        scheduler=scheduler,
        space=distinct(job.space),
        trackers=trackers,
    )
    return Prepared(tuner, setup.folder, recorder, stopper, concurrency, source)


def _make_source(
    setup: Setup,
    how: Continuation,
    searcher: SpaceSearcher,
    recorder: Recorder,
    concurrency: int,
    scheduler: TrialScheduler,
) -> TrialSource:
    """Make the source of a job's trials, which knows the results so far."""
    job = setup.job
    imported = [result for result, _ in how.imported]
    return TrialSource(
        searcher,
        job.space,
        setup.folder,
        past=replace(how.past, results=[*how.past.results, *imported]),
        points=[from_json(job.space, point) for point in job.points_to_evaluate],
        num_trials=how.target or job.num_trials,
        concurrency=concurrency,
        allow_repeats=how.allow_repeats,
        seed=derive(job.seed, "draws"),
        max_epochs=job.max_epochs,
        recorder=recorder,
        done=DoneRule() if job.stop_when_done and not how.extend else None,
        promotion=scheduler if isinstance(scheduler, PromotingScheduler) else None,
        in_step=setup.profile.trials_in_step,
    )


def _check_continuable(
    job: Job, how: Continuation, scheduler: TrialScheduler, searcher: SpaceSearcher
) -> None:
    """Refuse a scheduler or a searcher that cannot learn what is known already.

    Raises:
        JobError: naming it.
    """
    if how.past.trials:
        check_replayable(scheduler)
    if how.past.trials or how.imported or job.points_to_evaluate:
        searcher.check_learns()


def build_tuner(
    setup: Setup,
    trainable: Any,
    source: SearchAlgorithm,
    recorder: Recorder,
    *,
    stopper: RunStopper,
    scheduler: TrialScheduler,
    space: Space | None = None,
    trackers: Sequence[tune.Callback] = (),
) -> tune.Tuner:
    """Build the tuner that trains the trials of a source.

    Args:
        setup: what is searched.
        trainable: what Ray calls in a worker.
        source: what the trials come from.
        recorder: what writes their history.
        stopper: what ends the run.
        scheduler: what stops trials early.
        space: what Tune is shown of the space, None for nothing.
        trackers: further callbacks of Tune.
    """
    attempt = recorder.attempt
    return tune.Tuner(
        tune.with_resources(trainable, setup.profile.resources),
        param_space=space,
        tune_config=tune.TuneConfig(
            metric=setup.job.metric,
            mode=setup.job.goal.mode,
            search_alg=source,
            scheduler=scheduler,
            num_samples=max(source.total_samples, 1),
            reuse_actors=True,
            trial_dirname_creator=lambda trial: trial_folder(trial, attempt),
        ),
        run_config=_run_config(setup, recorder, stopper, trackers),
    )


def begin(
    profile: Profile,
    folder: Folder,
    about: Description,
    *,
    target: int,
    listeners: Sequence[Listener],
    stopper: RunStopper,
    before: Callable[[], None] | None = None,
) -> Recorder:
    """Open the history for one more attempt, and describe it.

    Args:
        profile: where the trials run.
        folder: of the history.
        about: what is attempted.
        target: how many trials the experiment has in the end.
        listeners: called with each event.
        stopper: what ends the attempt.
        before: called before Tune starts the first trial.

    Raises:
        JobError: if storage has too little space left.
    """
    if lacking := stopper.free_space_lacking():
        raise JobError(lacking)
    if about.experiment_id is None:
        exists = Experiment(folder).exists
        about = replace(about, experiment_id=draw_id(folder, exists=exists))
    most = profile.max_checkpoint_gb
    recorder = Recorder(
        folder,
        SegmentWriter(folder, about.experiment_id),
        max_epochs=about.max_epochs or sys.maxsize,
        listeners=listeners,
        stopper=stopper,
        checkpoint_limit=CheckpointLimit(folder, about.goal, None if most is None else most * GIB),
        hang_timeout=60 * profile.max_silence_minutes,
        before=before,
        goal=about.goal,
    )
    # What these say is about to be outdated.
    for name in (SUMMARY, TRIALS_TABLE, EPOCHS_TABLE):
        folder.delete(name)
    described = about.to_json()
    folder.write_json(DESCRIPTION, described)
    recorder.append(Attempt(described, target))
    recorder.flush()
    return recorder


def _trainable(setup: Setup) -> Any:
    """Return what Ray calls in a worker; the arrays go once to each node's object store."""
    return tune.with_parameters(
        fit_trial,
        train=ship(setup.job.trainable, of=setup.job.trainable),
        fixed=setup.job.constants(setup.dataset),
        data=setup.store.put(setup.data.training if setup.data else None),
        check=_find_check(setup.job.trainable),
    )


def _find_check(trainable: Callable[..., Any]) -> Callable[..., Any] | None:
    """Find what refuses a model whose file could not be read; None if the user writes the files."""
    module = sys.modules.get(trainable.__module__)
    export = getattr(module, "export", None)
    is_ours = callable(export) and belongs_to_library(getattr(export, "__module__", ""))
    return beside(export, "check_savable") if is_ours and callable(export) else None


def trial_folder(trial: Trial, attempt: int) -> str:
    """Name a trial's folder, another one in each attempt: Tune numbers checkpoints from 0 again."""
    return str(trial.trial_id) if attempt == 1 else f"{trial.trial_id}-{attempt}"


def _searcher(job: Job, asked: int) -> SpaceSearcher:
    """Build the job's searcher; one of Ray's gets another seed each time a search is continued."""
    searcher = job.make_searcher(derive(job.seed, "searcher"))
    if isinstance(searcher, SpaceSearcher):
        return searcher
    if asked:
        searcher = job.searcher(derive(job.seed, f"searcher after {asked}"))
    return FlatSpaceAdapter(searcher)


def _run_config(
    setup: Setup, recorder: Recorder, stopper: RunStopper, trackers: Sequence[tune.Callback]
) -> tune.RunConfig:
    """Say where Tune writes, who listens, and which checkpoints stay."""
    return tune.RunConfig(
        name=TRIALS,
        storage_path=setup.folder.path,
        storage_filesystem=setup.folder.filesystem,
        callbacks=[recorder, RetriedAlone(), *trackers],
        stop=stopper,
        failure_config=tune.FailureConfig(max_failures=setup.profile.max_failures),
        checkpoint_config=tune.CheckpointConfig(
            num_to_keep=1,  # the best, and the latest
            checkpoint_score_attribute=setup.job.metric,
            checkpoint_score_order=setup.job.goal.mode,
        ),
        verbose=0,
        progress_reporter=_quiet_reporter(),
    )


def _quiet_reporter() -> tune.ProgressReporter | None:
    """Return what prints nothing at this verbosity; in a notebook Tune's own clears the cell.

    Tune takes one only with its old output, which a run sets.
    """
    return tune.CLIReporter() if os.environ.get("RAY_AIR_NEW_OUTPUT") == "0" else None
