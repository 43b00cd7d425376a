"""Read what a report shows of one experiment, as plain values."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tune_jobs.engine.analysis.clock import Clock, make_clock
from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.experiments.history.replicas import average_replicas
from tune_jobs.engine.experiments.summary import Summary
from tune_jobs.engine.experiments.verdict import Verdict
from tune_jobs.engine.goal import Goal
from tune_jobs.engine.report.hyperparameters import Hyperparameter, find_hyperparameters
from tune_jobs.engine.space.configs import Config, flatten

if TYPE_CHECKING:
    import pandas as pd

    from tune_jobs.engine.analysis.importance import Importance

# More trials than this are thinned out: nobody can distinguish so many points, and more values of
# hyperparameters would make the page heavy.
MOST_TRIALS, MOST_VALUES = 1000, 20_000
# Colours for the number of epochs that trials reached.
SHADES = 6


@dataclass(frozen=True)
class Trial:
    """A trial as the report shows it; ``value`` is its best, None if it has none."""

    number: int
    state: str
    value: float | None
    best_epoch: int
    epochs: int
    began: float
    ended: float
    worker: str | None
    by: str | None
    failure: str | None
    error: str | None
    written: str
    config: Config

    @property
    def is_usable(self) -> bool:
        """True if it can be the best."""
        return self.value is not None and self.state != "failed"

    @property
    def seconds(self) -> float:
        """The seconds it ran, as far as known."""
        return self.ended - self.began


@dataclass(frozen=True)
class Point:
    """The metric at an epoch: the mean over replicas, and the lowest and highest of them."""

    epoch: int
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Findings:
    """An experiment, read once, in the order of its report.

    Attributes:
        index: its place in the report: 0, or 1 for the second of two.
    """

    experiment: Experiment
    index: int = 0

    @property
    def name(self) -> str:
        """The experiment's name."""
        return self.experiment.name

    @property
    def metric(self) -> str:
        """The metric that is compared."""
        return self.goal.metric

    @cached_property
    def goal(self) -> Goal:
        """The metric, and whether small or large values of it are good."""
        return self.experiment.goal

    @property
    def summary(self) -> Summary | None:
        """The summary of the run; None while it runs."""
        return self.experiment.summary

    @property
    def winner(self) -> Verdict | None:
        """The verdict of the finals; None if there is none."""
        return self.experiment.verdict

    @cached_property
    def trials(self) -> list[Trial]:
        """All trials by number."""
        rows = self.experiment.trials.sort_values("trial")
        columns = [name for name in rows.columns if not str(name).startswith("config.")]
        configs = self.experiment.configs
        return [_trial(row, configs[row["trial"]]) for row in rows[columns].to_dict("records")]

    @cached_property
    def ranked(self) -> list[Trial]:
        """The usable trials, the best first."""
        usable = [trial for trial in self.trials if trial.is_usable]
        return sorted(usable, key=lambda trial: (self.goal.loss(trial.value or 0.0), trial.number))

    @property
    def best(self) -> Trial | None:
        """The trial with the best value while searching."""
        return self.ranked[0] if self.ranked else None

    @cached_property
    def chosen(self) -> Trial | None:
        """The trial to look at in the charts: the winner, or the best if there is no winner."""
        number = self.winner.trial if self.winner else None
        return next((trial for trial in self.trials if trial.number == number), self.best)

    @property
    def chosen_as(self) -> str:
        """The role of the chosen trial."""
        if self.chosen is None:
            return ""
        won = self.winner is not None and self.winner.trial == self.chosen.number
        return f"trial {self.chosen.number}, {'the winner' if won else 'the best'}"

    @property
    def config(self) -> Config:
        """The config of the winner, or of the best if there is no winner, by dotted names."""
        chosen = self.chosen
        if self.winner and (chosen is None or chosen.number != self.winner.trial):
            return flatten(self.winner.config)  # an incumbent that the search did not try
        return chosen.config if chosen else {}

    @cached_property
    def shown(self) -> list[Trial]:
        """The trials that charts and table show: all, or the best and an even sample."""
        values = sum(len(trial.config) for trial in self.trials)
        most = min(MOST_TRIALS, MOST_VALUES * len(self.trials) // max(1, values))
        if len(self.trials) <= most:
            return self.trials
        first = [*self.ranked[: most // 5], self.chosen]
        best = {trial.number for trial in first if trial}
        others = [trial for trial in self.trials if trial.number not in best]
        few = max(0, most - len(best))
        sample = {others[place * len(others) // few].number for place in range(few)}
        return [trial for trial in self.trials if trial.number in best | sample]

    @cached_property
    def hyperparameters(self) -> list[Hyperparameter]:
        """The searched hyperparameters, the most important first."""
        configs = {trial.number: trial.config for trial in self.shown}
        found = find_hyperparameters(dict(self.experiment.description.space), configs)
        effects = {effect.name: effect for effect in self.effects}

        def order(h: Hyperparameter) -> tuple[bool, bool, float, int]:
            effect = effects.get(h.name)
            if effect is None:  # too seldom active to be measured
                return True, True, 0.0, -len(h.values)
            return effect.is_noise, False, -effect.share, -len(h.values)

        return sorted(found, key=order)

    @cached_property
    def rungs(self) -> list[int]:
        """The epochs at which the scheduler compared trials; none if it does not compare."""
        rungs = self.experiment.description.constants.get("rungs") or []
        return sorted({int(rung) for rung in rungs if isinstance(rung, int | float) and rung >= 1})

    @cached_property
    def longest(self) -> int:
        """The largest number of epochs of a trial."""
        return max((trial.epochs for trial in self.trials), default=0)

    @cached_property
    def levels(self) -> list[int]:
        """The upper ends of the classes of trials by the epochs that they reached."""
        if not self.longest:
            return []
        ends = [rung for rung in self.rungs if rung < self.longest]
        if not ends and self.longest > 1 and len({t.epochs for t in self.trials}) > 1:
            ends = sorted({math.ceil(self.longest * share) for share in (0.25, 0.5, 0.75)})
        ends = [end for end in ends if end < self.longest]
        return [*ends[-SHADES + 1 :], self.longest]

    def shade(self, trial: Trial) -> str:
        """Return the look of a trial by the epochs that it reached: ``e0`` few to ``e5`` most."""
        classes = len(self.levels)
        place = next((i for i, end in enumerate(self.levels) if trial.epochs <= end), 0)
        return f"e{SHADES - 1 - round((classes - 1 - place) * (SHADES - 1) / max(1, classes - 1))}"

    @cached_property
    def curves(self) -> dict[int, list[Point]]:
        """The metric of each trial over its epochs, finite values only."""
        epochs = self._finite_epochs
        if epochs.empty:
            return {}
        means = epochs
        if epochs["replica"].any():
            means = average_replicas(epochs, self.goal)
        spread = epochs.groupby(["trial", "epoch"])[self.metric].agg(["min", "max"])
        found: dict[int, list[Point]] = {}
        joined = means.set_index(["trial", "epoch"])[self.metric].to_frame("mean").join(spread)
        for (trial, epoch), mean, low, high in joined.sort_index().itertuples():
            if math.isfinite(mean):
                found.setdefault(int(trial), []).append(Point(int(epoch), mean, low, high))
        return found

    @cached_property
    def common_epoch(self) -> int:
        """The epoch at which importance and slices compare trials."""
        return self.importance.epoch if self.importance else 0

    @cached_property
    def common_values(self) -> dict[int, float]:
        """The metric of every trial at the common epoch, including trials stopped later."""
        return self.values_at(self.common_epoch)

    def values_at(self, epoch: int) -> dict[int, float]:
        """Return the metric of every trial that has one at an epoch."""
        return {
            trial: point.mean
            for trial, points in self.curves.items()
            for point in points
            if point.epoch == epoch
        }

    @cached_property
    def importance(self) -> Importance | None:
        """The effects of the hyperparameters; None if too little is known."""
        if not self.curves:
            return None
        from tune_jobs.engine.analysis.importance import measure_importance

        return measure_importance(
            self.experiment.trials,
            self.experiment.epochs,
            goal=self.goal,
            rungs=self.rungs,
        )

    @property
    def effects(self) -> Sequence[Any]:
        """The hyperparameters' effects, the largest first, but after them those of chance."""
        effects = self.importance.effects if self.importance else ()
        return sorted(effects, key=lambda effect: (effect.is_noise, -effect.share))

    @cached_property
    def clock(self) -> Clock:
        """The time that runs took, without the time between them."""
        return make_clock(self.experiment, [(trial.began, trial.ended) for trial in self.trials])

    @cached_property
    def now(self) -> float:
        """The latest time in the history, at which the bars of running trials end."""
        times = [t for trial in self.trials for t in (trial.began, trial.ended)]
        finite = [t for t in times if math.isfinite(t)]
        return max(finite) if self.summary and finite else time.time()

    @cached_property
    def _finite_epochs(self) -> pd.DataFrame:
        import pandas as pd

        epochs = self.experiment.epochs
        if self.metric not in epochs.columns:
            return epochs.iloc[:0]
        numbers = pd.to_numeric(epochs[self.metric], errors="coerce").astype(float)
        epochs = epochs[["trial", "replica", "epoch"]].assign(**{self.metric: numbers})
        return epochs[numbers.abs() < math.inf]


def _trial(row: dict[str, Any], config: Config) -> Trial:
    started, began = row.get("started"), row.get("began")
    return Trial(
        number=int(row["trial"]),
        state=str(row["state"]),
        value=None if _missing(row["value"]) else float(row["value"]),
        best_epoch=int(row["best_epoch"]),
        epochs=int(row["epochs"]),
        began=_time(started) if _missing(began) else _time(began),
        ended=_time(row.get("ended")),
        worker=_text(row.get("worker")),
        by=_text(row.get("by")),
        failure=_text(row.get("failure")),
        error=_text(row.get("error")),
        written=str(row["config"]),
        config=flatten(config),
    )


def _missing(value: Any) -> bool:
    return value is None or value != value  # only NaN differs from itself


def _text(value: Any) -> str | None:
    return None if _missing(value) or not isinstance(value, str) else value


def _time(value: Any) -> float:
    return math.nan if _missing(value) else float(value)
