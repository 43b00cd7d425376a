"""The state of a running search, kept up to date from its records and events."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from tune_jobs.engine.experiments.history.records import (
    Continued,
    Event,
    FinalsStart,
    Paused,
    Progress,
    SearchStart,
    TrialEnd,
    TrialStart,
)
from tune_jobs.engine.experiments.summary import Best
from tune_jobs.engine.goal import Goal
from tune_jobs.engine.space.configs import Config

# So many trials have to end before the time that is left can be estimated.
FEWEST = 2


@dataclass
class RunningTrial:
    """A trial that runs: its config, last epoch, value and error there, the finalist of a fit."""

    config: Config
    epoch: int = 0
    value: float = math.nan
    of: int | None = None
    error: str = ""


@dataclass
class Board:
    """The state of a search, kept up to date from its records and events.

    Attributes:
        num_trials: how many trials there will be; in the finals, at most.
        max_epochs: where a trial is complete.
        goal: what is sought.
        started: when the search did, on a monotonic clock.
        running: the trials that run, by number.
        paused: those that wait until a scheduler lets them continue.
        states: how many trials ended in each state.
        values: the best value of each trial, and its epoch.
        errors: the error at that epoch, in the unit of the target.
        finalist_of: the finalist of each fit of the finals.
        best: the best trial so far.
        in_finals: whether the finalists are trained.
        fits_at_once: replicas in a batch of the finals.
        began: when the first trial of this search, or of the finals, began; on a monotonic clock.
        ended_before: how many trials had ended by then, in earlier runs.
    """

    num_trials: int
    max_epochs: int
    goal: Goal
    started: float = field(default_factory=time.monotonic)
    running: dict[int, RunningTrial] = field(default_factory=dict)
    paused: dict[int, RunningTrial] = field(default_factory=dict)
    states: dict[str, int] = field(default_factory=dict)
    values: dict[int, tuple[float, int]] = field(default_factory=dict)
    errors: dict[int, str] = field(default_factory=dict)
    finalist_of: dict[int, int] = field(default_factory=dict)
    best: Best | None = None
    in_finals: bool = False
    fits_at_once: int = 1
    began: float | None = None
    ended_before: int = 0

    def say(self, value: float, error: str | None = "") -> str:
        """Say a value of the metric, with the error of a number in its own unit if it is known."""
        return f"{self.goal.metric} {value:.5g}{f' ({error})' if error else ''}"

    def name(self, number: int) -> str:
        """Name a trial, or in the finals the fits of a task and their finalist."""
        if not self.in_finals:
            return f"trial {number}"
        size, last = self.fits_at_once, number * self.fits_at_once
        fits = f"fit {last}" if size == 1 else f"fits {last - size + 1}-{last}"
        of = self.finalist_of.get(number)
        return fits if of is None else f"{fits} of trial {of}"

    @property
    def standings(self) -> list[tuple[int, float]]:
        """The finalists with the means of their fits' best values so far, the best first."""
        found: dict[int, list[float]] = {}
        for number, (value, _) in self.values.items():
            if number in self.finalist_of and number not in self.running:
                found.setdefault(self.finalist_of[number], []).append(value)
        means = [(trial, sum(values) / len(values)) for trial, values in found.items()]
        return sorted(means, key=lambda each: self.goal.sign * each[1])

    @property
    def ended(self) -> int:
        """The number of trials that have ended."""
        return sum(self.states.values())

    @property
    def seconds_left(self) -> float | None:
        """The time until the last trial ends, if all take as long as the ended ones did on average.

        None before two have ended in this run.
        """
        done = self.ended - self.ended_before
        if self.began is None or done < FEWEST:
            return None
        spent = time.monotonic() - self.began
        return spent / done * max(self.num_trials - self.ended, 0)

    def update(self, event: Event) -> None:
        """Take in a record or an event."""
        match event:
            case Progress():
                self._note_value(event)
            case TrialStart():
                self.running[event.trial] = RunningTrial(event.config, of=event.of)
                if event.of is not None:
                    self.finalist_of[event.trial] = event.of
                if self.began is None:
                    self.began, self.ended_before = time.monotonic(), self.ended
            case TrialEnd():
                self.running.pop(event.trial, None)
                self.paused.pop(event.trial, None)
                self.states[event.state] = self.states.get(event.state, 0) + 1
            case Paused() if event.trial in self.running:
                self.paused[event.trial] = self.running.pop(event.trial)
            case Continued():
                self._continue(event)
            case SearchStart():
                self.num_trials = event.target or self.num_trials
                self.in_finals, self.fits_at_once, self.began = False, 1, None
                self.running, self.paused, self.values, self.errors = {}, {}, {}, {}
                self.states, self.best = dict(event.states or {}), event.best
            case FinalsStart():
                self.num_trials = event.target
                self.in_finals, self.fits_at_once = True, event.fits_at_once
                self.began = None
                self.running, self.paused, self.values, self.errors = {}, {}, {}, {}
                self.states, self.best, self.finalist_of = {}, None, {}

    def _continue(self, event: Continued) -> None:
        if event.trial in self.paused:
            self.running[event.trial] = self.paused.pop(event.trial)
        if event.was_stopped:
            self.states["stopped"] = self.states.get("stopped", 0) - 1

    def _note_value(self, event: Progress) -> None:
        number, epoch, value = event.trial, event.epoch, event.value
        trial = self.running[number]
        trial.epoch, trial.value, trial.error = epoch, value, event.error
        if not math.isfinite(value):
            return
        if number not in self.values or self.goal.better(value, self.values[number][0]):
            self.values[number], self.errors[number] = (value, epoch), event.error
        if self.best is None or self.goal.better(value, self.best.value):
            self.best = Best(trial=number, epoch=epoch, value=value, config=trial.config)
