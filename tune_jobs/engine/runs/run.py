"""Run a job from beginning to end: search, best model, test score, summary."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from tune_jobs.engine.cluster.concurrency import check_fits
from tune_jobs.engine.cluster.connection import ray_of
from tune_jobs.engine.deadline import Timing, deadline_after
from tune_jobs.engine.errors import JobError, check_whole_number
from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.experiments.history.records import Listener
from tune_jobs.engine.experiments.lease import Lease
from tune_jobs.engine.job.job import Job, MakeTuner
from tune_jobs.engine.job.profile import Profile
from tune_jobs.engine.job.setup import Setup
from tune_jobs.engine.job.trust import trust
from tune_jobs.engine.ray_internals import check_ray
from tune_jobs.engine.resume.continuation import Continuation, check_name, keep_unit
from tune_jobs.engine.runs.ends import Ends
from tune_jobs.engine.runs.phases import Run
from tune_jobs.engine.runs.start_ray import find_preload, import_roots, quiet_tune, start_ray
from tune_jobs.engine.runs.target import OVERLAPS, Overlap, find_ended, find_target, hold
from tune_jobs.engine.space.checks import check_sendable
from tune_jobs.engine.storage.folder import Folder
from tune_jobs.engine.trials.interruption import interruptible
from tune_jobs.engine.views.board import Board
from tune_jobs.engine.views.fallback import FallbackWarning
from tune_jobs.engine.views.live import choose_view
from tune_jobs.engine.views.pulse import Pulse
from tune_jobs.engine.views.tracking import make_trackers


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
    compared_with: Experiment | None = None,
    ends: Ends | None = None,
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
        resume: continue the experiment if it exists, else start it; it needs a name or a slot.
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
        compared_with: an earlier experiment whose unit of errors a new one takes over.
        ends: what the caller does when the run ends, in case that a part of Ray dies and leaves
            this thread hanging: another thread then ends the run and the process.

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
    _check_arguments(job, how, name=name, slot=slot, on_overlap=on_overlap, track=track)
    check_ray()
    check_fits(profile)
    target = find_target(job, profile, name, slot, time_zone, command or {})
    if ended := find_ended(target):
        return replace(ended, trusted=trust(job))
    check_name(target.folder, how)
    if track and isinstance(job, Job):
        make_trackers(track, folder=target.folder, goal=job.goal)  # mistakes show here
    with interruptible() as interruption, quiet_tune(), Ends(ends) as stack:
        lease = hold(stack, target, on_overlap, deadline)
        folder = target.folder.fenced(lease)
        if ended := find_ended(target):  # by the run that was waited for
            return replace(ended, trusted=trust(job))
        check_name(target.folder, how)  # another run may have come and gone meanwhile
        ray = ray_of(profile, [*import_paths, *import_roots(job)], find_preload(job))
        data = start_ray(stack, ray, profile, interruption, job, target.folder.name)
        started = Run(
            profile=profile,
            folder=folder,
            timing=Timing(began, deadline, spent=_seconds_spent(target.folder)),
            lease=lease,
            interruption=interruption,
            listeners=_all_listeners(job, listeners, lease),
            track=track,
        )
        stack.enter_context(started.recorded())
        if isinstance(job, Job):
            data = keep_unit(data, Experiment(target.folder), compared_with)
            setup = Setup(job, profile, folder, data, command or {}, target.slot)
            started.run_job(setup, how)
        else:
            started.run_tuner(job)
        return Experiment(target.folder, trust(job))


def _check_arguments(
    job: Job | MakeTuner,
    how: Continuation,
    *,
    name: str | None,
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
        check_sendable("trainable", job.trainable)
        if how.resume and name is None and slot is None:
            raise JobError(
                "resume needs the name of the experiment: the default name is always a new one"
            )
        return
    if how.is_wanted:
        raise JobError(
            "a job that builds its own tuner cannot be continued; use ray.tune.Tuner.restore"
        )
    if track:
        raise JobError(
            "--track does not apply: a job that builds its own tuner sets its own callbacks"
        )


def _seconds_spent(folder: Folder) -> float:
    """Return the workers' seconds in earlier runs of the experiment."""
    summary = Experiment(folder).summary
    return (summary.worker_seconds if summary else None) or 0.0


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
