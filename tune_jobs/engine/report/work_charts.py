"""Draw where the time went: the timeline of workers, and the finalists' scores."""

from __future__ import annotations

import math

from tune_jobs.engine.analysis.usage import PURPOSES
from tune_jobs.engine.experiments.verdict import Finalist
from tune_jobs.engine.formatting import count, duration, is_number, number, shortened
from tune_jobs.engine.report.axes import Linear, Scale, fit_linear
from tune_jobs.engine.report.findings import Findings, Trial
from tune_jobs.engine.report.marks import Chart, Kind, Mark, Shape, box, crosswise

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
    """Draw a row per worker and a bar per trial; gaps are idle time."""
    lanes = assign_lanes(findings)
    if not lanes:
        return None
    shown = dict(list(lanes.items())[:MOST_WORKERS])
    first = min(trial.began for trials in lanes.values() for trial in trials)
    whole = max(1e-3, max(_end(findings, t) for ts in lanes.values() for t in ts) - first)
    scale, unit, step = _time_scale(whole)
    row = 1 / len(shown)
    groups: dict[str, tuple[list[Shape], list[int]]] = {}
    for lane, trials in enumerate(shown.values()):
        for trial in trials:
            left = scale.position((trial.began - first) / step)
            right = scale.position((_end(findings, trial) - first) / step)
            shapes, numbers = groups.setdefault(trial.state, ([], []))
            bottom, top = 1 - (lane + 0.85) * row, 1 - (lane + 0.15) * row
            shapes.append(box(left, max(left + 0.0015, right), bottom, top))
            numbers.append(trial.number)
    return Chart(
        title="Timeline of workers",
        words=_timeline_words(findings, lanes, whole),
        x_title=f"{unit} since the first trial",
        x=scale.ticks(8),
        y=[(1 - (i + 0.5) * row, shortened(name, 18)) for i, name in enumerate(shown)],
        marks=[Mark("areas", f"bar-{state}", *group) for state, group in sorted(groups.items())],
        legend=[(f"areas bar-{state}", STATES.get(state, state)) for state in sorted(groups)],
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


def chart_finalists(findings: Findings) -> Chart | None:
    """Draw the finalists' scores: on fresh seeds, with mean and interval, and in the search."""
    winner = findings.winner
    finalists = [each for each in winner.finalists if _numbers(each)] if winner else []
    if winner is None or not finalists:
        return None
    values = [value for finalist in finalists for value in _numbers(finalist)]
    x = fit_linear(min(values), max(values))
    near = [
        (base.name, base.mean)
        for base in winner.baselines
        if base.mean is not None and x.low <= base.mean <= x.high
    ]
    row = 1 / len(finalists)
    looks: list[tuple[str, Kind]] = [
        *(("spread", "lines"), ("chose", "points"), ("fresh", "points")),
        *(("mean", "lines"), ("hollow", "points")),
    ]
    marks = []
    for look, kind in looks:
        pairs = [
            (shape, finalist.trial)
            for place, finalist in enumerate(finalists)
            for shape in _scored(look, finalist, x, 1 - (place + 0.5) * row, row)
        ]
        marks.append(Mark(kind, look, [s for s, _ in pairs], [t for _, t in pairs]))
    return Chart(
        title="Finalists on fresh seeds",
        words=_finalist_words(finalists, findings.metric),
        x_title=findings.metric,
        x=x.ticks(6),
        y=[(1 - (i + 0.5) * row, f"trial {each.trial}") for i, each in enumerate(finalists)],
        marks=[Mark("lines", "rung", [crosswise(x.position(m)) for _, m in near]), *marks],
        notes=[(x.position(mean), 0.06, shortened(name, 24)) for name, mean in near],
        legend=[
            ("points chose", "score used to choose"),
            ("points fresh", "score held back to estimate"),
            ("lines mean", "mean"),
            ("lines spread", f"{winner.level:.0%} CI of the mean"),
            ("points hollow", "score during the search"),
        ],
        height=max(70, 44 * len(finalists)),
        can_step=True,
    )


def _scored(look: str, finalist: Finalist, x: Scale, y: float, row: float) -> list[Shape]:
    """Draw one look of a finalist's row."""
    mean, search_value = finalist.mean, finalist.search_value
    if look in ("chose", "fresh"):
        values = finalist.scores if look == "chose" else finalist.later_scores
        return [[(x.position(v), y)] for v in values if is_number(v)]
    if look == "spread":
        ends = [v for v in finalist.interval or () if is_number(v)]
        return [[(x.position(ends[0]), y), (x.position(ends[1]), y)]] if len(ends) == 2 else []
    if look == "mean" and is_number(mean):
        place = x.position(mean)
        return [[(place, y - 0.28 * row), (place, y + 0.28 * row)]]
    if look == "hollow" and is_number(search_value):
        return [[(x.position(search_value), y)]]
    return []


def _numbers(finalist: Finalist) -> list[float]:
    """Return every number of a finalist's row."""
    scores = (*finalist.scores, *finalist.later_scores, *(finalist.interval or ()))
    return [v for v in (finalist.mean, finalist.search_value, *scores) if is_number(v)]


def _finalist_words(finalists: list[Finalist], metric: str) -> str:
    said = [
        f"trial {finalist.trial} mean {number(finalist.mean)} of "
        f"{count(len(finalist.later_scores or finalist.scores), 'score')}, "
        f"during the search {number(finalist.search_value)}"
        for finalist in finalists
    ]
    return f"{metric} of the finalists, trained again with fresh seeds: {'; '.join(said)}."


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
    busy = sum(max(0.0, _end(findings, t) - t.began) for ts in lanes.values() for t in ts)
    idle = max(0.0, 1 - busy / (whole * len(lanes)))
    said = (
        f"{count(len(lanes), 'worker')} over {duration(whole)} from the first trial to the last: "
        f"idle for {idle:.0%} of the time"
    )
    if len(lanes) > MOST_WORKERS:
        said += f"; {len(lanes) - MOST_WORKERS} workers are not drawn"
    return f"{said}."
