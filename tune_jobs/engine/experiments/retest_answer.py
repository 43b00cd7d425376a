"""The answer of a retest, as ``retest.json`` holds it; its fields are the file's keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tune_jobs.engine.experiments.verdict import ChallengeResult, Finalist, Interval
from tune_jobs.engine.goal import Mode
from tune_jobs.engine.outcome import RetestAnswer
from tune_jobs.engine.serialization import parse, serialize


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A mean that was measured, with its interval."""

    mean: float
    interval: Interval


@dataclass(frozen=True, kw_only=True)
class Fall:
    """The incumbent's score today, compared with when it was chosen.

    Attributes:
        is_worse: whether it is significantly worse.
        before: its score when it was chosen, None if it was not measured then.
        change: today's mean minus that one.
        interval: of the change.
        sentence: the comparison in words.
    """

    is_worse: bool
    before: Measured | None
    change: float | None = None
    interval: Interval | None = None
    sentence: str


@dataclass(frozen=True, kw_only=True)
class EarlierAnswer:
    """The answer of an earlier retest of the same experiment."""

    name: str
    time: float
    answer: RetestAnswer
    reason: str


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The answer to a retest: is the config in use still the one to use, on today's data?

    Attributes:
        experiment_id: that of the retest's experiment.
        answer: ``keep``, ``replace`` or ``inconclusive``; ``keep`` or ``alarm`` without a
            challenger.
        reason: the answer in a sentence.
        name: of the retest's experiment.
        folder: of the retest's experiment.
        of: the folder of the experiment that was retested.
        time: of the answer, in seconds since 1970.
        slot: the schedule's slot that the retest ran in, None without a schedule.
        metric: what decides.
        mode: whether a lower (``min``) or a higher value is better.
        level: of all intervals.
        challenge: the comparison with the challenger, None if only the incumbent was retested.
        incumbent: the config in use, with its scores of today.
        challenger: the best other config, None if there is none.
        fall: the incumbent's score compared with when it was chosen.
        changes: what has changed since the experiment, one line each.
        earlier: the answers of earlier retests, the oldest first.
    """

    experiment_id: str | None = None
    answer: RetestAnswer
    reason: str
    name: str
    folder: str
    of: str
    time: float
    slot: str | None
    metric: str
    mode: Mode
    level: float
    challenge: ChallengeResult | None
    incumbent: Finalist
    challenger: Finalist | None
    fall: Fall
    changes: tuple[str, ...]
    earlier: tuple[EarlierAnswer, ...]

    @classmethod
    def from_json(cls, content: object) -> Answer:
        """Read an answer.

        Raises:
            ValueError: if the content is not one; the message says why.
        """
        return parse(cls, content)

    def to_json(self) -> dict[str, Any]:
        """Write it as ``retest.json`` holds it."""
        return serialize(self)
