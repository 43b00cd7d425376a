"""List experiments with the state of each, from small files only.

No history is read, so that a thousand experiments take well below a second.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase

from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.experiments.files import DESCRIPTION, HISTORY, LEASE, RETEST, SUMMARY
from tune_jobs.engine.experiments.holder import choose_holder
from tune_jobs.engine.experiments.lease import read_claims
from tune_jobs.engine.experiments.retest_answer import Answer
from tune_jobs.engine.experiments.summary import Summary
from tune_jobs.engine.formatting import NONE, columns, duration, number, visible
from tune_jobs.engine.outcome import Outcome
from tune_jobs.engine.serialization import parse
from tune_jobs.engine.storage.folder import AT_ONCE, Folder

# How a run ends that has results.
GOOD: tuple[Outcome, ...] = ("complete", "some trials failed")
HOUR = 3600.0

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
        best: the winner's mean on fresh scores, or the best value so far.
        verdict: a retest's answer.
        worker_hours: the workers' time.
        who: process and machine of a run that has recorded no end.
    """

    name: str
    state: str
    since: float | None = None
    trials: int | None = None
    failed: int | None = None
    metric: str | None = None
    best: float | None = None
    verdict: str | None = None
    worker_hours: float | None = None
    who: str | None = None

    @property
    def series(self) -> str:
        """Its name without slot or time."""
        return SLOT.sub("", self.name)


def list_experiments(storage: Folder, pattern: str = "*") -> list[Entry]:
    """List the experiments of a storage whose names match a pattern, the latest first."""
    names = [name for name in storage.folders() if fnmatchcase(name, pattern)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(lambda name: look_at(storage.child(name)), names))
    entries = [entry for entry in found if entry is not None]
    return sorted(entries, key=lambda entry: (-(entry.since or 0), entry.name))


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
    states = holder.facts.states
    return Entry(
        folder.name,
        DAMAGED if is_damaged and state == "killed" else state,
        since=_moment(time.time() - holder.quiet),
        trials=sum(states.values()),
        failed=states.get("failed", 0),
        best=holder.facts.best,
        who=holder.who,
    )


@dataclass(frozen=True)
class _Start:
    """What a list needs of a description, which may be long."""

    metric: str
    started: float | None


def _find_start(folder: Folder) -> _Start | None:
    """Read when a run began; None if its description cannot be read."""
    try:
        return parse(_Start, folder.read_json(DESCRIPTION))
    except (OSError, ValueError):
        return None


def _ended(name: str, summary: Summary, answer: Answer | None) -> Entry:
    best = summary.best.value if summary.best else None
    spent = summary.worker_seconds
    return Entry(
        name,
        summary.outcome,
        since=_moment(summary.ended),
        trials=sum(summary.trials.values()),
        failed=summary.trials.get("failed", 0),
        metric=summary.metric,
        best=summary.winner.mean if summary.winner else best,
        verdict=answer.answer if answer else None,
        worker_hours=None if spent is None else spent / HOUR,
    )


def _moment(seconds: float | None) -> float | None:
    """Return a moment that can be compared with others; None if it cannot."""
    return seconds if seconds is not None and math.isfinite(seconds) else None


def lines(entries: Sequence[Entry]) -> list[str]:
    """Tabulate the entries for a terminal."""
    head = ["experiment", "state", "age", "trials", "best", "verdict", "worker hours"]
    return columns([head, *map(_cells, entries)], right=(2, 3, 6))


def find_in_time(name: str, entries: Sequence[Entry], seconds: float) -> tuple[bool, str]:
    """Find out whether a run of a series has ended well in time, and say so.

    Args:
        name: of a series (``nightly`` is that of ``nightly-2026-11-28``) or an experiment, or a
            pattern.
        entries: all entries, the latest first.
        seconds: how long ago the end may be.
    """
    own = [e for e in entries if fnmatchcase(e.name, name) or e.series == name]
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
    best = NONE if entry.best is None else number(entry.best)
    state = entry.state if entry.who is None else f"{entry.state}, {entry.who}"
    return [
        entry.name,
        state,
        duration(_age(entry)),
        _trials(entry),
        f"{visible(entry.metric)} {best}" if entry.metric and entry.best is not None else best,
        entry.verdict or NONE,
        NONE if entry.worker_hours is None else f"{entry.worker_hours:.2f}",
    ]


def _trials(entry: Entry) -> str:
    if entry.trials is None:
        return NONE
    return f"{entry.trials}" + (f" ({entry.failed} failed)" if entry.failed else "")


def _age(entry: Entry) -> float | None:
    return None if entry.since is None else max(0.0, time.time() - entry.since)
