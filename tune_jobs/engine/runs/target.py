"""The experiment that a run writes to: found by name or slot, and held."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal, get_args

from tune_jobs.engine.deadline import Deadline
from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.experiments.lease import Lease, SkippedError, TakenError, leased
from tune_jobs.engine.formatting import duration
from tune_jobs.engine.job.description import Slot
from tune_jobs.engine.job.job import Job, MakeTuner
from tune_jobs.engine.job.profile import Profile, locate
from tune_jobs.engine.names import default_name
from tune_jobs.engine.recurring.series import fill_name, folder_of, schedule
from tune_jobs.engine.storage.folder import Folder

logger = logging.getLogger(__name__)

# What a run does if another one is active.
Overlap = Literal["fail", "skip", "wait"]
OVERLAPS: tuple[Overlap, ...] = get_args(Overlap)


@dataclass(frozen=True)
class Target:
    """The place that a run writes to.

    Attributes:
        folder: the experiment's.
        series: the folder of the series that it is one of, None without a schedule.
        slot: the slot that it is for, None without a schedule.
    """

    folder: Folder
    series: Folder | None = None
    slot: Slot | None = None


def find_target(
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


def find_ended(target: Target) -> Experiment | None:
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


def hold(stack: ExitStack, target: Target, on_overlap: Overlap, deadline: Deadline) -> Lease:
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
