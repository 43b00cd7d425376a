"""List experiments with the state of each, from small files only.

No history is read, so that a thousand experiments take well below a second.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.experiments.files import DESCRIPTION, HISTORY, LEASE, RETEST, SUMMARY
from tune_jobs.engine.experiments.holder import choose_holder
from tune_jobs.engine.experiments.lease import read_claims
from tune_jobs.engine.experiments.retest_answer import Answer
from tune_jobs.engine.experiments.summary import Summary
from tune_jobs.engine.formatting import NONE, columns, columns_of, duration, number, visible
from tune_jobs.engine.goal import Goal, Mode
from tune_jobs.engine.job.description import goal_of
from tune_jobs.engine.outcome import Outcome
from tune_jobs.engine.serialization import parse
from tune_jobs.engine.storage.folder import AT_ONCE, Folder

# How a run ends that has results.
GOOD: tuple[Outcome, ...] = ("complete", "some trials failed")
HOUR = 3600.0

# The columns of a list: the first four always, the others if there is something in them; in a
# narrow terminal the spare ones are left out, one after the other.
HEADS = (
    *("experiment", "state", "age", "trials"),
    *("metric", "best of search", "fresh mean", "verdict", "worker hours", "written by"),
)
ALWAYS = 4
NUMBERS = ("age", "trials", "best of search", "fresh mean", "worker hours")
SPARE = ("worker hours", "written by", "age", "metric")

# The state of an experiment whose small files cannot be read.
DAMAGED = "damaged"

# The end of the names in a series: a slot, or a time.
SLOT = re.compile(r"-(\d{4}-\d\d-\d\d(T\d\db?)?|\d{8}-\d{6})$")


@dataclass(frozen=True)
class Entry:
    """The state of an experiment.

    Attributes:
        name: the experiment's.
        state: an outcome; ``running``, ``hung`` or ``killed`` if no end was recorded; ``damaged``
            if what was recorded cannot be read.
        since: when it ended, or when a run made its last progress, in seconds since 1970; None if
            unknown.
        trials: how many have ended; None if unknown.
        failed: how many of them failed; None if unknown.
        metric: what decides.
        is_standardised: whether that is a loss of a standardised number.
        best: the best value of the search so far, the best of many and therefore optimistic.
        fresh: the winner's mean on fresh scores.
        verdict: a retest's answer.
        worker_hours: the workers' time.
        who: process and machine of a run that has recorded no end.
        target: how many trials there will be; in the finals, batches of fits at most.
        in_finals: whether the finalists are trained.
        left: seconds that a run is expected to take from now; None if unknown.
    """

    name: str
    state: str
    since: float | None = None
    trials: int | None = None
    failed: int | None = None
    metric: str | None = None
    best: float | None = None
    fresh: float | None = None
    verdict: str | None = None
    worker_hours: float | None = None
    who: str | None = None
    target: int | None = None
    in_finals: bool = False
    left: float | None = None
    is_standardised: bool = False

    @property
    def metric_in_words(self) -> str:
        """The metric, and that it is not in the unit of the target, if so."""
        goal = Goal(self.metric or "value", is_standardised=self.is_standardised)
        return visible(goal.short)

    @property
    def series(self) -> str:
        """Its name without slot or time."""
        return SLOT.sub("", self.name)

    @property
    def is_active(self) -> bool:
        """True while its process is there."""
        return self.state in ("running", "hung")

    @property
    def described_state(self) -> str:
        """The state, with its age: ``complete, 5 min ago``."""
        age = duration(_age(self))
        if self.state == "running" or age == NONE:
            return self.state
        return f"{self.state} for {age}" if self.state == "hung" else f"{self.state}, {age} ago"


def list_experiments(storage: Folder, pattern: str = "*") -> list[Entry]:
    """List the experiments of a storage, the latest first.

    Args:
        storage: the folder of the experiments.
        pattern: their names match it, or it is the name of their series.
    """
    names = [name for name in storage.folders() if is_called(name, pattern)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(lambda name: look_at(storage.child(name)), names))
    entries = [entry for entry in found if entry is not None]
    return sorted(entries, key=lambda entry: (-(entry.since or 0), entry.name))


def is_called(name: str, pattern: str) -> bool:
    """Return whether a name matches a pattern, or is one of the series of that name."""
    return fnmatchcase(name, pattern) or SLOT.sub("", name) == pattern


def look_at(folder: Folder) -> Entry | None:
    """Return the state of the experiment in a folder; None if the folder holds none."""
    try:
        names = set(folder.names())
        return _look_at(folder, names) if names & {DESCRIPTION, HISTORY, LEASE} else None
    except (OSError, ValueError):  # one that cannot be read hides no other
        return Entry(folder.name, DAMAGED)


def _look_at(folder: Folder, names: set[str]) -> Entry:
    experiment = Experiment(folder)
    if SUMMARY in names and experiment.summary:
        answer = experiment.retest if RETEST in names else None
        return _ended(folder.name, experiment.summary, answer)
    claims = list(read_claims(folder).values()) if LEASE in names else []
    holder = choose_holder(claims)
    begun = _find_start(folder) if DESCRIPTION in names else None
    is_damaged = SUMMARY in names or None in claims or (begun is None and DESCRIPTION in names)
    if holder is None:
        state = DAMAGED if is_damaged else "killed"
        return Entry(folder.name, state, since=_moment(begun.started) if begun else None)
    state = "killed" if holder.life == "dead" else holder.life
    facts, left = holder.facts, _moment(holder.facts.left)
    return Entry(
        folder.name,
        DAMAGED if is_damaged and state == "killed" else state,
        since=_moment(time.time() - holder.quiet),
        trials=sum(facts.states.values()),
        failed=facts.states.get("failed", 0),
        metric=begun.metric if begun else None,
        is_standardised=bool(begun and begun.goal.is_standardised),
        best=facts.best,
        who=holder.who,
        target=facts.target,
        in_finals=facts.in_finals,
        left=None if left is None else max(0.0, left - holder.quiet),
    )


@dataclass(frozen=True)
class _Start:
    """What a list needs of a description, which may be long."""

    metric: str
    started: float | None
    mode: Mode = "min"
    preprocessing: dict[str, Any] | None = None
    space: Mapping[str, Any] = field(default_factory=dict)

    @property
    def goal(self) -> Goal:
        """The metric, and what it is of."""
        return goal_of(self.metric, self.mode, self.preprocessing, self.space)


def _find_start(folder: Folder) -> _Start | None:
    """Read when a run began; None if its description cannot be read."""
    try:
        return parse(_Start, folder.read_json(DESCRIPTION))
    except (OSError, ValueError):
        return None


def _ended(name: str, summary: Summary, answer: Answer | None) -> Entry:
    best = summary.best_of_search
    if best is None and summary.best:  # as version 0.1 wrote it
        best = summary.best.value
    spent = summary.worker_seconds
    return Entry(
        name,
        summary.outcome,
        since=_moment(summary.ended),
        trials=sum(summary.trials.values()),
        failed=summary.trials.get("failed", 0),
        metric=summary.metric,
        is_standardised=summary.is_standardised,
        best=best,
        fresh=summary.winner.mean if summary.winner else None,
        verdict=answer.answer if answer else None,
        worker_hours=None if spent is None else spent / HOUR,
    )


def _moment(seconds: float | None) -> float | None:
    """Return a moment or a time that can be compared with others; None if it cannot."""
    return seconds if seconds is not None and math.isfinite(seconds) else None


def lines(entries: Sequence[Entry], width: int | None = None) -> list[str]:
    """Tabulate the entries, without columns that would be empty.

    Args:
        entries: one per line.
        width: of the terminal; columns are left out if the lines would be longer.
    """
    rows = [dict(zip(HEADS, _cells(entry), strict=True)) for entry in entries]
    heads = [
        *HEADS[:ALWAYS],
        *(head for head in HEADS[ALWAYS:] if any(row[head] != NONE for row in rows)),
    ]
    for spare in (None, *SPARE):
        heads = [head for head in heads if head != spare]
        right = [place for place, head in enumerate(heads) if head in NUMBERS]
        table = columns([heads, *([row[head] for head in heads] for row in rows)], right)
        if width is None or max(map(columns_of, table)) <= width:
            break
    return table


def describe_progress(entry: Entry) -> str:
    """Say how far an experiment is: trials, best value, time left; empty if nothing is known."""
    if entry.trials is None:
        return ""
    said = [_describe_trials(entry)]
    if entry.best is not None:
        of = " of the search" if entry.fresh is not None else ""
        said.append(f"best {entry.metric_in_words}{of} {number(entry.best)}")
    if entry.fresh is not None:
        said.append(f"winner {number(entry.fresh)} on fresh scores")
    if entry.left is not None and entry.state == "running":
        said.append(f"{'at most' if entry.in_finals else 'about'} {duration(entry.left)} left")
    return ", ".join(said)


def _describe_trials(entry: Entry) -> str:
    failed = f" ({entry.failed} failed)" if entry.failed else ""
    if entry.in_finals and entry.is_active:
        return f"finals: {entry.trials} of at most {entry.target} fits{failed}"
    of = f" of {entry.target}" if entry.target and entry.is_active else ""
    return f"{entry.trials}{of} trials{failed}"


def find_in_time(name: str, entries: Sequence[Entry], seconds: float) -> tuple[bool, str]:
    """Find out whether a run of a series has ended well in time, and say so.

    Args:
        name: of a series (``nightly`` is that of ``nightly-2026-11-28``) or an experiment, or a
            pattern.
        entries: all entries, the latest first.
        seconds: how long ago the end may be.
    """
    own = [entry for entry in entries if is_called(entry.name, name)]
    good = [entry for entry in own if entry.state in GOOD]
    if good and (age := _age(good[0])) is not None and age <= seconds:
        return True, f"{good[0].name} ended {duration(age)} ago: {good[0].state}"
    said = f"overdue: no run of {name} succeeded within {duration(seconds)}"
    if own:
        last = own[0]
        seen = f", {duration(_age(last))} ago" if last.since else ""
        said += f"; the last run, {last.name}: {last.state}{seen}"
    return False, said


def _cells(entry: Entry) -> list[str]:
    has_value = entry.best is not None or entry.fresh is not None
    return [
        entry.name,
        entry.state,
        duration(_age(entry)),
        _trials(entry),
        entry.metric_in_words if entry.metric and has_value else NONE,
        number(entry.best),
        number(entry.fresh),
        entry.verdict or NONE,
        NONE if entry.worker_hours is None else f"{entry.worker_hours:.2f}",
        entry.who or NONE,
    ]


def _trials(entry: Entry) -> str:
    if entry.trials is None:
        return NONE
    return f"{entry.trials}" + (f" ({entry.failed} failed)" if entry.failed else "")


def _age(entry: Entry) -> float | None:
    return None if entry.since is None else max(0.0, time.time() - entry.since)
