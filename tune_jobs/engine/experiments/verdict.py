"""The verdict on the finalists, as ``verdict.json`` holds it; its fields are the file's keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tune_jobs.engine.goal import Goal, Mode
from tune_jobs.engine.outcome import Judgement
from tune_jobs.engine.serialization import parse, serialize
from tune_jobs.engine.space.configs import Config

Interval = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Finalist:
    """A finalist, with the scores used to choose and those held back to estimate.

    Attributes:
        trial: its number; 0 for an incumbent that the search did not try.
        config: its config.
        search_value: its best value during the search, None if it has none.
        mean: over the scores held back, or over those used to choose if there are no others; None
            if it could not be trained.
        interval: of the mean; infinite for a single score.
        scores: those used to choose the winner.
        later_scores: those held back to estimate.
        epochs: the epoch that the scores are of.
        parameters: how many trainable parameters it has, None if unknown.
        seconds: how long one fit takes.
        dropped_after: the number of batches after which it was clearly behind, None if it was not.
        failure: why it could not be trained, None if it could.
    """

    trial: int
    config: Config
    search_value: float | None
    mean: float | None
    interval: Interval | None
    scores: tuple[float, ...]
    later_scores: tuple[float, ...]
    epochs: int | None
    parameters: int | None
    seconds: float | None
    dropped_after: int | None
    failure: str | None


@dataclass(frozen=True, kw_only=True)
class RunnerUp:
    """The finalist that came second, and its distance from the winner.

    Attributes:
        trial: its number.
        mean: over the scores held back to estimate.
        gap: the mean of the paired differences to the winner, positive if the winner is better.
        interval: of the gap.
        p_value: two-sided, for a gap of 0.
    """

    trial: int
    mean: float
    gap: float
    interval: Interval
    p_value: float | None


@dataclass(frozen=True, kw_only=True)
class Cheapest:
    """The cheapest finalist within one standard error of the winner.

    Attributes:
        trial: its number.
        mean: over the scores used to choose.
        parameters: how many trainable parameters it has, None if unknown.
        seconds: how long one fit takes.
        by: what it is cheapest by.
    """

    trial: int
    mean: float
    parameters: int | None
    seconds: float | None
    by: Literal["parameters", "seconds"]


@dataclass(frozen=True, kw_only=True)
class ChallengeResult:
    """The judgement on an incumbent and its challenger.

    Attributes:
        answer: whether to keep or to replace the incumbent.
        incumbent: the trial in use.
        challenger: the best of the other trials, None if none could be trained.
        gain: how much better the challenger is, None if the two could not be compared.
        interval: of the gain.
        p_value: two-sided, for a gain of 0.
        scores: the number of paired scores.
        level: of the interval.
        least_gain: the gain required to replace the incumbent.
        reason: the judgement in a sentence.
    """

    answer: Judgement | None
    incumbent: int
    challenger: int | None
    gain: float | None
    interval: Interval | None
    p_value: float | None
    scores: int
    level: float
    least_gain: float
    reason: str


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A simple model that the winner should beat.

    Attributes:
        name: what it is.
        mean: of the metric over the winner's folds, None if it does not have that metric.
        test: its scores on the test set.
    """

    name: str
    mean: float | None
    test: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The winner of the finals, and how sure that is.

    ``mean`` and ``interval``, and the gap to the runner-up, rest on scores held back from the
    choice, at an epoch chosen without them: so they are unbiased.

    Attributes:
        experiment_id: the experiment's, which stands in all its files.
        trial: the winner.
        config: its config.
        metric: what decides.
        mode: whether a lower (``min``) or a higher value is better.
        epochs: the epoch that the scores are of.
        search_value: the winner's best value during the search, None if it has none.
        mean: the winner's mean over the scores held back.
        interval: of the mean.
        level: of all intervals.
        scores: how many scores the mean is of.
        luck: how much better the search value is than the mean.
        is_distinguished: whether the winner is significantly better than the runner-up.
        runner_up: the second, None if there was only one finalist.
        one_standard_error: the cheapest finalist about as good, None if it is the winner.
        finalists: all finalists, in the order of the search.
        challenge: the judgement on the incumbent, None unless there was one.
        sentence: the verdict in words.
        baselines: simple models for comparison.
    """

    experiment_id: str | None = None
    trial: int
    config: Config
    metric: str
    mode: Mode
    epochs: int
    search_value: float | None
    mean: float
    interval: Interval
    level: float
    scores: int
    luck: float
    is_distinguished: bool
    runner_up: RunnerUp | None
    one_standard_error: Cheapest | None
    finalists: tuple[Finalist, ...]
    challenge: ChallengeResult | None = None
    sentence: str
    baselines: tuple[Baseline, ...] = ()

    @classmethod
    def from_json(cls, content: object) -> Verdict:
        """Read a verdict.

        Raises:
            ValueError: if the content is not one; the message says why.
        """
        return parse(cls, content)

    def to_json(self) -> dict[str, Any]:
        """Write it as ``verdict.json`` holds it."""
        return serialize(self)

    @property
    def goal(self) -> Goal:
        """The metric, and whether small or large values of it are good."""
        return Goal(self.metric, self.mode)

    def finalist(self, trial: int | None) -> Finalist | None:
        """Return the finalist with a trial's number, None if there is no such finalist."""
        return next((each for each in self.finalists if each.trial == trial), None)
