"""The source of the finals: each task of the race is a trial of a Tune run with its own history.

The history lies in the folder ``finalists`` of the experiment, and interrupted finals continue from
it.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ray import tune
from ray.tune.experiment import Experiment as TuneExperiment
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import SearchAlgorithm

from tune_jobs.engine.deadline import Deadline
from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.experiments.failures import cause
from tune_jobs.engine.experiments.files import FINALISTS
from tune_jobs.engine.experiments.history.records import (
    Challenger,
    Chosen,
    Crash,
    Dropped,
    Epoch,
    Event,
    Listener,
    SavedCheckpoint,
    TrialEnd,
    TrialStart,
)
from tune_jobs.engine.finals.candidates import Candidate
from tune_jobs.engine.finals.fitting import BATCH, fit_finalist
from tune_jobs.engine.finals.race import Race, Task
from tune_jobs.engine.finals.rounds import Rounds
from tune_jobs.engine.goal import Goal
from tune_jobs.engine.job.changes import differing
from tune_jobs.engine.job.description import Description
from tune_jobs.engine.job.finalists import Finalists
from tune_jobs.engine.job.setup import Setup
from tune_jobs.engine.resume.past import NOT_ITS_FAULT
from tune_jobs.engine.space.membership import identity
from tune_jobs.engine.storage.folder import Folder
from tune_jobs.engine.trials.ray_trial import make_trial
from tune_jobs.engine.trials.recorder import Recorder
from tune_jobs.engine.trials.shipping import ship
from tune_jobs.engine.trials.stopping import RunStopper
from tune_jobs.engine.trials.tuner import Prepared, begin, build_tuner

if TYPE_CHECKING:
    from tune_jobs.engine.data.dataset import TrainingData
    from tune_jobs.engine.job.job import Job


# What must be the same for earlier fresh scores to count, in addition to job, data and code.
BASIS = ("metric", "mode", "max_epochs", "seed", "overlap")


class FinalistSource(SearchAlgorithm):  # type: ignore[misc]  # Ray calls it
    """Hands the tasks of a race to Tune, and the curves in the history to the race.

    Args:
        race: decides which finalist is trained next.
        candidates: the finalists.
        folder: of the finals.
        concurrency: how many tasks run at once.
    """

    def __init__(
        self,
        race: Race,
        candidates: Sequence[Candidate],
        folder: Folder,
        concurrency: int,
    ) -> None:
        self.race, self._candidates, self._folder = race, candidates, folder
        self._concurrency = concurrency
        self._places = {identity(each.config): place for place, each in enumerate(candidates)}
        self._numbers: dict[Task, int] = {}
        self._tasks: dict[int, Task] = {}
        self._checkpoints: dict[int, tuple[int, str]] = {}
        self._crashes: Counter[Task] = Counter()
        self._curves: dict[int, dict[int, dict[int, float]]] = {}
        self._last, self._finished = 0, False
        self._live: set[str] = set()
        self._experiment: TuneExperiment | None = None
        self.recorder: Recorder | None = None

    def replay(self, records: Iterable[Event]) -> None:
        """Take in what earlier runs trained; what they did not finish is trained again."""
        for record in records:
            self(record)
        self.race.forget_unfinished()

    def __call__(self, event: Event | None) -> None:
        """Take in a record of the finals' history."""
        match event:
            case TrialStart():
                self._start(event)
            case Epoch() if event.trial in self._tasks:
                value = event.metrics.get(self.race.goal.metric, math.nan)
                self._curves[event.trial][event.replica][event.epoch] = value
            case SavedCheckpoint() if event.trial in self._tasks:
                self._checkpoints[event.trial] = event.epoch, event.path
            case Crash() if event.trial in self._tasks:
                self._crashes[self._tasks[event.trial]] += 1
            case TrialEnd() if event.trial in self._tasks:
                self._end(event)

    def _start(self, start: TrialStart) -> None:
        number = self._last = start.trial
        place = self._places.get(identity(start.config))
        if place is None or start.batch is None:
            return  # it was a finalist of an earlier search
        self._tasks[number] = Task(place, start.batch)
        self._numbers[self._tasks[number]] = number
        self._curves.setdefault(number, defaultdict(dict))

    def _end(self, end: TrialEnd) -> None:
        before = self.race.alive, bool(self.race.ranking)
        self._judge(end)
        if self.recorder is None:
            return  # an earlier run has recorded the decision
        for place in before[0]:
            if place in self.race.dropped:
                scores = len(self.race.choice_scores(place))
                self.recorder.append(Dropped(self._candidates[place].trial, scores))
        if self.race.ranking and not before[1]:
            is_first = self.race.incumbent is None
            chosen = self.race.ranking[0] if is_first else self.race.challenger
            if chosen is not None:
                kind = Chosen if is_first else Challenger
                self.recorder.append(kind(self._candidates[chosen].trial))

    def _judge(self, end: TrialEnd) -> None:
        task, is_lost = self._tasks[end.trial], end.failure in NOT_ITS_FAULT
        if end.state in ("complete", "stopped"):
            self.race.add(task, list(self._curves[end.trial].values()))
        elif end.state == "failed" and is_lost and self.recorder is None:
            del self._numbers[task]  # an earlier run lost it; it is trained again
        elif end.state == "failed":
            self.race.fail(task, cause(end.error or ""), is_lost=is_lost)

    def set_search_properties(self, *_: Any, **__: Any) -> bool:
        """Learn nothing."""
        return True

    @property
    def total_samples(self) -> int:
        """The number of tasks, at most."""
        return self.race.most_tasks

    def add_configurations(self, experiments: Any) -> None:
        """Learn the experiment, from which trials are made."""
        (self._experiment,) = experiments

    def next_trial(self) -> Trial | None:
        """Return the next task, or None while enough are running or a decision is awaited."""
        if self._finished or self._experiment is None or self.recorder is None:
            return None
        if self.race.is_done:
            self._finished = True
        task = None if len(self._live) >= self._concurrency else self.race.next_task()
        if self._finished or task is None:
            return None
        self.race.start(task)
        number = self._numbers.get(task, self._last + 1)
        config = self._candidates[task.finalist].config
        trial = make_trial(
            self._experiment,
            self._folder,
            number,
            {**config, BATCH: task.batch},
            self._find_checkpoint(number),
            crashes=self._crashes[task],
        )
        self._live.add(trial.trial_id)
        self.recorder.announce(
            trial.trial_id,
            TrialStart(number, config, of=self._candidates[task.finalist].trial, batch=task.batch),
        )
        return trial

    def on_trial_complete(self, trial_id: str, *_: Any, **__: Any) -> None:
        """Make room for the next task; the history says how this one ended."""
        self._live.discard(trial_id)

    def __getstate__(self) -> dict[str, object]:
        """Leave everything out of what Tune pickles: the finals continue from their history."""
        return {}

    def _find_checkpoint(self, number: int) -> tuple[int, str] | None:
        found = self._checkpoints.get(number)
        return found if found and self._folder.exists(found[1]) else None


def prepare_finals(
    setup: Setup,
    experiment: Experiment,
    candidates: Sequence[Candidate],
    rounds: Rounds,
    *,
    finalists: Finalists,
    concurrency: int,
    listeners: Sequence[Listener],
    deadline: Deadline,
) -> tuple[Prepared, Race]:
    """Prepare a tuner that trains what the race still needs.

    Fresh scores of an earlier run count unless something has changed that they depend on.
    """
    job, folder = setup.job, experiment.folder.child(FINALISTS)
    about = _describe(job, experiment, rounds)
    before = Experiment(folder)
    if before.exists and not (experiment.finals and _is_comparable(before.description, about)):
        folder.delete_folder()
        before = Experiment(folder)
    folder.create()
    race = _make_race(experiment.goal, len(candidates), rounds, finalists)
    finals = FinalistSource(race, candidates, folder, concurrency)
    finals.replay(before.segments.records() if before.exists else ())
    stopper = RunStopper(
        about.metric, folder, deadline, setup.profile.min_free_gb, is_reported=True
    )
    recorder = begin(
        setup.profile,
        folder,
        about,
        target=race.most_tasks,
        listeners=[finals, *listeners],
        stopper=stopper,
    )
    finals.recorder = recorder
    tuner = build_tuner(
        replace(setup, folder=folder),
        _trainable(setup, rounds),
        finals,
        recorder,
        stopper=stopper,
        scheduler=FIFOScheduler(),
    )
    return Prepared(tuner, folder, recorder, stopper, concurrency), race


def _make_race(goal: Goal, count: int, rounds: Rounds, finalists: Finalists) -> Race:
    return Race(
        finalists=count,
        choosing=rounds.choosing,
        confirming=len(rounds.batches) - rounds.choosing,
        goal=goal,
        overlap=rounds.overlap,
        level=rounds.level,
        incumbent=0 if finalists.incumbent is not None else None,
        least_gain=finalists.least_gain,
    )


def _trainable(setup: Setup, rounds: Rounds) -> Any:
    return tune.with_parameters(
        fit_finalist,
        train=ship(setup.job.trainable, of=setup.job.trainable),
        fixed=rounds.constants,
        batches=rounds.batches,
        data=setup.store.put(_data_of(setup, rounds)),
        own_data=setup.store.put(setup.own_data.training if setup.own_data else None),
    )


def _data_of(setup: Setup, rounds: Rounds) -> TrainingData | None:
    """Return the data that finalists are trained on: those of the search, if they can be.

    Replicas in step want the rows of both sets in one array.
    """
    if setup.dataset is None or rounds.dataset is None:
        return None
    searched, whole = setup.dataset.training, rounds.dataset.training
    is_same = len(rounds.batches[0]) == 1 or searched.x_train is whole.x_train
    return searched if is_same else whole


def _describe(job: Job, experiment: Experiment, rounds: Rounds) -> Description:
    """Describe the experiment, and how often and on how many rows finalists are trained."""
    return replace(
        experiment.description,
        max_epochs=job.max_epochs,
        batches=tuple(len(batch) for batch in rounds.batches),
        choosing=rounds.choosing,
        overlap=rounds.overlap,
    )


def _is_comparable(before: Description, now: Description) -> bool:
    """Return whether fresh scores of earlier finals still count, which may have been more or fewer.

    A batch has the same seeds and folds in finals of any size.
    """
    is_same = all(getattr(before, name) == getattr(now, name) for name in BASIS)
    batches = zip(before.batches or (), now.batches or (), strict=False)
    return is_same and all(old == new for old, new in batches) and not differing(before, now)
