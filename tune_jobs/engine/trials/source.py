"""The source of trials: unfinished ones first, then given points, then the searcher's suggestions.

Tune asks for one trial after another. No config is trained twice: if one was tried before, the
searcher gets its score from the history; once all of a finite space was tried, the search ends.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ray.tune.experiment import Experiment, Trial
from ray.tune.search import SearchAlgorithm
from ray.tune.search import Searcher as RaySearcher

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.experiments.failures import of_lost_worker
from tune_jobs.engine.experiments.history.records import (
    Continued,
    KnownConfig,
    TrialEnd,
    TrialStart,
)
from tune_jobs.engine.experiments.messages import Result, failure_in, values_in
from tune_jobs.engine.goal import Goal, Mode
from tune_jobs.engine.names import trial_id
from tune_jobs.engine.resume.past import NOT_ITS_FAULT, Past, PastTrial
from tune_jobs.engine.search.observations import Curve, Observation
from tune_jobs.engine.search.promotion.scheduler import PromotingScheduler
from tune_jobs.engine.search.space_searcher import RandomDraws, SpaceSearcher
from tune_jobs.engine.space.configs import IN_STEP, Config, without_followers
from tune_jobs.engine.space.domains import Space
from tune_jobs.engine.space.grid import MOST_GRID_POINTS, count_points, iterate
from tune_jobs.engine.space.membership import identity
from tune_jobs.engine.storage.folder import Folder
from tune_jobs.engine.trials.done_rule import DoneRule
from tune_jobs.engine.trials.ray_trial import make_trial
from tune_jobs.engine.trials.recorder import Recorder, error_of
from tune_jobs.engine.trials.reserve import Chosen, Reserve

# The known suggestions in a row after which a config is drawn at random instead, and the known
# random draws after which the search ends.
MOST_KNOWN, MOST_DRAWS = 20, 1000


class TrialSource(SearchAlgorithm):  # type: ignore[misc]  # Ray calls it
    """Numbers the trials of an experiment and chooses their configs.

    Args:
        searcher: suggests configs.
        space: of the configs.
        folder: the experiment, which holds the checkpoints.
        past: what was done before.
        points: configs to try first.
        num_trials: how many trials the experiment will have, the earlier ones included.
        concurrency: how many run at once.
        allow_repeats: whether a config may be trained more than once.
        seed: of random draws in place of known suggestions.
        max_epochs: the ceiling of a trial's epochs.
        recorder: records trials that are about to start, and known configs.
        done: ends the search when more trials are not worth it; None to never do so.
        promotion: the scheduler if it pauses trials and promotes them later, else None.
        in_step: how many trials a worker may train in step.
    """

    def __init__(
        self,
        searcher: SpaceSearcher,
        space: Space,
        folder: Folder,
        *,
        past: Past,
        points: Sequence[Config],
        num_trials: int,
        concurrency: int,
        allow_repeats: bool,
        seed: int,
        max_epochs: int,
        recorder: Recorder,
        done: DoneRule | None = None,
        promotion: PromotingScheduler | None = None,
        in_step: int = 1,
    ) -> None:
        self._done = done
        self._searcher, self._space, self._folder, self._past = searcher, space, folder, past
        self._unfinished = [trial for trial in past.unfinished if not trial.waits]
        self._points = list(points)
        self._num_trials, self._number = num_trials, past.last
        self._concurrency, self._allow_repeats, self._seed = concurrency, allow_repeats, seed
        self._recorder, self._promotion = recorder, promotion
        self._waiting = {trial_id(t.number): t for t in past.trials if t.waits}
        self._known: dict[str, tuple[int, float | None]] = {}  # number and score by identity
        self._reserve = Reserve(in_step, concurrency)
        self._live: dict[str, Trial] = {}
        self._suggested: dict[str, str] = {}  # the searcher's own keys of running trials
        self._curves: dict[str, list[tuple[int, float]]] = {}  # of running trials
        searcher.max_epochs, searcher.allow_repeats = max_epochs, allow_repeats
        self._size = _size(space)
        self._experiment: Experiment | None = None
        self._finished = self._has_all = False
        self.ended_because: str | None = None

    def set_search_properties(
        self, metric: str | None, mode: Mode | None, config: Space, **_: Any
    ) -> bool:
        """Learn metric and mode, and give the searcher all results so far."""
        if metric is None or mode is None:
            return False
        self._goal = Goal(metric, mode)
        if not self._searcher.set_search_properties(metric, mode, config):
            return False
        if self._done:
            self._done.begin(self._goal, config, self._searcher.max_epochs)
        for place, result in enumerate(self._past.results):
            key = f"result {place}" if result.trial is None else trial_id(result.trial)
            self._learn(key, self._observe(result.config, result.score, result.curve))
        self._searcher.asked = self._past.asked
        for trial in self._past.trials:
            self._known[identity(trial.config)] = (trial.number, trial.score)
            if not (trial.is_finished or trial.waits):
                self._note(trial_id(trial.number), trial.config, trial.curve)
        return True

    @property
    def total_samples(self) -> int:
        """The number of trials that this run has."""
        return max(self._num_trials - self._past.last, 0) + len(self._past.unfinished)

    def add_configurations(self, experiments: Any) -> None:
        """Learn the experiment, from which trials are made."""
        (self._experiment,) = experiments

    def next_trial(self) -> Trial | None:
        """Return the next trial, or None while enough are running or nothing is left.

        A trial that waits for its promotion comes before a new one.
        """
        running = self._count_running()
        if self._finished or running >= self._concurrency:
            return None
        if self._unfinished:
            return self._resume(self._unfinished.pop(0))
        if self._promotion is not None and (name := self._promotion.promote()):
            return self._promote(name)
        if self._reserve.is_wanted:
            self._choose()
        if found := self._reserve.take(trial_id(self._number + 1)):
            return self._start(*found)
        if self._has_all and self._promotion is not None:
            self._promotion.expect_no_more()
            if name := self._promotion.promote():
                return self._promote(name)
        if self._has_all and not (running and self._promotion):  # else some may be promoted
            self._close()
        return None

    def _count_running(self) -> int:
        """Count the trials that have a worker or are about to.

        A trial that a scheduler has paused waits for others, which therefore have to start.
        """
        chosen = self._promotion.chosen if self._promotion else ()
        live = self._live.items()
        return sum(trial.status != Trial.PAUSED or name in chosen for name, trial in live)

    def _resume(self, past: PastTrial) -> Trial:
        self._extend(trial_id(past.number), past.curve)
        return self._make(past.number, past.config, past)

    def _promote(self, name: str) -> Trial | None:
        """Let a trial train further: return it if it is of an earlier run; else Tune has it."""
        past = self._waiting.pop(name, None)
        if past is not None:
            if past.is_finished:
                self._recorder.notify(Continued(past.number, was_stopped=True))
            return self._resume(past)
        self._note(name, without_followers(self._live[name].config), ())
        return None

    def _choose(self) -> None:
        """Choose the configs of a worker's next trials, unless there are enough."""
        left = self._num_trials - self._number - len(self._reserve)
        if left <= 0:
            self._has_all = True
        elif not self._has_all and self._done and (reason := self._done.reason()):
            self._end(reason)
        if self._has_all:
            return
        for place in range(self._reserve.begin(left)):
            if (found := self._next_config()) is None:
                return
            self._reserve.add(found)
            if place and found.key is not None:
                self._learn(found.key, Observation(found.config, (), "running"))

    def _start(self, found: Chosen, followers: Sequence[Config]) -> Trial:
        """Make a new trial, and say which configs follow it in its worker."""
        self._number += 1
        if found.key is not None:
            self._suggested[trial_id(self._number)] = found.key
        self._known.setdefault(identity(found.config), (self._number, None))
        return self._make(self._number, found.config, by=found.by, followers=followers)

    def _close(self) -> None:
        """End the search, and stop the trials that wait."""
        self._finished = True
        if self._promotion is not None:
            self._promotion.close()
        for past in self._waiting.values():
            if not past.is_finished:
                self._recorder.append(TrialEnd(past.number, "stopped", None, None))

    def on_trial_result(self, trial_id: str, result: Result) -> None:
        """Note the values that a trial reports."""
        if trial := self._live.get(trial_id):
            config = without_followers(trial.config)
            self._note(trial_id, config, values_in(result, self._goal.metric))

    def on_trial_complete(
        self, trial_id: str, result: Result | None = None, error: bool = False
    ) -> None:
        """Give the searcher the curve of a trial, or say that the config failed.

        A trial that was lost with its machine is forgotten.
        """
        trial = self._live.pop(trial_id, None)
        if trial is None:
            return
        self._reserve.end(trial_id)
        config = without_followers(trial.config)
        key = self._suggested.pop(trial_id, trial_id)
        curve = self._extend(trial_id, values_in(result or {}, self._goal.metric))
        del self._curves[trial_id]
        failed = failure_in(result or {}, self._goal.metric)
        if error:
            failed = of_lost_worker(error_of(trial))
        is_lost = failed is not None and failed.kind in NOT_ITS_FAULT
        if is_lost or (failed is None and not curve and result is None):
            self._known.pop(identity(config), None)
            self._learn(key, Observation(config, (), "withdrawn"))
            return
        is_bad = failed is not None or not curve
        score = None if is_bad else self._goal.best(value for _, value in curve)
        self._known[identity(config)] = (int(trial_id), score)
        self._learn(key, self._observe(config, score, curve))

    def __getstate__(self) -> dict[str, object]:
        """Leave everything out of what Tune pickles: a search continues from its history."""
        return {}

    def _next_config(self) -> Chosen | None:
        """Return the next config; None if there is none yet, or no more."""
        while self._points:
            point = self._points.pop(0)
            if identity(point) not in self._known and point not in self._reserve:
                return Chosen(point, "points", self._searcher.asked)
        if not self._allow_repeats and self._is_exhausted():
            self._end(f"all {self._size:,} configurations of the space have been tried")
            return None
        for attempt in range(MOST_KNOWN):
            key = f"{self._number + len(self._reserve) + 1}.{attempt}"
            config = self._searcher.suggest(key)
            if config == RaySearcher.FINISHED:
                self._end("the searcher has no more suggestions")
                return None
            if config is None:
                return None
            if self._is_new(config):
                return Chosen(config, self._searcher.chosen_by, self._searcher.asked, key)
            self._answer(key, config)
        config = self._draw()
        if config is None:
            self._end("no new configuration was found")
            return None
        return Chosen(config, "random", self._searcher.asked)

    def _learn(self, key: str, observation: Observation) -> None:
        self._searcher.learn(key, observation)
        if self._done:
            self._done.learn(key, observation)

    def _is_new(self, config: Config) -> bool:
        is_known = identity(config) in self._known or config in self._reserve
        return self._allow_repeats or not is_known

    def _answer(self, key: str, config: Config) -> None:
        """Give the searcher the score of a known config; of one that is running, none."""
        number, score = self._known.get(identity(config), (0, None))
        if trial_id(number) in self._live or not number:
            self._learn(key, Observation(config, (), "withdrawn"))
            return
        self._learn(key, self._observe(config, score))
        self._recorder.append(KnownConfig(number, self._searcher.asked, config, score))

    def _is_exhausted(self) -> bool:
        known = len(self._known) + len(self._reserve)
        return self._size is not None and known >= self._size

    def _draw(self) -> Config | None:
        """Draw a config that was not tried, at random."""
        draws = RandomDraws(self._seed + self._searcher.asked)
        draws.set_search_properties(self._goal.metric, "min", self._space)
        for _ in range(MOST_DRAWS):
            if self._is_new(config := draws.suggest("")):
                return config
        if self._size is None or self._size > MOST_GRID_POINTS:
            return None
        return next((config for config in iterate(self._space) if self._is_new(config)), None)

    def _end(self, reason: str) -> None:
        """Start no more trials, though there are fewer than there should be."""
        self._has_all, self.ended_because = True, reason

    def _make(
        self,
        number: int,
        config: Config,
        past: PastTrial | None = None,
        by: str | None = None,
        followers: Sequence[Config] = (),
    ) -> Trial:
        if self._experiment is None:
            raise RuntimeError("Tune has not handed over the experiment yet")
        name = trial_id(number)
        checkpoint = past.checkpoint if past else None
        trial = make_trial(
            self._experiment,
            self._folder,
            number,
            {**config, IN_STEP: followers} if followers else config,
            checkpoint,
            crashes=past.crashes if past else 0,
        )
        self._live[name] = trial
        self._note(name, config, ())
        asked = self._reserve.asked(self._searcher.asked)
        self._recorder.announce(name, TrialStart(number, config, asked, by))
        return trial

    def _note(self, name: str, config: Config, values: Curve) -> None:
        """Note values of a trial, and let the searcher learn them; one that waits has ended."""
        curve = self._extend(name, values)
        key = self._suggested.get(name, name)
        waits = self._promotion is not None and self._promotion.is_waiting(name)
        self._learn(key, Observation(config, curve, "ended" if waits else "running"))

    def _extend(self, name: str, values: Curve) -> Curve:
        """Add the finite values of a trial's later epochs to its curve."""
        curve = self._curves.setdefault(name, [])
        last = curve[-1][0] if curve else 0
        curve += [each for each in values if each[0] > last and math.isfinite(each[1])]
        return tuple(curve)

    def _observe(self, config: Config, score: float | None, curve: Curve = ()) -> Observation:
        """Return what is known of a config that has ended, or that failed if it has no score.

        A config of which only the score is known ran to the end.
        """
        if score is None:
            return Observation(config, curve, "failed")
        return Observation(config, curve or ((self._searcher.max_epochs, score),), "ended")


def _size(space: Space) -> int | None:
    """Count the configs of a finite space; None for an infinite one."""
    try:
        return count_points(space)
    except JobError:
        return None
