"""The course of a run: its stages, the finals, and what is written at the end."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from tune_jobs.engine.analysis.advice import advise_on, warnings_of
from tune_jobs.engine.analysis.importance import measure_importance
from tune_jobs.engine.analysis.usage import measure_usage
from tune_jobs.engine.deadline import Deadline
from tune_jobs.engine.environment import environment
from tune_jobs.engine.errors import JobError, StorageError, reason_of
from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.experiments.failures import STORAGE_ERRORS
from tune_jobs.engine.experiments.files import FINALISTS, VERDICT
from tune_jobs.engine.experiments.history.frames import compact
from tune_jobs.engine.experiments.history.records import Listener, SearchStart
from tune_jobs.engine.experiments.lease import Lease
from tune_jobs.engine.experiments.summary import Summary, Usage
from tune_jobs.engine.finals.decide import Decision, decide
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
from tune_jobs.engine.finals.rounds import check_rounds
from tune_jobs.engine.job.description import Slot
from tune_jobs.engine.job.job import Job, MakeTuner
from tune_jobs.engine.job.profile import Profile
from tune_jobs.engine.outcome import FINAL, Outcome, outcome_of
from tune_jobs.engine.report.refresh import refreshed_report
from tune_jobs.engine.resume.continuation import Continuation, read_continuation
from tune_jobs.engine.resume.stages import find_stage, job_of_stage, list_stages
from tune_jobs.engine.runs.summarise import begin_summary, recording_outcome, write_summary
from tune_jobs.engine.storage.folder import Folder
from tune_jobs.engine.trials.interruption import Interruption
from tune_jobs.engine.trials.ray_patches import (
    replaced_when_grown,
    short_queue,
    without_checkpoint_snapshots,
)
from tune_jobs.engine.trials.tuner import Prepared, adopt, prepare
from tune_jobs.engine.views.fallback import describe_fallbacks
from tune_jobs.engine.views.tracking import make_trackers

if TYPE_CHECKING:
    from tune_jobs.engine.data.dataset import Dataset

# The share of a run's time that its search may use; the rest is kept for the finalists.
SEARCH_SHARE = 0.75

# The export gets at least so many seconds, even if the deadline is nearer or past.
EXPORT_SECONDS = 120.0


@dataclass(frozen=True)
class SearchResult:
    """A search, or a stage of one, that has ended.

    Attributes:
        experiment: what it found.
        prepared: what it was run with.
        outcome: how it ended.
    """

    experiment: Experiment
    prepared: Prepared
    outcome: Outcome

    @property
    def is_decidable(self) -> bool:
        """Whether finalists may be trained now."""
        return self.outcome in (*FINAL, "budget used") and not self.experiment.usable.empty


@dataclass(frozen=True)
class Run:
    """A run of a job, with everything that stays the same while it runs.

    Attributes:
        job: what is run; or a function of profile and name that returns a ``ray.tune.Tuner``.
        profile: where.
        folder: the experiment's.
        dataset: the job's, None where it has none.
        lease: what guards the folder.
        listeners: called with what happens.
        track: who is told of each epoch besides.
        began: when it did, in seconds since 1970.
        deadline: when it has to end.
        command: what was asked for.
        interruption: what a signal does.
        slot: the slot of a schedule that it is for, None for none.
        spent: seconds of workers that earlier runs of the experiment took.
    """

    job: Job | MakeTuner
    profile: Profile
    folder: Folder
    dataset: Dataset | None
    lease: Lease
    listeners: Sequence[Listener]
    track: Sequence[str]
    began: float
    deadline: Deadline
    command: Mapping[str, Any]
    interruption: Interruption
    slot: Slot | None = None
    spent: float = 0.0

    def run(self, how: Continuation) -> Experiment:
        """SearchResult, choose the winner, export its model, summarise and report.

        Raises:
            JobError: for a mistake that shows when the search is made, or at the first epoch.
            StorageError: where the end cannot be written.
        """
        with (
            refreshed_report(self.folder),
            recording_outcome(self.folder, began=self.began, spent=self.spent),
        ):
            if not isinstance(self.job, Job):
                self._announce(how)
                tuner = adopt(self.job, self.profile, self.folder, self.listeners, self.deadline)
                return self._finish(self._search(tuner), None)
            check_rounds(self.job, self.dataset)
            search = self._search_in_stages(self.job, how)
            if search is None:  # it was done before
                return Experiment(self.folder)
            return self._finish(search, self._decide(self.job, search, how))

    def _decide(self, job: Job, search: SearchResult, how: Continuation) -> Decision | None:
        """Train the finalists; an earlier verdict stands until there is another."""
        if not job.finalists:
            self.folder.delete(VERDICT)
        if not job.finalists or not search.is_decidable:
            return None
        with _storage_errors(search.prepared):
            return decide(
                job,
                search.experiment,
                self.dataset,
                self.profile,
                self._fit,
                concurrency=search.prepared.concurrency,
                listeners=self.listeners,
                deadline=self.deadline,
                defaults=how.defaults,
            )

    def _search_in_stages(self, job: Job, how: Continuation) -> SearchResult | None:
        """Search from the stage that the experiment is in to the last; a job without is one."""
        search = None
        last = max(len(job.stages) - 1, 0)
        for number in range(find_stage(job, Experiment(self.folder)), last + 1):
            part, entering = job_of_stage(job, number, Experiment(self.folder))
            how = replace(how, in_stages=bool(job.stages))
            now = read_continuation(how, self.folder, part, self.profile, self.dataset)
            was_done = Experiment(self.folder).is_final
            if now.is_done and was_done and search is None and number == last:
                return None
            self._announce(now)
            prepared = prepare(
                part,
                self.profile,
                self.folder,
                self.dataset,
                self.listeners,
                self._search_deadline,
                now,
                {"command": dict(self.command), "slot": self.slot},
                entering,
                make_trackers(self.track, folder=self.folder, goal=job.goal),
            )
            search = self._search(prepared, is_done=now.is_done)
            if search.outcome not in FINAL:
                break
            how = Continuation(
                resume=True,
                defaults=how.defaults,
                allow_changed=True,
                allow_repeats=how.allow_repeats,
            )
        return search

    def _announce(self, how: Continuation) -> None:
        """Notify the listeners of the start, and of earlier trials."""
        start = SearchStart(
            self.folder.name, self.folder.uri, target=how.target, imported=len(how.imported)
        )
        if how.past.last:
            experiment = Experiment(self.folder)
            ended = [trial.number for trial in how.past.trials if trial.is_finished]
            states = experiment.trials.set_index("trial")["state"].loc[ended]
            best = None if experiment.usable.empty else experiment.best
            start = replace(start, states=dict(states.value_counts()), best=best)
        for listen in self.listeners:
            listen(start)

    @property
    def _search_deadline(self) -> Deadline:
        """When the search has to end, so that the finals have time left."""
        has_finals = isinstance(self.job, Job) and self.job.finalists is not None
        return self.deadline.share(SEARCH_SHARE, self.began) if has_finals else self.deadline

    @property
    def _export_deadline(self) -> Deadline:
        """When the winner's model has to be made."""
        return self.deadline.at_least(EXPORT_SECONDS)

    def _search(self, prepared: Prepared, *, is_done: bool = False) -> SearchResult:
        """SearchResult, and make files for people of what was found.

        Raises:
            JobError: for the user's mistake, once it is in the summary.
            StorageError: where nothing can be written.
        """
        failure = None if is_done else self._fit(prepared)
        experiment, stopper = Experiment(self.folder), prepared.recorder.stopper
        with _storage_errors(prepared):
            compact(self.folder)
            if failure:
                summary = begin_summary("configuration error")
                self._summarise(experiment, replace(summary, error=str(failure)))
                raise failure
        failed = _count_failed(experiment.trials)
        return SearchResult(
            experiment, prepared, outcome_of(failed, len(experiment.usable), stopper.reached)
        )

    def _fit(self, prepared: Prepared) -> JobError | None:
        """Fit, and find the user's mistake, or full storage, in what Tune raises."""
        stopper = prepared.recorder.stopper
        prepared.recorder.lease = self.lease
        try:
            with (
                self.interruption.asking(stopper),
                replaced_when_grown(),
                short_queue(),
                without_checkpoint_snapshots(),
                environment({"TUNE_MAX_PENDING_TRIALS_PG": str(prepared.concurrency)}),
            ):
                prepared.tuner.fit()
        except Exception as error:
            cause: BaseException | None = error
            while cause is not None and not isinstance(cause, JobError):
                if isinstance(cause, OSError) and cause.errno in STORAGE_ERRORS:
                    stopper.fail_storage(reason_of(cause))
                cause = cause.__cause__ or cause.__context__
            if cause is None and stopper.reached != "storage failed":
                raise
            return cause
        return None

    def _finish(self, search: SearchResult, decision: Decision | None) -> Experiment:
        """Export the winner's model, and write the summary."""
        prepared, decided = search.prepared, time.time()
        with _storage_errors(prepared):
            experiment = Experiment(self.folder)
            summary = _summary_of(search, decision)
            summary = self._add_advice(summary, experiment)
            summary = self._add_winner(summary, experiment, decision)
            usage = self._measure_usage(experiment, prepared.concurrency, decided)
            self._summarise(experiment, replace(summary, usage=usage), prepared.concurrency)
        return Experiment(self.folder)

    def _add_advice(self, summary: Summary, experiment: Experiment) -> Summary:
        """Add the stages of the space, and warnings about its bounds and about slow trials."""
        warnings = tuple(describe_fallbacks(experiment.trials))
        if not isinstance(self.job, Job):
            return replace(summary, warnings=warnings)
        importance = measure_importance(
            experiment.trials,
            experiment.epochs,
            goal=self.job.goal,
            rungs=self.job.rungs or None,
        )
        bounds = warnings_of(advise_on(experiment, self.job.space, importance.effects))
        stages = list_stages(experiment) if self.job.stages else ()
        return replace(summary, stages=stages, warnings=(*bounds, *warnings))

    def _add_winner(
        self, summary: Summary, experiment: Experiment, decision: Decision | None
    ) -> Summary:
        """Export the winner's model, unless there is no winner or somebody waits for the end."""
        if experiment.usable.empty:
            return summary
        save_config(experiment)
        summary = replace(summary, best=experiment.best)
        if summary.outcome in ("interrupted", "storage failed"):
            reason = f"the run ended with outcome {summary.outcome!r}"
            return replace(summary, no_model=reason)
        try:
            made = self._make_model(experiment, decision)
        except NoModelError as error:
            return replace(summary, no_model=str(error))
        except LateError as error:
            return replace(summary, outcome="budget used", no_model=str(error))
        except JobError as error:
            return replace(summary, outcome="unexpected error", no_model=str(error))
        return replace(summary, test=made.test, ensemble=made.ensemble)

    def _make_model(self, experiment: Experiment, decision: Decision | None) -> ExportedModel:
        """Train the winner on all rows but the test set; if it cannot be, export its checkpoint.

        Raises:
            NoModelError: if the trainable's module or the checkpoint lacks what a model needs.
            JobError: if a model could not be made that should have been.
            LateError: if the deadline passes before that.
        """
        recipe, deadline = companions(experiment), self._export_deadline
        if isinstance(self.job, Job) and decision:
            made = make_model(self.job, experiment, recipe, decision, self.profile, deadline)
            if made is not None:
                return made
        return save_model(experiment, recipe_of(experiment), self.dataset, self.profile, deadline)

    def _measure_usage(self, experiment: Experiment, workers: int, decided: float) -> Usage | None:
        """Measure where the time of this run went, including its finals."""
        frames = [experiment.trials]
        finals = Experiment(self.folder.child(FINALISTS))
        if finals.exists:
            frames.append(finals.trials)
        own = [frame[frame["ended"] >= self.began] for frame in frames]
        trials = pd.concat([frame for frame in own if not frame.empty] or own[:1])
        return measure_usage(trials, workers, self.began, decided, time.time())

    def _summarise(self, experiment: Experiment, summary: Summary, workers: int = 0) -> None:
        write_summary(experiment, summary, began=self.began, spent=self.spent, workers=workers)


def _summary_of(search: SearchResult, decision: Decision | None) -> Summary:
    """Return what search and finals add to the summary of their run."""
    prepared, outcome, no_winner = search.prepared, search.outcome, None
    if decision is not None and decision.verdict is None:
        outcome, no_winner = decision.outcome or search.outcome, decision.reason
    return replace(
        begin_summary(outcome),
        attempt=prepared.recorder.attempt,
        error=prepared.recorder.stopper.detail or None,
        ended_because=prepared.search.ended_because if prepared.search else None,
        no_winner=no_winner,
    )


def _count_failed(trials: pd.DataFrame) -> int:
    """How many trials failed; one that diverged did what it was asked to."""
    return int(((trials["state"] == "failed") & (trials["failure"] != "divergence")).sum())


@contextmanager
def _storage_errors(prepared: Prepared) -> Iterator[None]:
    """Turn what the file system refuses into a line that says how to go on.

    Raises:
        StorageError: for any other exception of the operating system.
    """
    try:
        yield
    except OSError as error:
        reason = prepared.recorder.stopper.detail or reason_of(error)
        raise StorageError(
            f"storage failed: {reason}; results so far are kept, continue them later with "
            f"--name {prepared.folder.name} --resume"
        ) from None
