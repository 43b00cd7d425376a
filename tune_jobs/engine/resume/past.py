"""The past of an experiment, as a search that continues it needs to know it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.experiments.history.records import (
    Attempt,
    Crash,
    HistoryRecord,
    ImportedResult,
    KnownConfig,
    TrialEnd,
    TrialStart,
)
from tune_jobs.engine.experiments.history.replicas import curves_of
from tune_jobs.engine.search.schedulers import REDUCTION_FACTOR
from tune_jobs.engine.space.configs import Config
from tune_jobs.engine.space.membership import NO_DEFAULTS, NotInSpaceError
from tune_jobs.engine.storage.folder import Folder

if TYPE_CHECKING:
    import pandas as pd

    from tune_jobs.engine.job.job import Job

# Failures that are not the configuration's fault: such a trial continues with its search.
NOT_ITS_FAULT = ("infrastructure", "storage")

# States of trials that may be waiting at a rung: they were stopped there, or the run was cut off.
PAUSABLE = ("stopped", "unfinished", "running")

# Records that say how many suggestions the searcher had made.
ASKING = (TrialStart, KnownConfig, ImportedResult)


@dataclass(frozen=True)
class PastTrial:
    """A trial of the history.

    Attributes:
        number: its number.
        config: its config, with the space's own objects in it.
        is_finished: whether it needs no more training.
        score: its best value over all epochs; None if it has none or failed by its own fault.
        epoch: the last epoch that was reported.
        curve: (epoch, value of the metric) as the scheduler saw them.
        asked: how many suggestions the searcher had made when it made this one.
        checkpoint: epoch and path, inside the experiment, of the latest checkpoint that exists;
            None for a finished trial that cannot be promoted.
        waits: whether it waits at a rung for its promotion: it was stopped there, or paused when
            the run was cut off, and its checkpoint exists.
        crashes: how many of its attempts so far ended with a crash of its worker.
    """

    number: int
    config: Config
    is_finished: bool
    score: float | None
    epoch: int
    curve: Sequence[tuple[int, float]]
    asked: int
    checkpoint: tuple[int, str] | None = None
    waits: bool = False
    crashes: int = 0


@dataclass(frozen=True)
class KnownResult:
    """A result that a searcher knows or will get.

    Attributes:
        config: of the space.
        score: None if the config failed.
        trial: the number of the trial; None if it was no trial of this experiment.
        curve: (epoch, value) of the trial.
    """

    config: Config
    score: float | None
    trial: int | None = None
    curve: Sequence[tuple[int, float]] = ()


@dataclass(frozen=True)
class Past:
    """Everything known when a search starts; nothing for a new one.

    Attributes:
        trials: those whose configs belong to the space, ordered by number.
        results: all results, in the order in which the searcher suggested the configs.
        asked: how many suggestions the searcher has made.
        last: the highest number of a trial.
        target: how many trials the experiment was meant to have; None for a new one.
        left_out: why trials no longer count, one line each.
    """

    trials: Sequence[PastTrial] = ()
    results: Sequence[KnownResult] = ()
    asked: int = 0
    last: int = 0
    target: int | None = None
    left_out: Sequence[str] = ()

    @property
    def unfinished(self) -> list[PastTrial]:
        """The trials to be continued."""
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
        experiment: the search so far.
        job: what is searched from now on.
        defaults: values of hyperparameters that the earlier trials did not have.
        code_changed: whether the code has changed, so that failed configs are retried.
    """
    records = list(experiment.segments.records())
    asked = {r.trial: r.asked or 0 for r in records if isinstance(r, TrialStart)}
    attempts = [record for record in records if isinstance(record, Attempt)]
    curves, checkpoints = curves_of(experiment.epochs, job.goal), _checkpoints(experiment.epochs)
    rungs, crashes = _promoting_rungs(job), count_crashes(records)
    past: list[PastTrial] = []
    left_out: list[str] = []
    for row in experiment.trials.itertuples():
        try:
            config = job.read_config(experiment.configs[row.trial], defaults)
        except NotInSpaceError as reason:
            left_out.append(f"trial {row.trial}: {reason}")
            continue
        curve = curves.get(row.trial, ())
        trial = _past_trial(row, config, curve, asked.get(row.trial, 0), rungs)
        again = code_changed and row.state == "failed" and row.failure == "configuration"
        counted = 0 if code_changed else crashes[trial.number]
        past.append(replace(trial, is_finished=trial.is_finished and not again, crashes=counted))
    ceiling = max((each.description["max_epochs"] for each in attempts), default=0)
    past = [
        _with_checkpoint(trial, experiment.folder, checkpoints.get(trial.number, ()))
        if trial.waits or not trial.is_finished
        else trial
        for trial in _reopen(past, ceiling, job)
    ]
    results = [((t.asked, 1), _result_of(t)) for t in past if t.is_finished or t.waits]
    results += _other_results(records, job, defaults, left_out)
    return Past(
        trials=past,
        results=[each for _, each in sorted(results, key=lambda pair: pair[0])],
        asked=max((r.asked or 0 for r in records if isinstance(r, ASKING)), default=0),
        last=max(asked, default=0),
        target=max((each.target for each in attempts), default=None),
        left_out=left_out,
    )


def count_crashes(records: Iterable[HistoryRecord]) -> Counter[int]:
    """Count the crashes of each trial since it failed for good, if it did and was retried."""
    found = Counter[int]()
    for record in records:
        if isinstance(record, Crash):
            found[record.trial] += 1
        elif isinstance(record, TrialEnd) and record.failure == "configuration":
            del found[record.trial]
    return found


def _past_trial(
    row: Any,
    config: Config,
    curve: Sequence[tuple[int, float]],
    asked: int,
    rungs: Collection[int],
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
        waits=row.state in PAUSABLE
        and row.epochs in rungs
        and bool(curve)
        and math.isfinite(curve[-1][1]),
    )


def _other_results(
    records: Sequence[HistoryRecord],
    job: Job,
    defaults: Mapping[str, Any],
    left_out: list[str],
) -> list[tuple[tuple[int, int], KnownResult]]:
    """Collect results that are no trials: answers from the history, and those of other searches.

    Each has its place in the order in which the searcher got it, as trials have.
    """
    found = []
    for record in records:
        if not isinstance(record, KnownConfig | ImportedResult):
            continue
        try:
            config = job.read_config(record.config, defaults)
        except NotInSpaceError as reason:
            if isinstance(record, ImportedResult):
                left_out.append(f"a result from {record.source}: {reason}")
            continue
        found.append(((record.asked, 0), KnownResult(config, record.score)))
    return found


def _reopen(past: list[PastTrial], ceiling: int, job: Job) -> list[PastTrial]:
    """Reopen the best of the trials that reached the old ceiling of epochs, if there is a new one.

    As many are reopened as a rung of the scheduler would let pass: one in ``reduction_factor``, or
    one in 3.
    """
    there = [t for t in past if t.is_finished and t.score is not None and t.epoch == ceiling]
    if job.max_epochs <= ceiling or not there:
        return past
    there.sort(key=lambda trial: job.goal.loss(trial.score or 0.0))
    share = getattr(job.scheduler, "reduction_factor", None) or REDUCTION_FACTOR
    chosen = {trial.number for trial in there[: max(1, round(len(there) / share))]}
    return [replace(t, is_finished=False) if t.number in chosen else t for t in past]


def _result_of(trial: PastTrial) -> KnownResult:
    curve = [(epoch, value) for epoch, value in trial.curve if math.isfinite(value)]
    return KnownResult(trial.config, trial.score, trial.number, curve)


def _checkpoints(epochs: pd.DataFrame) -> dict[int, list[tuple[int, str]]]:
    saved = epochs[epochs["checkpoint"].notna()]
    found: dict[int, list[tuple[int, str]]] = {}
    for trial, epoch, path in zip(saved["trial"], saved["epoch"], saved["checkpoint"], strict=True):
        found.setdefault(int(trial), []).append((int(epoch), str(path)))
    return found


def _with_checkpoint(
    trial: PastTrial, folder: Folder, checkpoints: Sequence[tuple[int, str]]
) -> PastTrial:
    """Add its latest checkpoint to a trial; one that was stopped waits only with its last."""
    latest = _latest(folder, checkpoints)
    is_last = latest is not None and latest[0] == trial.epoch
    waits = trial.waits and (is_last or not trial.is_finished)
    return replace(trial, checkpoint=latest, waits=waits)


def _promoting_rungs(job: Job) -> Collection[int]:
    """Return the rungs at which trials wait for their promotion; none if the scheduler stops."""
    if not getattr(job.scheduler, "resume", False):
        return ()
    return [rung for rung in job.rungs or () if rung < job.max_epochs]


def _latest(folder: Folder, checkpoints: Sequence[tuple[int, str]]) -> tuple[int, str] | None:
    for epoch, path in sorted(checkpoints, reverse=True):
        if folder.exists(path):
            return epoch, path
    return None
