"""The phases of a run: its stages, the finals, and the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.experiments.files import VERDICT
from tune_jobs.engine.experiments.history.records import Listener, SearchStart
from tune_jobs.engine.experiments.lease import Lease
from tune_jobs.engine.finals.decide import Decision, decide
from tune_jobs.engine.finals.rounds import check_rounds
from tune_jobs.engine.job.job import MakeTuner
from tune_jobs.engine.job.profile import Profile
from tune_jobs.engine.job.setup import Setup
from tune_jobs.engine.outcome import FINAL
from tune_jobs.engine.report.refresh import refreshed_report
from tune_jobs.engine.resume.continuation import Continuation, read_continuation
from tune_jobs.engine.resume.stages import find_stage, job_of_stage
from tune_jobs.engine.runs.finish import Ending, Timing, finish
from tune_jobs.engine.runs.fit_tuner import SearchResult, collect_result, fit, storage_errors
from tune_jobs.engine.runs.summarise import begin_summary, recording_outcome, write_summary
from tune_jobs.engine.storage.folder import Folder
from tune_jobs.engine.trials.adopt import adopt
from tune_jobs.engine.trials.interruption import Interruption
from tune_jobs.engine.trials.tuner import Prepared, prepare
from tune_jobs.engine.views.tracking import make_trackers

# The share of a run's time that its search may use; the rest is kept for the finals.
SEARCH_SHARE = 0.75


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
        with self._recorded():
            check_rounds(setup.job, setup.dataset)
            search = self._search_in_stages(setup, how)
            if search is None:  # an earlier run has done it
                return Experiment(self.folder)
            decision = self._decide(setup, search, how)
            return finish(Ending(search, self.profile, self.timing, setup, decision))

    def run_tuner(self, make_tuner: MakeTuner) -> Experiment:
        """Fit a tuner that a module builds itself, and write the summary.

        Raises:
            JobError: for a mistake that shows when the search starts, or at the first epoch.
            StorageError: if the end cannot be written.
        """
        with self._recorded():
            self._announce(Continuation())
            prepared = adopt(
                make_tuner,
                self.profile,
                self.folder,
                listeners=self.listeners,
                deadline=self.timing.deadline,
            )
            return finish(Ending(self._search(prepared), self.profile, self.timing))

    @contextmanager
    def _recorded(self) -> Iterator[None]:
        """Keep the report up to date, and write how a run ends that is broken off."""
        began, spent = self.timing.began, self.timing.spent
        with (
            refreshed_report(self.folder),
            recording_outcome(self.folder, began=began, spent=spent),
        ):
            yield

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
        result = collect_result(prepared)
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
        return fit(prepared, self.lease, self.interruption)

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
