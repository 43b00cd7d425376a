"""The phases of a run: its search in stages, the finals, and the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace

import pandas as pd

from tune_jobs.engine.deadline import Timing
from tune_jobs.engine.environment import environment
from tune_jobs.engine.errors import JobError, reason_of
from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.experiments.failures import STORAGE_ERRORS
from tune_jobs.engine.experiments.files import VERDICT
from tune_jobs.engine.experiments.history.frames import compact
from tune_jobs.engine.experiments.history.records import Listener, SearchStart
from tune_jobs.engine.experiments.lease import Lease
from tune_jobs.engine.finals.decide import Decision, decide
from tune_jobs.engine.finals.rounds import check_rounds
from tune_jobs.engine.job.job import MakeTuner
from tune_jobs.engine.job.profile import Profile
from tune_jobs.engine.job.setup import Setup
from tune_jobs.engine.job.trust import trust
from tune_jobs.engine.outcome import FINAL, Outcome, Reason
from tune_jobs.engine.report.refresh import refreshed_report
from tune_jobs.engine.resume.continuation import Continuation, read_continuation
from tune_jobs.engine.resume.stages import find_stage, job_of_stage
from tune_jobs.engine.runs.finish import (
    Ending,
    begin_summary,
    finish,
    recording_outcome,
    storage_errors,
    write_summary,
)
from tune_jobs.engine.storage.folder import Folder
from tune_jobs.engine.trials.adopt import adopt
from tune_jobs.engine.trials.interruption import Interruption
from tune_jobs.engine.trials.ray_patches import (
    replaced_when_grown,
    short_queue,
    surviving_lost_workers,
    with_idle_workers_kept,
    without_checkpoint_snapshots,
    without_unused_work,
)
from tune_jobs.engine.trials.stopping import RunStopper
from tune_jobs.engine.trials.tuner import Prepared, prepare
from tune_jobs.engine.trials.warm_workers import in_warm_workers
from tune_jobs.engine.views.tracking import make_trackers

# The share of a run's time that its search may use; the rest is kept for the finals.
SEARCH_SHARE = 0.75


@dataclass(frozen=True)
class SearchResult:
    """A search, or a stage of one, that has ended.

    Attributes:
        experiment: its trials.
        prepared: the tuner that was fitted.
        outcome: how it ended.
    """

    experiment: Experiment
    prepared: Prepared
    outcome: Outcome

    @property
    def is_decidable(self) -> bool:
        """True if finalists may be trained now."""
        return self.outcome in (*FINAL, "budget used") and not self.experiment.usable.empty


@dataclass(frozen=True)
class Run:
    """A run, with everything that stays the same while it lasts.

    Attributes:
        profile: the machines, and the resources of a trial.
        folder: the experiment's.
        timing: when it began, and when it has to end.
        lease: what guards the folder.
        interruption: the effect of a signal.
        listeners: called with each event.
        track: the trackers, as ``--track`` names them.
    """

    profile: Profile
    folder: Folder
    timing: Timing
    lease: Lease
    interruption: Interruption
    listeners: Sequence[Listener]
    track: Sequence[str] = ()

    def run_job(self, setup: Setup, how: Continuation) -> Experiment:
        """Search, choose the winner, export its model, and write the summary.

        Raises:
            JobError: for a mistake that shows when the search starts, or at the first epoch.
            StorageError: if the end cannot be written.
        """
        check_rounds(setup.job, setup.dataset)
        search = self._search_in_stages(setup, how)
        trusted = trust(setup.job)
        if search is None:  # an earlier run has done it
            return Experiment(self.folder, trusted)
        decision = self._decide(setup, search, how)
        return finish(
            Ending(
                prepared=search.prepared,
                outcome=search.outcome,
                profile=self.profile,
                timing=self.timing,
                setup=setup,
                decision=decision,
                trusted=trusted,
            )
        )

    def run_tuner(self, make_tuner: MakeTuner) -> Experiment:
        """Fit a tuner that a module builds itself, and write the summary.

        Raises:
            JobError: for a mistake that shows when the search starts, or at the first epoch.
            StorageError: if the end cannot be written.
        """
        self._announce(Continuation())
        prepared = adopt(
            make_tuner,
            self.profile,
            self.folder,
            listeners=self.listeners,
            deadline=self.timing.deadline,
        )
        outcome = self._search(prepared).outcome
        trusted = trust(make_tuner)
        return finish(Ending(prepared, outcome, self.profile, self.timing, trusted=trusted))

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Keep the report up to date, and write how a run ends that is broken off."""
        began, spent = self.timing.began, self.timing.spent
        with (
            refreshed_report(self.folder),
            recording_outcome(self.folder, began=began, spent=spent),
            self._explained(),
            self.interruption.catching(),
        ):
            yield

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Say that the experiment is gone or was taken over, if a block fails because of that.

        Raises:
            TakenError: if another run has taken over.
            StorageError: if the experiment is gone.
        """
        try:
            yield
        except Exception:
            with suppress(OSError):  # storage that does not answer is what failed
                self.lease.check()
            raise

    def _search_in_stages(self, setup: Setup, how: Continuation) -> SearchResult | None:
        """Search from the present stage to the last; None if nothing was left to do."""
        job, search = setup.job, None
        deadline = self.timing.deadline
        if job.finalists is not None:
            deadline = deadline.share(SEARCH_SHARE)
        last = max(len(job.stages) - 1, 0)
        for number in range(find_stage(job, Experiment(self.folder)), last + 1):
            experiment = Experiment(self.folder)
            part, entering = job_of_stage(job, number, experiment)
            stage = replace(setup, job=part)
            now = read_continuation(replace(how, in_stages=bool(job.stages)), stage)
            if now.is_done and experiment.is_final and search is None and number == last:
                return None
            self._announce(now)
            prepared = prepare(
                stage,
                now,
                entering=entering,
                listeners=self.listeners,
                trackers=make_trackers(self.track, folder=self.folder, goal=job.goal),
                deadline=deadline,
            )
            search = self._search(prepared, is_done=now.is_done)
            if search.outcome not in FINAL:
                break
            how = how.for_next_stage()
        return search

    def _search(self, prepared: Prepared, *, is_done: bool = False) -> SearchResult:
        """Fit a tuner, and write the tables of what was found.

        Raises:
            JobError: for the user's mistake, once it is in the summary.
            StorageError: if nothing can be written.
        """
        mistake = None if is_done else self._fit(prepared)
        result = _collect_result(prepared)
        if mistake is None:
            return result
        with storage_errors(prepared):
            summary = replace(begin_summary("configuration error"), error=str(mistake))
            began, spent = self.timing.began, self.timing.spent
            write_summary(result.experiment, summary, began=began, spent=spent)
        raise mistake

    def _decide(self, setup: Setup, search: SearchResult, how: Continuation) -> Decision | None:
        """Train the finalists; an earlier verdict stands until there is a new one."""
        if not setup.job.finalists:
            self.folder.delete(VERDICT)
        if not setup.job.finalists or not search.is_decidable:
            return None
        with storage_errors(search.prepared):
            return decide(
                setup,
                search.experiment,
                self._fit,
                concurrency=search.prepared.concurrency,
                listeners=self.listeners,
                deadline=self.timing.deadline,
                defaults=how.defaults,
            )

    def _fit(self, prepared: Prepared) -> JobError | None:
        """Fit a tuner; return the user's mistake, or what storage refused, if that ended it.

        Raises:
            TakenError: if another run has taken over.
            StorageError: if the experiment is gone.
        """
        mistake = self._fit_unchecked(prepared)
        with storage_errors(prepared):
            self.lease.check()
        return mistake

    def _fit_unchecked(self, prepared: Prepared) -> JobError | None:
        prepared.recorder.lease = self.lease
        try:
            with (
                self.interruption.asking(prepared.stopper),
                replaced_when_grown(),
                surviving_lost_workers(),
                short_queue(),
                without_checkpoint_snapshots(),
                nullcontext() if prepared.is_adopted else without_unused_work(),
                nullcontext() if prepared.is_adopted else with_idle_workers_kept(),
                in_warm_workers(
                    self.profile,
                    prepared.recorder.max_epochs,
                    is_adopted=prepared.is_adopted,
                ),
                environment({"TUNE_MAX_PENDING_TRIALS_PG": str(prepared.concurrency)}),
            ):
                prepared.tuner.fit()
        except Exception as error:
            mistake = _find_mistake(error, prepared.stopper)
            if mistake is None and prepared.stopper.reached not in ("storage failed", "lease held"):
                raise
            return mistake
        return None

    def _announce(self, how: Continuation) -> None:
        """Notify the listeners of the start, and of earlier trials."""
        start = SearchStart(
            self.folder.name, self.folder.uri, target=how.target, imported=len(how.imported)
        )
        if how.past.last:
            experiment = Experiment(self.folder)
            ended = [trial.number for trial in how.past.trials if trial.is_finished]
            states = experiment.trials.set_index("trial")["state"].loc[ended]
            best = experiment.best_of_search
            start = replace(start, states=dict(states.value_counts()), best=best)
        for listen in self.listeners:
            listen(start)


def _find_mistake(error: BaseException | None, stopper: RunStopper) -> JobError | None:
    """Find the JobError behind an exception, and report full storage to the stopper."""
    while error is not None and not isinstance(error, JobError):
        if isinstance(error, OSError) and error.errno in STORAGE_ERRORS:
            stopper.fail_storage(reason_of(error))
        error = error.__cause__ or error.__context__
    return error


def _collect_result(prepared: Prepared) -> SearchResult:
    """Read what a search has found, and write its tables.

    Raises:
        StorageError: if they cannot be written.
    """
    experiment = Experiment(prepared.folder)
    with storage_errors(prepared):
        compact(prepared.folder)
    return SearchResult(experiment, prepared, _outcome_of(experiment, prepared.stopper.reached))


def _outcome_of(experiment: Experiment, reached: Reason | None) -> Outcome:
    """Derive the outcome of a search from its trials, unless it had a reason to end early."""
    if reached is not None:
        return reached
    if experiment.usable.empty:
        return "nothing usable"
    return "some trials failed" if _count_failed(experiment.trials) else "complete"


def _count_failed(trials: pd.DataFrame) -> int:
    """Count the trials that failed; one that diverged is no failure."""
    return int(((trials["state"] == "failed") & (trials["failure"] != "divergence")).sum())
