"""What a retest answers, and where answers are kept.

The answer is ``keep``, ``replace`` or ``inconclusive``; where only the incumbent was looked at,
``keep`` or ``alarm``. Answers are kept in the hidden folder ``.retests/<experiment>`` beside the
experiments, and with them the config that is in use now, where a challenger was promoted.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from tune_jobs.engine.analysis.estimates import Estimate, compare_means, estimate_of_interval
from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.experiments.files import RETESTS
from tune_jobs.engine.goal import Goal
from tune_jobs.engine.job.changes import find_changes
from tune_jobs.engine.plain import plain
from tune_jobs.engine.space.configs import Config
from tune_jobs.engine.space.membership import identity
from tune_jobs.engine.storage.folder import Folder, open_folder

INCUMBENT = "incumbent.json"
Answer = dict[str, Any]


def folder_of(earlier: Experiment, storage: str) -> Folder:
    """Where the answers of an experiment's retests are kept."""
    return open_folder(storage).child(RETESTS).child(earlier.name)


def find_incumbent(earlier: Experiment, answers: Folder) -> Config:
    """The config that is in use: the winner of an experiment, or what was promoted since.

    Raises:
        JobError: where the experiment has none.
    """
    found = answers.read_object(INCUMBENT)
    config: Config = (
        found["config"] if found.get("of") == earlier.folder.uri else earlier.best_config
    )
    return config


def read_answers(earlier: Experiment, answers: Folder) -> list[Answer]:
    """The answers of earlier retests of an experiment, the first first."""
    names = [name for name in answers.names() if name.endswith(".json") and name != INCUMBENT]
    found = [answers.read_object(name) for name in names]
    found = [each for each in found if each.get("of") == earlier.folder.uri]
    return sorted(found, key=lambda each: float(each["time"]))


def is_answered(found: Experiment) -> bool:
    """Whether the answer that a retest has is that of its finals: it may have gone on since."""
    finalists = {each["trial"]: each for each in found.verdict["finalists"]}
    challenge, answer = found.verdict["challenge"], found.retest
    return all(
        answer.get(who, {}) == finalists.get(challenge[who]) for who in ("incumbent", "challenger")
    )


def make_answer(
    found: Experiment,
    earlier: Experiment,
    incumbent: Config,
    history: Sequence[Answer],
    *,
    only_incumbent: bool,
) -> Answer:
    """What a retest says, as JSON.

    Args:
        found: the retest, which has come to its end.
        earlier: the experiment that the incumbent is of.
        incumbent: the config in use.
        history: earlier answers.
        only_incumbent: whether there was no challenger.
    """
    verdict, about = found.verdict, found.description
    finalists = {each["trial"]: each for each in verdict["finalists"]}
    challenged = verdict["challenge"]
    now, other = finalists[challenged["incumbent"]], finalists.get(challenged["challenger"])
    before = find_baseline(earlier, incumbent, history)
    fall = compare_with_before(_estimate(now, verdict["level"]), before, verdict)
    answer, reason = challenged["answer"], challenged["reason"]
    if only_incumbent:
        answer = "alarm" if fall["is_worse"] or now["mean"] is None else "keep"
        reason = fall["sentence"] if now["mean"] is not None else f"it failed: {now['failure']}"
    elif fall["is_worse"]:
        reason = f"{reason}; {fall['sentence']}"
    decisive, notes = find_changes(earlier.description, about)
    if (same := about.get("fingerprint")) and same == earlier.description.get("fingerprint"):
        notes.append("the data is the same, so with the same seeds the scores are too")
    record: Answer = plain(
        {
            "answer": answer,
            "reason": reason,
            "name": found.name,
            "folder": found.folder.uri,
            "of": earlier.folder.uri,
            "time": time.time(),
            "slot": (about.get("slot") or {}).get("slot"),
            "metric": verdict["metric"],
            "mode": verdict["mode"],
            "level": verdict["level"],
            "challenge": None if only_incumbent else challenged,
            "incumbent": now,
            "challenger": other,
            "fall": fall,
            "changes": [*decisive, *notes],
            "earlier": [
                {name: each[name] for name in ("name", "time", "answer", "reason")}
                for each in history
            ],
        }
    )
    return record


def file_answer(found: Experiment, answers: Folder, *, promote: bool) -> None:
    """Keep an answer where the next retest finds it; twice is once."""
    answers.create()
    answers.write_json(f"{found.name}.json", found.retest)
    if promote and found.retest["answer"] == "replace":
        record = found.retest
        answers.write_json(
            INCUMBENT,
            {
                "config": record["challenger"]["config"],
                **{name: record[name] for name in ("of", "name", "folder", "time")},
            },
        )


def find_baseline(
    earlier: Experiment, incumbent: Config, history: Sequence[Answer]
) -> Estimate | None:
    """How good the incumbent was when it was chosen; None where nobody has measured that.

    That is the verdict that chose it, or the retest that it won; not the latest one, beside which
    a config that gets worse little by little would always look as good as before.
    """
    chosen = [(each, earlier.verdict["level"]) for each in earlier.verdict.get("finalists", ())]
    chosen += [(each["challenger"], each["level"]) for each in history if each["challenger"]]
    chosen += [(each["incumbent"], each["level"]) for each in history]
    own = identity(incumbent)
    found = (_estimate(each, level) for each, level in chosen if identity(each["config"]) == own)
    return next((each for each in found if each is not None), None)


def compare_with_before(
    today: Estimate | None, before: Estimate | None, verdict: Mapping[str, Any]
) -> Answer:
    """Whether the incumbent is worse on today's data than it was when it was chosen.

    It is if its mean lies beyond the earlier interval, and the difference of the two means is more
    than chance (Welch's test): on other rows scores are not paired.
    """
    if today is None or before is None:
        return {"is_worse": False, "before": None, "sentence": "it was not measured before"}
    goal, level = Goal.from_json(verdict), verdict["level"]
    change = compare_means(today, before, level)
    worst_before = max(goal.loss(before.lower), goal.loss(before.upper))
    least_fall = min(goal.loss(change.lower), goal.loss(change.upper))
    is_worse = goal.loss(today.mean) > worst_before and least_fall > 0
    said = "is worse than when it was chosen" if is_worse else "is as good as when it was chosen"
    return {
        "is_worse": is_worse,
        "before": {"mean": before.mean, "interval": [before.lower, before.upper]},
        "change": change.mean,
        "interval": [change.lower, change.upper],
        "sentence": (
            f"the incumbent {said}: {goal.metric} was {before.mean:.4g} ({level:.0%} CI "
            f"{before.lower:.4g} to {before.upper:.4g}), is {today.mean:.4g}"
        ),
    }


def _estimate(finalist: Answer, level: float) -> Estimate | None:
    """A finalist's mean and interval on scores that had no part in a choice."""
    count = len(finalist.get("later_scores") or ()) or len(finalist.get("scores") or ())
    if finalist.get("mean") is None or count < 2:
        return None
    return estimate_of_interval(finalist["mean"], finalist["interval"], count, level)
