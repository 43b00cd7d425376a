"""Draw where the time went: the timeline of workers, and the shares of their time."""

from __future__ import annotations

import math

from tune_jobs.engine.analysis.usage import PURPOSES
from tune_jobs.engine.formatting import count, duration, shortened
from tune_jobs.engine.report.axes import Linear
from tune_jobs.engine.report.findings import Findings, Trial
from tune_jobs.engine.report.marks import Chart, Mark, Shape, box, crosswise

# The most workers that are shown.
MOST_WORKERS = 32
STATES = {
    "complete": "complete",
    "stopped": "stopped early",
    "failed": "failed",
    "running": "running",
    "unfinished": "unfinished",
}


def chart_timeline(findings: Findings) -> Chart | None:
    """Draw a row per worker and a bar per trial; gaps are idle time.

    The time between two runs is left out, with a line at its place.
    """
    lanes, clock = assign_lanes(findings), findings.clock
    if not lanes:
        return None
    shown = dict(list(lanes.items())[:MOST_WORKERS])
    ends = [_end(findings, trial) for trials in lanes.values() for trial in trials]
    whole = max(1e-3, clock.elapsed(max(ends)))
    scale, unit, step = _time_scale(whole)
    resumed = [scale.position(clock.elapsed(end) / step) for _, end in clock.pauses]
    row = 1 / len(shown)
    groups: dict[str, tuple[list[Shape], list[int]]] = {}
    for lane, trials in enumerate(shown.values()):
        for trial in trials:
            left = scale.position(clock.elapsed(trial.began) / step)
            right = scale.position(clock.elapsed(_end(findings, trial)) / step)
            shapes, numbers = groups.setdefault(trial.state, ([], []))
            bottom, top = 1 - (lane + 0.85) * row, 1 - (lane + 0.15) * row
            shapes.append(box(left, max(left + 0.0015, right), bottom, top))
            numbers.append(trial.number)
    return Chart(
        title="Timeline of workers",
        words=_timeline_words(findings, lanes, whole),
        x_title=f"{unit}{' of runs' if resumed else ''} since the first trial",
        x=scale.ticks(8),
        y=[(1 - (i + 0.5) * row, shortened(name, 18)) for i, name in enumerate(shown)],
        marks=[
            *[Mark("areas", f"bar-{state}", *group) for state, group in sorted(groups.items())],
            Mark("lines", "resumed", [crosswise(place) for place in resumed]),
        ],
        legend=[
            *[(f"areas bar-{state}", STATES.get(state, state)) for state in sorted(groups)],
            *([("lines resumed", "the run was resumed")] if resumed else []),
        ],
        height=max(48, min(360, 34 * len(shown))),
        has_grid=False,
        can_step=True,
    )


def assign_lanes(findings: Findings) -> dict[str, list[Trial]]:
    """Return the trials of each worker by time, or rows without overlaps if it is unknown."""
    timed = [t for t in findings.shown if math.isfinite(t.began)]
    timed.sort(key=lambda trial: (trial.began, trial.number))
    if all(trial.worker for trial in timed):
        named: dict[str, list[Trial]] = {}
        for trial in timed:
            named.setdefault(str(trial.worker), []).append(trial)
        return named
    rows: list[list[Trial]] = []
    for trial in timed:
        free = (row for row in rows if _end(findings, row[-1]) <= trial.began + 1e-3)
        row = next(free, None)
        if row is None:
            rows.append([trial])
        else:
            row.append(trial)
    return {f"row {place}": row for place, row in enumerate(rows, 1)}


def chart_usage(findings: Findings) -> Chart | None:
    """Draw what the workers' time was spent on, as one bar."""
    rows = usage_rows(findings)
    if not rows:
        return None
    left, marks = 0.0, []
    for place, (_, _, share) in enumerate(rows):
        marks.append(Mark("areas", f"use u{place}", [box(left, left + share, 0, 1)]))
        left += share
    words = ", ".join(f"{text} {share:.1%}" for text, _, share in rows)
    return Chart(title="Use of the workers' time", words=f"{words}.", marks=marks, height=22)


def usage_rows(findings: Findings) -> list[tuple[str, float, float]]:
    """List purpose, seconds and share of the workers' time, the useful part first."""
    usage = findings.summary.usage if findings.summary else None
    seconds = usage.seconds if usage else {}
    total = sum(seconds.values())
    if not total:
        return []
    return [(PURPOSES.get(name, name), spent, spent / total) for name, spent in seconds.items()]


def _time_scale(whole: float) -> tuple[Linear, str, float]:
    """Return a scale of seconds, minutes or hours, its unit, and the seconds of that."""
    unit, step = ("seconds", 1.0) if whole < 180 else ("minutes", 60.0)
    if whole > 3 * 3600:
        unit, step = "hours", 3600.0
    return Linear(0.0, whole / step), unit, step


def _end(findings: Findings, trial: Trial) -> float:
    """Return when a trial ended; one that runs or was killed ends with what is known."""
    return trial.ended if math.isfinite(trial.ended) else max(trial.began, findings.now)


def _timeline_words(findings: Findings, lanes: dict[str, list[Trial]], whole: float) -> str:
    clock = findings.clock
    busy = sum(
        max(0.0, clock.elapsed(_end(findings, trial)) - clock.elapsed(trial.began))
        for trials in lanes.values()
        for trial in trials
    )
    idle = max(0.0, 1 - busy / (whole * len(lanes)))
    said = (
        f"{count(len(lanes), 'worker')} over {duration(whole)} from the first trial to the last: "
        f"idle for {idle:.0%} of the time"
    )
    if len(lanes) > MOST_WORKERS:
        said += f"; {len(lanes) - MOST_WORKERS} workers are not drawn"
    if clock.pauses:
        paused = sum(end - began for began, end in clock.pauses)
        said += f"; {duration(paused)} between {count(len(clock.pauses) + 1, 'run')} are left out"
    return f"{said}."
