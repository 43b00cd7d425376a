"""Search from coarse to fine: later stages search the part of the space that earlier ones left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from tune_jobs.engine.analysis.narrow_space import narrow
from tune_jobs.engine.errors import JobError
from tune_jobs.engine.experiments.history.records import StageStart
from tune_jobs.engine.experiments.summary import StageSummary
from tune_jobs.engine.space.domains import Space
from tune_jobs.engine.space.membership import members_from_json

if TYPE_CHECKING:
    from tune_jobs.engine.experiments.experiment import Experiment
    from tune_jobs.engine.job.job import Job


def find_stage(job: Job, experiment: Experiment) -> int:
    """Find the stage, counted from 0, that an experiment is in: the first that lacks trials."""
    if not job.stages or not experiment.exists or experiment.trials.empty:
        return 0
    last = max(_entered(experiment), default=0)
    trials = experiment.trials
    lacking = trials["trial"].max() < job_of_stage(job, last, experiment)[0].num_trials
    is_cut_off = trials["state"].isin(["running", "unfinished"]).any()
    return last if lacking or is_cut_off else min(last + 1, len(job.stages) - 1)


def job_of_stage(job: Job, number: int, experiment: Experiment) -> tuple[Job, StageStart | None]:
    """Return the job of a stage, and the record of its start; None without stages.

    The narrower space follows from the trials of the earlier stages as they were when the stage
    was first entered, which the record names.

    Args:
        job: the job with all its stages.
        number: the stage, counted from 0.
        experiment: the results of the earlier stages.
    """
    stages, entered = job.stages, _entered(experiment)
    if not stages:
        return job, None
    space: Space = job.space
    ranked: Sequence[int] = []
    narrowed: list[str] = []
    for each in range(1, number + 1):
        start = entered.get(each)
        ranked = start.ranked if start else [int(number) for number in experiment.ranked["trial"]]
        narrowed = []
        zoom = stages[each].zoom
        if zoom is not None:
            space, narrowed = _zoom(space, zoom, experiment, ranked)
    before = job.points * sum(s.num_samples for s in stages[:number])
    samples = sum(stage.num_samples for stage in stages[: number + 1])
    epochs = stages[number].max_epochs or job.max_epochs
    part = replace(job, space=space, num_samples=samples, max_epochs=epochs, stages=())
    return part, StageStart(number, ranked, narrowed, before + 1, part.num_trials, epochs)


def list_stages(experiment: Experiment) -> tuple[StageSummary, ...]:
    """List the stages that an experiment has entered."""
    entered = _entered(experiment)
    return tuple(
        StageSummary(
            stage=number + 1,
            trials=(start.first, start.last),
            max_epochs=start.max_epochs,
            narrowed=tuple(start.narrowed),
        )
        for number, start in sorted(entered.items())
    )


def _entered(experiment: Experiment) -> dict[int, StageStart]:
    """Read the records of the stages that have started, by number."""
    if not experiment.exists:
        return {}
    records = experiment.segments.records()
    return {record.stage: record for record in records if isinstance(record, StageStart)}


def _zoom(
    space: Space, keep: float, experiment: Experiment, ranked: Sequence[int]
) -> tuple[Space, list[str]]:
    """Narrow a space; return it as it is if too few trials say anything about it."""
    configs = members_from_json(space, [experiment.configs[number] for number in ranked])
    try:
        return narrow(space, configs, keep=keep)
    except JobError as reason:
        return space, [f"not narrowed: {reason}"]
