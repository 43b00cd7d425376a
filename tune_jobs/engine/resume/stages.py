"""Coarse to fine: a job whose later stages search what the earlier ones left of the space."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from tune_jobs.engine.analysis.zooming import narrow
from tune_jobs.engine.errors import JobError
from tune_jobs.engine.experiments.segments import Record
from tune_jobs.engine.experiments.summary import StageSummary
from tune_jobs.engine.space.domains import Space
from tune_jobs.engine.space.membership import members_from_json

if TYPE_CHECKING:
    from tune_jobs.engine.experiments.experiment import Experiment
    from tune_jobs.engine.job.job import Job

KIND = "stage"


def find_stage(job: Job, experiment: Experiment) -> int:
    """The stage, counted from 0, that an experiment is in: the first that lacks trials."""
    if not job.stages or not experiment.exists or experiment.trials.empty:
        return 0
    last = max(_entered(experiment), default=0)
    trials = experiment.trials
    lacking = trials["trial"].max() < job_of_stage(job, last, experiment)[0].num_trials
    is_cut_off = trials["state"].isin(["running", "unfinished"]).any()
    return last if lacking or is_cut_off else min(last + 1, len(job.stages) - 1)


def job_of_stage(job: Job, number: int, experiment: Experiment) -> tuple[Job, Record]:
    """The job as a stage searches it, and the record that says so.

    The narrower space follows from the trials of the earlier stages as they were when the stage
    was first entered, which the record names.

    Args:
        job: with all its stages.
        number: the stage, counted from 0.
        experiment: what the earlier stages have found.
    """
    stages, entered = job.stages, _entered(experiment)
    if not stages:
        return job, {}
    space: Space = job.space
    record: Record = {"kind": KIND, "stage": 0, "ranked": [], "narrowed": []}
    for each in range(1, number + 1):
        record = entered.get(each) or {
            "kind": KIND,
            "stage": each,
            "ranked": [int(number) for number in experiment.ranked["trial"]],
            "narrowed": [],
        }
        zoom = stages[each].zoom
        if zoom is not None:
            space, narrowed = _zoom(space, zoom, experiment, record["ranked"])
            record = record | {"narrowed": narrowed}
    before = job.points * sum(s.num_samples for s in stages[:number])
    samples = sum(stage.num_samples for stage in stages[: number + 1])
    epochs = stages[number].max_epochs or job.max_epochs
    part = replace(job, space=space, num_samples=samples, max_epochs=epochs, stages=())
    trials = {"first": before + 1, "last": part.num_trials, "max_epochs": epochs}
    return part, record | trials


def list_stages(experiment: Experiment) -> tuple[StageSummary, ...]:
    """List the stages that an experiment has entered."""
    entered = _entered(experiment)
    return tuple(
        StageSummary(
            stage=number + 1,
            trials=(record["first"], record["last"]),
            max_epochs=record["max_epochs"],
            narrowed=tuple(record["narrowed"]),
        )
        for number, record in sorted(entered.items())
    )


def _entered(experiment: Experiment) -> dict[int, Record]:
    """The records of the stages that were entered."""
    if not experiment.exists:
        return {}
    return {r["stage"]: r for r in experiment.segments.records() if r["kind"] == KIND}


def _zoom(
    space: Space, keep: float, experiment: Experiment, ranked: list[int]
) -> tuple[Space, list[str]]:
    """The narrower space; where too few trials say anything, the space as it was."""
    texts = experiment.trials.set_index("trial")["config"]
    configs = members_from_json(space, [json.loads(texts[number]) for number in ranked])
    try:
        return narrow(space, configs, keep=keep)
    except JobError as reason:
        return space, [f"not narrowed: {reason}"]
