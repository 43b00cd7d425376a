"""Answer a retest, and keep the answers where the next retest finds them.

The answer is ``keep``, ``replace`` or ``inconclusive``; if only the incumbent was retested, it is
``keep`` or ``alarm``. Answers are kept in the hidden folder ``.retests/<experiment>`` beside the
experiments, together with the config that is in use now if a challenger was promoted.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from tune_jobs.engine.analysis.estimates import Estimate, compare_means, estimate_of_interval
from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.experiments.files import INCUMBENT, RETESTS
from tune_jobs.engine.experiments.retest_answer import Answer, EarlierAnswer, Fall, Measured
from tune_jobs.engine.experiments.verdict import ChallengeResult, Finalist, Verdict
from tune_jobs.engine.goal import Goal
from tune_jobs.engine.job.changes import find_changes
from tune_jobs.engine.outcome import RetestAnswer
from tune_jobs.engine.serialization import parse, serialize
from tune_jobs.engine.space.configs import Config
from tune_jobs.engine.space.membership import identity
from tune_jobs.engine.storage.folder import Folder, open_folder


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """A challenger that has become the incumbent, as ``incumbent.json`` holds it.

    Attributes:
        config: the challenger's.
        of: the folder of the experiment that was retested.
        name: of the retest's experiment.
        folder: of the retest's experiment.
        time: of the retest's answer.
    """

    config: Config
    of: str
    name: str
    folder: str
    time: float


def folder_of(earlier: Experiment, storage: str) -> Folder:
    """Return the folder with the answers of an experiment's retests."""
    return open_folder(storage).child(RETESTS).child(earlier.name)


def find_incumbent(earlier: Experiment, answers: Folder) -> Config:
    """Find the config in use: the winner of an experiment, or what was promoted since.

    Raises:
        JobError: if the experiment has no config.
    """
    with suppress(OSError, ValueError):
        promoted = parse(Promotion, answers.read_json(INCUMBENT))
        if promoted.of == earlier.folder.uri:
            return promoted.config
    return earlier.best_config


def read_answers(earlier: Experiment, answers: Folder) -> list[Answer]:
    """Read the answers of earlier retests of an experiment, the oldest first."""
    found = []
    for name in answers.names():
        if name.endswith(".json") and name != INCUMBENT:
            with suppress(OSError, ValueError):  # a damaged answer is no answer
                found.append(Answer.from_json(answers.read_json(name)))
    own = [each for each in found if each.of == earlier.folder.uri]
    return sorted(own, key=lambda each: each.time)


def is_answered(answer: Answer | None, verdict: Verdict, challenge: ChallengeResult) -> bool:
    """Return whether an answer is that of the finals: the retest may have continued since."""
    return (
        answer is not None
        and answer.incumbent == verdict.finalist(challenge.incumbent)
        and answer.challenger == verdict.finalist(challenge.challenger)
    )


def make_answer(
    found: Experiment,
    earlier: Experiment,
    verdict: Verdict,
    challenge: ChallengeResult,
    incumbent: Config,
    *,
    history: Sequence[Answer],
    only_incumbent: bool,
) -> Answer:
    """Answer a retest.

    Args:
        found: the retest, which has ended.
        earlier: the experiment that the incumbent is of.
        verdict: of the retest's finals.
        challenge: the finals' judgement on the incumbent.
        incumbent: the config in use.
        history: earlier answers.
        only_incumbent: whether there was no challenger.
    """
    now = verdict.finalist(challenge.incumbent)
    if now is None:
        raise ValueError(f"{found.name}: the incumbent is not among the finalists")
    before = find_baseline(earlier, incumbent, history)
    fall = compare_with_before(_estimate(now, verdict.level), before, found.goal, verdict.level)
    answer, reason = _decide(challenge, now, fall, only_incumbent=only_incumbent)
    about = found.description
    return Answer(
        answer=answer,
        reason=reason,
        name=found.name,
        folder=found.folder.uri,
        of=earlier.folder.uri,
        time=time.time(),
        slot=about.slot.slot if about.slot else None,
        metric=verdict.metric,
        mode=verdict.mode,
        level=verdict.level,
        challenge=None if only_incumbent else challenge,
        incumbent=now,
        challenger=verdict.finalist(challenge.challenger),
        fall=fall,
        changes=tuple(_list_changes(earlier, found)),
        earlier=tuple(
            EarlierAnswer(name=each.name, time=each.time, answer=each.answer, reason=each.reason)
            for each in history
        ),
    )


def _decide(
    challenge: ChallengeResult, now: Finalist, fall: Fall, *, only_incumbent: bool
) -> tuple[RetestAnswer, str]:
    """Return the answer and its reason."""
    if only_incumbent and now.mean is None:
        return "alarm", f"it failed: {now.failure}"
    if only_incumbent:
        return "alarm" if fall.is_worse else "keep", fall.sentence
    reason = f"{challenge.reason}; {fall.sentence}" if fall.is_worse else challenge.reason
    return challenge.answer or "inconclusive", reason


def _list_changes(earlier: Experiment, found: Experiment) -> Iterator[str]:
    before, now = earlier.description, found.description
    changes = find_changes(before, now)
    yield from (*changes.decisive, *changes.notes)
    if now.fingerprint and now.fingerprint == before.fingerprint:
        yield "the data is the same, so with the same seeds the scores are too"


def file_answer(answer: Answer, answers: Folder, *, promote: bool) -> None:
    """Keep an answer where the next retest finds it, and promote the challenger if asked to."""
    answers.create()
    answers.write_json(f"{answer.name}.json", answer.to_json())
    if promote and answer.answer == "replace" and answer.challenger is not None:
        promotion = Promotion(
            config=answer.challenger.config,
            of=answer.of,
            name=answer.name,
            folder=answer.folder,
            time=answer.time,
        )
        answers.write_json(INCUMBENT, serialize(promotion))


def find_baseline(
    earlier: Experiment, incumbent: Config, history: Sequence[Answer]
) -> Estimate | None:
    """Find how good the incumbent was when it was chosen; None if that was never measured.

    That is the verdict that chose it, or the retest that it won; not the latest one, compared with
    which a config that gets worse little by little would always look as good as before.
    """
    verdict = earlier.verdict
    chosen = [(each, verdict.level) for each in verdict.finalists] if verdict else []
    chosen += [(each.challenger, each.level) for each in history if each.challenger]
    chosen += [(each.incumbent, each.level) for each in history]
    own = identity(incumbent)
    found = (_estimate(each, level) for each, level in chosen if identity(each.config) == own)
    return next((each for each in found if each is not None), None)


def compare_with_before(
    today: Estimate | None, before: Estimate | None, goal: Goal, level: float
) -> Fall:
    """Compare the incumbent on today's data with its score when it was chosen.

    It is worse if its mean lies beyond the earlier interval, and the difference of the two means is
    significant (Welch's test): on other rows scores are not paired.
    """
    if today is None or before is None:
        return Fall(is_worse=False, before=None, sentence="no earlier score to compare with")
    change = compare_means(today, before, level)
    worst_before = max(goal.loss(before.lower), goal.loss(before.upper))
    least_fall = min(goal.loss(change.lower), goal.loss(change.upper))
    is_worse = goal.loss(today.mean) > worst_before and least_fall > 0
    said = "is worse than when it was chosen" if is_worse else "is as good as when it was chosen"
    return Fall(
        is_worse=is_worse,
        before=Measured(mean=before.mean, interval=(before.lower, before.upper)),
        change=change.mean,
        interval=(change.lower, change.upper),
        sentence=(
            f"the incumbent {said}: {goal.words} was {before.mean:.4g} ({level:.0%} CI "
            f"{before.lower:.4g} to {before.upper:.4g}), now {today.mean:.4g}"
        ),
    )


def _estimate(finalist: Finalist, level: float) -> Estimate | None:
    """Return a finalist's mean and interval, on the scores held back if there are any."""
    count = len(finalist.later_scores or finalist.scores)
    if finalist.mean is None or finalist.interval is None or count < 2:
        return None
    return estimate_of_interval(finalist.mean, finalist.interval, count, level)
