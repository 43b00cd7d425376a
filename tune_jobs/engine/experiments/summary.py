"""The summary of a run, as ``summary.json`` holds it; its fields are the file's keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tune_jobs.engine.data.scoring.comparison import TestReport
from tune_jobs.engine.data.scoring.thresholds import Threshold
from tune_jobs.engine.experiments.verdict import Interval
from tune_jobs.engine.goal import Mode
from tune_jobs.engine.outcome import Outcome
from tune_jobs.engine.serialization import parse, serialize
from tune_jobs.engine.space.configs import Config

Scores = Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Usage:
    """The workers' time, by purpose.

    Attributes:
        useful: the fraction spent inside training and validation steps.
        workers: how many trials ran at once.
        seconds: by purpose; they sum up to wall time x workers.
    """

    useful: float
    workers: int
    seconds: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Best:
    """The best trial: its number, best epoch, value at that epoch, and config."""

    trial: int
    epoch: int
    value: float
    config: Config


@dataclass(frozen=True, kw_only=True)
class Ensemble:
    """The average of the finalists' models: their trials, and its scores on the test set."""

    trials: tuple[int, ...]
    test: Scores


@dataclass(frozen=True, kw_only=True)
class StageSummary:
    """A stage that a search has entered.

    Attributes:
        stage: its number, counted from 1.
        trials: its first and its last trial.
        max_epochs: the maximum epochs per trial.
        narrowed: how the space was narrowed for it, one line each.
    """

    stage: int
    trials: tuple[int, int]
    max_epochs: int
    narrowed: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Winner:
    """The winner of the finals, with its mean on fresh seeds and folds."""

    trial: int
    mean: float
    interval: Interval


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The end of a run.

    Attributes:
        experiment_id: the experiment's, which stands in all its files.
        usage: where the workers' time went, None if the trainable does not report that.
        outcome: how it ended.
        attempt: which run of the experiment it was, counted from 1; None if it never got that far.
        error: the error that ended it.
        ended_because: why the search ended before its last trial.
        no_winner: why the finals produced no verdict.
        stages: the stages that the search has entered.
        warnings: hyperparameters whose best values lie at a bound of the space.
        best: the winner as the search saw it; without a winner the trial of the best value; None
            if no trial has a value.
        best_of_search: the best value of the search, whichever trial won.
        no_model: why there is no model file.
        test: the model's scores on the test set, None if the job has no data, empty without a
            model.
        ensemble: the average of the finalists, None unless the job wants one.
        on_test: the model's scores that people know, with intervals, and whether it is better than
            simple models; None without scores.
        threshold: of a model of two classes, the probability above which it predicts the second;
            None if the metric does not look at predicted classes, which then are cut at 0.5.
        metric: what decides.
        mode: whether a lower (``min``) or a higher value is better.
        is_standardised: whether the metric is a loss of a standardised number.
        trials: the number of trials by state.
        began: when it began, in seconds since 1970.
        ended: when it ended.
        seconds: how long it took.
        workers: how many trials ran at once.
        worker_seconds: the time of all workers, in all runs of the experiment.
        winner: the winner of the finals, None if there is none.
        checksums: the SHA-256 of each exported file.
    """

    experiment_id: str | None = None
    usage: Usage | None
    outcome: Outcome
    attempt: int | None = None
    error: str | None = None
    ended_because: str | None = None
    no_winner: str | None = None
    stages: tuple[StageSummary, ...] = ()
    warnings: tuple[str, ...] = ()
    best: Best | None = None
    best_of_search: float | None = None
    no_model: str | None = None
    test: Scores | None = field(default_factory=dict)
    ensemble: Ensemble | None = None
    on_test: TestReport | None = None
    threshold: Threshold | None = None
    metric: str | None
    mode: Mode | None
    is_standardised: bool = False
    trials: Mapping[str, int]
    began: float | None
    ended: float | None
    seconds: float | None
    workers: int | None
    worker_seconds: float | None
    winner: Winner | None = None
    checksums: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_json(cls, content: object) -> Summary:
        """Read a summary.

        Raises:
            ValueError: if the content is not one; the message says why.
        """
        return parse(cls, content)

    def to_json(self) -> dict[str, Any]:
        """Write it as ``summary.json`` holds it."""
        return serialize(self)
