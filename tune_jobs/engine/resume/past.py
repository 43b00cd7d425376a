"""What an experiment has done so far, as a search that goes on from it has to know it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.experiments.frames import average_replicas
from tune_jobs.engine.experiments.segments import Record
from tune_jobs.engine.space.configs import Config
from tune_jobs.engine.space.domains import Space
from tune_jobs.engine.space.membership import NO_DEFAULTS, NotInSpaceError, from_json
from tune_jobs.engine.storage.folder import Folder

if TYPE_CHECKING:
    import pandas as pd

    from tune_jobs.engine.job.job import Job

# Failures that are not the configuration's fault: such a trial goes on when its search does.
NOT_ITS_FAULT = ("infrastructure", "storage")


@dataclass(frozen=True)
class PastTrial:
    """A trial of the history.

    Attributes:
        number: its number.
        config: its config, with the space's own objects in it.
        is_finished: whether nothing is left to do for it.
        score: its best value over all epochs, None where it has none or failed by its own fault.
        epoch: the last epoch that was reported.
        curve: (epoch, value of the metric) as the scheduler saw them.
        asked: how often the searcher had been asked when it was suggested.
        checkpoint: of one that is not finished, epoch and path, inside the experiment, of the
            latest checkpoint that exists.
    """

    number: int
    config: Config
    is_finished: bool
    score: float | None
    epoch: int
    curve: Sequence[tuple[int, float]]
    asked: int
    checkpoint: tuple[int, str] | None = None


@dataclass(frozen=True)
class KnownResult:
    """A result that a searcher was or will be told; without a score, that the config failed."""

    config: Config
    score: float | None


@dataclass(frozen=True)
class Past:
    """What is known when a search begins; nothing for a new one.

    Attributes:
        trials: those whose configs belong to the space, by number.
        told: every result in the order in which the searcher suggested the configs.
        asked: how often the searcher was asked.
        last: the highest number of a trial.
        target: how many trials the experiment was to have, None for a new one.
        left_out: why trials do not count any more, a line each.
    """

    trials: Sequence[PastTrial] = ()
    told: Sequence[KnownResult] = ()
    asked: int = 0
    last: int = 0
    target: int | None = None
    left_out: Sequence[str] = ()

    @property
    def unfinished(self) -> list[PastTrial]:
        """The trials that go on."""
        return [trial for trial in self.trials if not trial.is_finished]


def read_past(
    experiment: Experiment,
    job: Job,
    defaults: Mapping[str, Any] = NO_DEFAULTS,
    *,
    code_changed: bool = False,
) -> Past:
    """Read an experiment's history for a job, whose space and ceiling of epochs may be new.

    Args:
        experiment: what was done so far.
        job: what is searched from now on.
        defaults: values of hyperparameters that the earlier trials did not have.
        code_changed: whether the code has changed, so that failed configs are retried.
    """
    records = list(experiment.segments.records())
    asked = {r["trial"]: r.get("asked", 0) for r in records if r["kind"] == "trial"}
    attempts = [record for record in records if record["kind"] == "attempt"]
    curves, checkpoints = _curves(experiment.epochs, job), _checkpoints(experiment.epochs)
    past: list[PastTrial] = []
    left_out: list[str] = []
    for row in experiment.trials.itertuples():
        try:
            config = from_json(job.space, json.loads(row.config), defaults)
        except NotInSpaceError as reason:
            left_out.append(f"trial {row.trial}: {reason}")
            continue
        trial = _past_trial(row, config, curves.get(row.trial, ()), asked.get(row.trial, 0))
        again = code_changed and row.state == "failed" and row.failure == "configuration"
        past.append(replace(trial, is_finished=False) if again else trial)
    ceiling = max((each["description"]["max_epochs"] for each in attempts), default=0)
    past = [
        trial
        if trial.is_finished
        else replace(
            trial, checkpoint=_latest(experiment.folder, checkpoints.get(trial.number, ()))
        )
        for trial in _reopen(past, ceiling, job)
    ]
    told = [((t.asked, 1), KnownResult(t.config, t.score)) for t in past if t.is_finished]
    told += _told_otherwise(records, job.space, defaults, left_out)
    return Past(
        trials=past,
        told=[each for _, each in sorted(told, key=lambda pair: pair[0])],
        asked=max((r.get("asked", 0) for r in records), default=0),
        last=max(asked, default=0),
        target=max((each["target"] for each in attempts), default=None),
        left_out=left_out,
    )


def _past_trial(
    row: Any, config: Config, curve: Sequence[tuple[int, float]], asked: int
) -> PastTrial:
    failed = row.state == "failed"
    done = row.failure not in NOT_ITS_FAULT if failed else row.state in ("complete", "stopped")
    return PastTrial(
        number=row.trial,
        config=config,
        is_finished=done,
        score=None if failed or math.isnan(row.value) else float(row.value),
        epoch=row.epochs,
        curve=curve,
        asked=asked,
    )


def _told_otherwise(
    records: Sequence[Record], space: Space, defaults: Mapping[str, Any], left_out: list[str]
) -> list[tuple[tuple[int, int], KnownResult]]:
    """Results that are no trials: answers from the history, and those of other searches.

    Each with its place in the order in which the searcher heard of it, as for trials.
    """
    found = []
    for record in records:
        if record["kind"] not in ("answered", "told"):
            continue
        try:
            config = from_json(space, record["config"], defaults)
        except NotInSpaceError as reason:
            if record["kind"] == "told":
                left_out.append(f"a result from {record['source']}: {reason}")
            continue
        found.append(((record.get("asked", 0), 0), KnownResult(config, record["score"])))
    return found


def _reopen(past: list[PastTrial], ceiling: int, job: Job) -> list[PastTrial]:
    """Let the best trials that reached the old ceiling of epochs go on to a higher one.

    They are as many as a rung of the scheduler would let pass: one in ``reduction_factor``, or 3.
    """
    there = [t for t in past if t.is_finished and t.score is not None and t.epoch == ceiling]
    if job.max_epochs <= ceiling or not there:
        return past
    there.sort(key=lambda trial: job.goal.loss(trial.score or 0.0))
    share = getattr(job.scheduler, "reduction_factor", 3)
    chosen = {trial.number for trial in there[: max(1, round(len(there) / share))]}
    return [replace(t, is_finished=False) if t.number in chosen else t for t in past]


def _curves(epochs: pd.DataFrame, job: Job) -> dict[int, list[tuple[int, float]]]:
    if job.metric not in epochs.columns:
        return {}
    if epochs["replica"].any():
        epochs = average_replicas(epochs, job.goal)
    curves: dict[int, list[tuple[int, float]]] = {}
    for trial, epoch, value in zip(
        epochs["trial"], epochs["epoch"], epochs[job.metric], strict=True
    ):
        curves.setdefault(int(trial), []).append((int(epoch), float(value)))
    return curves


def _checkpoints(epochs: pd.DataFrame) -> dict[int, list[tuple[int, str]]]:
    saved = epochs[epochs["checkpoint"].notna()]
    found: dict[int, list[tuple[int, str]]] = {}
    for trial, epoch, path in zip(saved["trial"], saved["epoch"], saved["checkpoint"], strict=True):
        found.setdefault(int(trial), []).append((int(epoch), str(path)))
    return found


def _latest(folder: Folder, checkpoints: Sequence[tuple[int, str]]) -> tuple[int, str] | None:
    for epoch, path in sorted(checkpoints, reverse=True):
        if folder.exists(path):
            return epoch, path
    return None
