"""Run the finals after a search, and write their verdict."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tune_jobs.engine.deadline import Deadline
from tune_jobs.engine.errors import JobError
from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.experiments.failures import cause
from tune_jobs.engine.experiments.files import FINALISTS, TRIALS, VERDICT
from tune_jobs.engine.experiments.history.frames import compact
from tune_jobs.engine.experiments.history.records import FinalsStart, Listener, TrialStart
from tune_jobs.engine.experiments.verdict import Verdict
from tune_jobs.engine.finals.candidates import Candidate, choose_finalists
from tune_jobs.engine.finals.judging import Cost, give_verdict
from tune_jobs.engine.finals.race import Race
from tune_jobs.engine.finals.rounds import Rounds, make_rounds
from tune_jobs.engine.finals.source import prepare_finals
from tune_jobs.engine.job.setup import Setup
from tune_jobs.engine.outcome import Reason
from tune_jobs.engine.storage.folder import Folder
from tune_jobs.engine.trials.tuner import Prepared


@dataclass(frozen=True)
class Decision:
    """The result of the finals.

    Attributes:
        reached: why they ended early, None if they did not.
        verdict: the verdict on the winner, None if there is no winner.
        reason: why there is no winner.
        rounds: what the finalists were trained on.
        race: the scores of the finalists.
        candidates: the finalists.
    """

    reached: Reason | None
    verdict: Verdict | None
    reason: str
    rounds: Rounds
    race: Race
    candidates: Sequence[Candidate]

    @property
    def outcome(self) -> Reason | None:
        """The outcome of the run, None if the finals leave it as it was."""
        return self.reached if self.reached != "same error" else None


def decide(
    setup: Setup,
    experiment: Experiment,
    fit: Callable[[Prepared], JobError | None],
    *,
    concurrency: int,
    listeners: Sequence[Listener],
    deadline: Deadline,
    defaults: Mapping[str, Any],
) -> Decision:
    """Train the best trials of a search again, on fresh seeds and folds, and choose the winner.

    Args:
        setup: what was searched.
        experiment: the search's results.
        fit: fits a prepared tuner.
        concurrency: how many trials run at once.
        listeners: called as for a search, after a :class:`FinalsStart`.
        deadline: when the finals have to end.
        defaults: values of hyperparameters that earlier trials did not have.
    """
    job = setup.job
    if job.finalists is None:
        raise ValueError("the job has no finalists")
    candidates = choose_finalists(experiment, job, job.finalists, defaults)
    rounds = make_rounds(job, setup.dataset, job.finalists, trials=len(experiment.trials))
    prepared, race = prepare_finals(
        setup,
        experiment,
        candidates,
        rounds,
        finalists=job.finalists,
        concurrency=concurrency,
        listeners=listeners,
        deadline=deadline,
    )
    failure = None
    if not race.is_done:
        start = _describe_start(experiment, race, candidates, len(rounds.batches[0]))
        seconds = _expect_seconds(experiment, candidates, job.max_epochs)
        if seconds is not None:
            start = replace(start, seconds=seconds * start.target / concurrency)
        for listen in listeners:
            listen(start)
        failure = fit(prepared)
    compact(prepared.folder)
    if not race.is_done:
        reason = f"the finals ended early: {_why_ended(prepared, failure)}"
        return Decision(prepared.stopper.reached, None, reason, rounds, race, candidates)
    prepared.folder.child(TRIALS).delete_folder()  # nobody continues from these checkpoints
    verdict = _judge(experiment, race, candidates, rounds)
    reason = "" if verdict else f"every finalist failed: {next(iter(race.failures.values()))}"
    return Decision(None, verdict, reason, rounds, race, candidates)


def _expect_seconds(
    experiment: Experiment, candidates: Sequence[Candidate], max_epochs: int
) -> float | None:
    """Expect how long a task of the finals takes, by the epochs of the finalists in the search."""
    epochs = experiment.epochs
    known = epochs["trial"].isin([each.trial for each in candidates]) & (epochs["replica"] == 0)
    seconds = float(epochs.loc[known, "seconds"].mean())
    return seconds * max_epochs if math.isfinite(seconds) else None


def _why_ended(prepared: Prepared, failure: JobError | None) -> str:
    stopper = prepared.stopper
    if failure:
        return str(failure)
    return cause(stopper.detail) if stopper.detail else str(stopper.reached)


def _judge(
    experiment: Experiment, race: Race, candidates: Sequence[Candidate], rounds: Rounds
) -> Verdict | None:
    """Judge the race, and write the verdict."""
    costs = _measure_costs(experiment.folder.child(FINALISTS), race, candidates, rounds)
    verdict = give_verdict(race, candidates, costs)
    if verdict is not None:
        experiment.write(VERDICT, verdict)
    return verdict


def _measure_costs(
    folder: Folder, race: Race, candidates: Sequence[Candidate], rounds: Rounds
) -> list[Cost]:
    """Measure the cost of each finalist, trained to the epoch that was chosen for it."""
    history = Experiment(folder)
    starts = [r for r in history.segments.records() if isinstance(r, TrialStart)]
    trials = {start.trial: start.of for start in starts}
    epochs = history.epochs[history.epochs["replica"] == 0]
    finalist = epochs["trial"].map(trials)
    size = len(rounds.batches[0])
    costs: list[Cost] = []
    for place, candidate in enumerate(candidates):
        own = epochs[finalist == candidate.trial]
        known = history.trials.loc[
            history.trials["trial"].isin(own["trial"]), "parameters"
        ].dropna()
        parameters = None if known.empty else int(known.iloc[0])
        seconds = None
        if len(race.choice_scores(place)):
            own = own[own["epoch"] <= race.epochs(place)]
            seconds = float(own.groupby("trial")["seconds"].sum().mean()) / size
        costs.append(Cost(parameters, seconds))
    return costs


def _describe_start(
    experiment: Experiment, race: Race, candidates: Sequence[Candidate], size: int
) -> FinalsStart:
    return FinalsStart(
        name=experiment.name,
        folder=experiment.folder.uri,
        target=race.most_tasks,
        trials=[each.trial for each in candidates],
        has_incumbent=race.incumbent is not None,
        fits_at_once=size,
    )
