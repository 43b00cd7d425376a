"""The time that the runs of an experiment took, without the time between them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.experiments.history.records import Attempt

Span = tuple[float, float]


@dataclass(frozen=True)
class Clock:
    """A clock that stands still between two runs of an experiment.

    Attributes:
        first: when it starts, in seconds since 1970.
        pauses: from the end of a run to the start of the next, in order.
    """

    first: float
    pauses: tuple[Span, ...] = ()

    def elapsed(self, moment: float) -> float:
        """Return the seconds of runs between the start and a moment."""
        paused = sum(max(0.0, min(moment, end) - began) for began, end in self.pauses)
        return moment - self.first - paused


def make_clock(experiment: Experiment, spans: Iterable[Span]) -> Clock:
    """Make the clock of an experiment.

    Args:
        experiment: whose history says when its runs started.
        spans: when its trials began and ended; NaN if unknown.
    """
    moments = [moment for span in spans for moment in span if math.isfinite(moment)]
    if not moments:
        return Clock(0.0)
    summary = experiment.summary
    if summary is not None and (summary.attempt or 1) == 1:
        return Clock(min(moments))  # there was one run, so the history need not be read
    starts = sorted(
        record.time
        for record in experiment.segments.records()
        if isinstance(record, Attempt) and record.time is not None
    )
    first = min(moments)
    # Of a run in which no trial began or ended, its start is known: so pauses do not overlap.
    known = [moment for moment in (*moments, *starts) if moment >= first]
    pauses = []
    for start in starts[1:]:
        before = max((moment for moment in known if moment < start), default=start)
        if before < start:
            pauses.append((before, start))
    return Clock(first, tuple(pauses))
