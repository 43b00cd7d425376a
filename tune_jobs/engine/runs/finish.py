"""Finish a run: export the winner's model, and write the summary.

The summary comes last, so that it marks a run that has ended.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

import pandas as pd

from tune_jobs.engine.analysis.advice import advise_on, warnings_of
from tune_jobs.engine.analysis.importance import measure_importance
from tune_jobs.engine.analysis.usage import measure_usage
from tune_jobs.engine.deadline import Timing
from tune_jobs.engine.errors import JobError, StorageError, reason_of
from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.experiments.failures import cause
from tune_jobs.engine.experiments.files import SUMMARY
from tune_jobs.engine.experiments.summary import Summary, Usage, Winner
from tune_jobs.engine.finals.decide import Decision
from tune_jobs.engine.finals.export import (
    ExportedModel,
    LateError,
    NoModelError,
    companions,
    make_model,
    recipe_of,
    save_config,
    save_model,
)
from tune_jobs.engine.job.profile import Profile
from tune_jobs.engine.job.setup import Setup
from tune_jobs.engine.job.trust import Trusted
from tune_jobs.engine.outcome import Outcome, outcome_of_code
from tune_jobs.engine.plain import bounded
from tune_jobs.engine.resume.stages import list_stages
from tune_jobs.engine.storage.folder import Folder
from tune_jobs.engine.trials.tuner import Prepared
from tune_jobs.engine.views.fallback import describe_fallbacks

# The export gets at least so many seconds, even if the deadline is nearer or past.
EXPORT_SECONDS = 120.0


@dataclass(frozen=True)
class Ending:
    """Everything that a run ends with.

    Attributes:
        prepared: the tuner of the last search.
        outcome: how the last search ended.
        profile: what the worker that exports the model may use.
        timing: the run's.
        setup: what was searched, None for a module that builds its own tuner.
        decision: the result of the finals, None without finals.
        trusted: the code that ran, which may read and write the model.
    """

    prepared: Prepared
    outcome: Outcome
    profile: Profile
    timing: Timing
    setup: Setup | None = None
    decision: Decision | None = None
    trusted: Trusted | None = None


def finish(ending: Ending) -> Experiment:
    """Export the winner's model, and write the summary."""
    prepared, decided = ending.prepared, time.time()
    with storage_errors(prepared):
        experiment = Experiment(prepared.folder, ending.trusted)
        summary = _summary_of(ending)
        summary = _add_advice(summary, ending, experiment)
        summary = _add_winner(summary, ending, experiment)
        usage = _measure_usage(ending, experiment, decided)
        write_summary(
            experiment,
            replace(summary, usage=usage),
            began=ending.timing.began,
            spent=ending.timing.spent,
            workers=prepared.concurrency,
        )
    return Experiment(prepared.folder, ending.trusted)


def _summary_of(ending: Ending) -> Summary:
    """Return what search and finals add to the summary of their run."""
    prepared, decision = ending.prepared, ending.decision
    outcome, no_winner = ending.outcome, None
    if decision is not None and decision.verdict is None:
        outcome, no_winner = decision.outcome or outcome, decision.reason
    return replace(
        begin_summary(outcome),
        attempt=prepared.recorder.attempt,
        error=prepared.stopper.detail or None,
        ended_because=prepared.source.ended_because if prepared.source else None,
        no_winner=no_winner,
    )


def _add_advice(summary: Summary, ending: Ending, experiment: Experiment) -> Summary:
    """Add the stages of the space, and warnings about its bounds and about slow trials."""
    warnings = tuple(describe_fallbacks(experiment.trials))
    if ending.setup is None:
        return replace(summary, warnings=warnings)
    job = ending.setup.job
    importance = measure_importance(
        experiment.trials, experiment.epochs, goal=job.goal, rungs=job.rungs or None
    )
    bounds = warnings_of(advise_on(experiment, job.space, importance.effects))
    stages = list_stages(experiment) if job.stages else ()
    return replace(summary, stages=stages, warnings=(*bounds, *warnings))


def _add_winner(summary: Summary, ending: Ending, experiment: Experiment) -> Summary:
    """Export the winner's model, unless there is no winner or somebody waits for the end."""
    if experiment.usable.empty:
        return summary
    save_config(experiment)
    top = experiment.best_of_search
    summary = replace(summary, best=experiment.best, best_of_search=top.value if top else None)
    if summary.outcome in ("interrupted", "storage failed"):
        reason = f"the run ended with outcome {summary.outcome!r}"
        return replace(summary, no_model=reason)
    try:
        made = _make_model(ending, experiment)
    except NoModelError as error:
        return replace(summary, no_model=str(error))
    except LateError as error:
        return replace(summary, outcome="budget used", no_model=str(error))
    except JobError as error:
        return replace(summary, outcome="unexpected error", no_model=str(error))
    if made.unscored:
        unscored = f"no scores on the test set: {made.unscored}"
        summary = replace(summary, warnings=(*summary.warnings, unscored))
    return replace(
        summary,
        test=made.test,
        ensemble=made.ensemble,
        on_test=made.report,
        threshold=made.threshold,
    )


def _make_model(ending: Ending, experiment: Experiment) -> ExportedModel:
    """Train the winner on all rows but the test set; if it cannot be, export its checkpoint.

    Raises:
        NoModelError: if the trainable's module or the checkpoint lacks what a model needs.
        JobError: if a model could not be made that should have been.
        LateError: if the deadline passes before that.
    """
    recipe, setup, decision = companions(experiment), ending.setup, ending.decision
    deadline = ending.timing.deadline.at_least(EXPORT_SECONDS)
    if setup and decision:
        made = make_model(setup, experiment, recipe, decision, deadline=deadline)
        if made is not None:
            return made
    return save_model(
        experiment,
        recipe_of(experiment),
        setup.dataset if setup else None,
        ending.profile,
        deadline=deadline,
    )


def _measure_usage(ending: Ending, experiment: Experiment, decided: float) -> Usage | None:
    """Measure where the time of this run went, including its finals."""
    frames, began = [experiment.trials], ending.timing.began
    if finals := experiment.finals:
        frames.append(finals.trials)
    own = [frame[frame["ended"] >= began] for frame in frames]
    trials = pd.concat([frame for frame in own if not frame.empty] or own[:1])
    return measure_usage(trials, ending.prepared.concurrency, began, decided, time.time())


def begin_summary(outcome: Outcome) -> Summary:
    """Return a summary that says only how a run ended."""
    return Summary(
        usage=None,
        outcome=outcome,
        metric=None,
        mode=None,
        trials={},
        began=None,
        ended=None,
        seconds=None,
        workers=None,
        worker_seconds=None,
    )


def write_summary(
    experiment: Experiment, summary: Summary, *, began: float, spent: float, workers: int = 0
) -> None:
    """Complete the summary of a run from its experiment, and write it.

    Args:
        experiment: the run's.
        summary: what only the run knows.
        began: when it began, in seconds since 1970.
        spent: the workers' seconds in earlier runs of the experiment.
        workers: how many workers this run had.
    """
    goal, verdict, ended = experiment.goal, experiment.verdict, time.time()
    states = experiment.trials["state"].value_counts()
    winner = None
    if verdict:
        winner = Winner(trial=verdict.trial, mean=verdict.mean, interval=verdict.interval)
    summary = replace(
        summary,
        metric=goal.metric,
        mode=goal.mode,
        is_standardised=goal.is_standardised,
        trials={str(state): int(count) for state, count in states.items()},
        began=began,
        ended=ended,
        seconds=ended - began,
        workers=workers,
        worker_seconds=spent + workers * (ended - began),
        winner=winner,
        checksums=experiment.take_checksums(),
    )
    experiment.write(SUMMARY, summary)


@contextmanager
def recording_outcome(folder: Folder, *, began: float, spent: float) -> Iterator[None]:
    """Write the summary of a run that an exception or a signal ends, once it has begun.

    Args:
        folder: the experiment's.
        began: when the run began, in seconds since 1970.
        spent: the workers' seconds in earlier runs of the experiment.
    """
    try:
        yield
    except BaseException as error:
        with suppress(Exception):  # the exception in flight says more
            if not folder.exists(SUMMARY) and Experiment(folder).exists:
                said = cause(bounded(str(error) or type(error).__name__))
                summary = replace(begin_summary(outcome_of_error(error)), error=said)
                write_summary(Experiment(folder), summary, began=began, spent=spent)
        raise


def outcome_of_error(error: BaseException) -> Outcome:
    """Return the outcome of a run that an exception ends."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return outcome_of_code(error.exit_code) if isinstance(error, JobError) else "unexpected error"


@contextmanager
def storage_errors(prepared: Prepared) -> Iterator[None]:
    """Turn an error of the file system into a line that says how to continue.

    Raises:
        StorageError: if the block raises an OSError.
    """
    try:
        yield
    except OSError as error:
        reason = prepared.stopper.detail or reason_of(error)
        raise StorageError(
            f"storage failed: {reason}; results so far are kept, continue them later with "
            f"--name {prepared.folder.name} --resume"
        ) from None
