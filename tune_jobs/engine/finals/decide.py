"""After a search: the finals, the verdict, and the winner's model, trained on all it may see."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tune_jobs.engine.deadline import Deadline
from tune_jobs.engine.errors import JobError
from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.experiments.failures import cause
from tune_jobs.engine.experiments.files import TRIALS, VERDICT
from tune_jobs.engine.experiments.frames import compact
from tune_jobs.engine.experiments.segments import Listener, Record
from tune_jobs.engine.finals.candidates import Candidate, choose_finalists
from tune_jobs.engine.finals.race import Race
from tune_jobs.engine.finals.rounds import Rounds, make_rounds
from tune_jobs.engine.finals.source import prepare_finals
from tune_jobs.engine.finals.verdict import Cost, give_verdict
from tune_jobs.engine.outcome import Reason
from tune_jobs.engine.storage.folder import Folder
from tune_jobs.engine.trials.tuner import Prepared
from tune_jobs.engine.views.board import FINALISTS

if TYPE_CHECKING:
    from tune_jobs.engine.data.dataset import Dataset
    from tune_jobs.engine.job.job import Job
    from tune_jobs.engine.job.profile import Profile


@dataclass(frozen=True)
class Decision:
    """What became of the finals.

    Attributes:
        reached: why they ended before their end, None where they did not.
        verdict: what is said of the winner, None where there is none.
        reason: why there is none.
        rounds: what the finalists were trained on.
        race: how it went.
        candidates: the finalists.
    """

    reached: Reason | None
    verdict: dict[str, Any] | None
    reason: str
    rounds: Rounds
    race: Race
    candidates: Sequence[Candidate]

    @property
    def outcome(self) -> Reason | None:
        """How the run ended for that, None where the finals leave its outcome as it is."""
        return self.reached if self.reached != "same error" else None


def decide(
    job: Job,
    experiment: Experiment,
    dataset: Dataset | None,
    profile: Profile,
    fit: Callable[[Prepared], JobError | None],
    *,
    concurrency: int,
    listeners: Sequence[Listener],
    deadline: Deadline,
    defaults: Mapping[str, Any],
) -> Decision:
    """Train the best trials of a search again, on fresh seeds and folds, and choose the winner.

    Args:
        job: what was searched.
        experiment: what the search found.
        dataset: what it was searched on.
        profile: where.
        fit: fits a tuner that is ready.
        concurrency: how many trials run at once.
        listeners: called as for a search, with ``"stage": "finalists"`` in each record.
        deadline: when the finals have to end.
        defaults: values of hyperparameters that earlier trials did not have.
    """
    if job.finalists is None:
        raise ValueError("the job wants no finalists")
    candidates = choose_finalists(experiment, job, job.finalists, defaults)
    rounds = make_rounds(job, dataset, job.finalists)
    prepared, race = prepare_finals(
        job,
        experiment,
        profile,
        candidates,
        rounds,
        finalists=job.finalists,
        concurrency=concurrency,
        listeners=[_marked(listen) for listen in listeners],
        deadline=deadline,
    )
    failure = None
    if not race.is_done:
        for listen in listeners:
            listen(_start_record(experiment, race, candidates, len(rounds.batches[0])))
        failure = fit(prepared)
    compact(prepared.folder)
    stopper = prepared.recorder.stopper
    if not race.is_done:
        detail = str(failure) if failure else cause(stopper.detail) if stopper.detail else ""
        reason = f"the finals ended early: {detail or stopper.reached}"
        return Decision(stopper.reached, None, reason, rounds, race, candidates)
    prepared.folder.child(TRIALS).delete_folder()  # checkpoints that nobody will go on from
    costs = _measure_costs(prepared.folder, race, candidates, rounds)
    verdict = give_verdict(race, candidates, costs)
    if verdict is not None:
        experiment.folder.write_json(VERDICT, verdict)
    reason = "" if verdict else f"no finalist came through: {next(iter(race.failures.values()))}"
    return Decision(None, verdict, reason, rounds, race, candidates)


def _measure_costs(
    folder: Folder, race: Race, candidates: Sequence[Candidate], rounds: Rounds
) -> list[Cost]:
    """What a fit of each finalist takes, at the epoch that was chosen for it."""
    history = Experiment(folder)
    trials = {r["trial"]: r["of"] for r in history.segments.records() if r["kind"] == "trial"}
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
        costs.append({"parameters": parameters, "seconds": seconds})
    return costs


def _start_record(
    experiment: Experiment, race: Race, candidates: Sequence[Candidate], size: int
) -> Record:
    return {
        "kind": "start",
        "stage": FINALISTS,
        "name": experiment.name,
        "folder": experiment.folder.uri,
        "target": race.most_tasks,
        "trials": [each.trial for each in candidates],
        "has_incumbent": race.incumbent is not None,
        "fits_at_once": size,
    }


def _marked(listen: Listener) -> Listener:
    """The listener, which sees in each record that it is about the finals."""

    def call(record: Record | None) -> None:
        listen(None if record is None else {**record, "stage": FINALISTS})

    return call
