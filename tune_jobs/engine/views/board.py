"""The state of a running search, kept up to date from its records."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from tune_jobs.engine.experiments.segments import Record
from tune_jobs.engine.goal import Goal

# The stage that the records of finals are marked with.
FINALISTS = "finalists"

# Records of what was decided in the finals.
RACE = ("out", "chosen", "challenger")

# What machines are told; the history has more.
EVENTS = ("start", "trial", "epoch", "checkpoint", "end", "finish", *RACE)


@dataclass
class Board:
    """The state of a search, kept up to date from its records."""

    num_trials: int
    max_epochs: int
    goal: Goal
    started: float = field(default_factory=time.monotonic)
    running: dict[int, Record] = field(default_factory=dict)
    states: dict[str, int] = field(default_factory=dict)
    values: dict[int, tuple[float, int]] = field(default_factory=dict)
    best: Record | None = None
    in_finals: bool = False
    fits_at_once: int = 1

    @property
    def noun(self) -> str:
        """What is counted."""
        return "fit" if self.in_finals else "trial"

    @property
    def ended(self) -> int:
        """How many trials have come to an end."""
        return sum(self.states.values())

    def update(self, record: Record) -> None:
        """Take one record in."""
        number = record.get("trial", 0)
        if record["kind"] == "start":
            self._look_back(record)
        elif record["kind"] == "trial":
            self.running[number] = {"config": record["config"], "epoch": 0, "value": math.nan}
        elif record["kind"] == "epoch":
            self._update_epoch(number, record)
        elif record["kind"] == "end":
            self.running.pop(number, None)
            self.states[record["state"]] = self.states.get(record["state"], 0) + 1

    def _look_back(self, record: Record) -> None:
        """Take in what earlier runs of the experiment did."""
        self.num_trials = record.get("target") or self.num_trials
        self.in_finals = record.get("stage") == FINALISTS
        self.fits_at_once = record.get("fits_at_once", 1)
        self.running, self.values = {}, {}
        self.states = dict(record.get("states", {}))
        self.best = record.get("best")

    def _update_epoch(self, number: int, record: Record) -> None:
        value = record["metrics"].get(self.goal.metric, math.nan)
        trial = self.running[number]
        trial |= {"epoch": record["epoch"], "value": value}
        if not math.isfinite(value):
            return
        if number not in self.values or self.goal.better(value, self.values[number][0]):
            self.values[number] = (value, record["epoch"])
        if self.best is None or self.goal.better(value, self.best["value"]):
            self.best = {**trial, "trial": number}
