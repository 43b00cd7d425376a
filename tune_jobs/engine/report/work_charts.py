"""Where the time went: the timeline of workers, and the finalists' scores."""

from __future__ import annotations

import math
from typing import Any

from tune_jobs.engine.analysis.usage import PURPOSES
from tune_jobs.engine.formatting import count, duration, is_number, number, shortened
from tune_jobs.engine.report.axes import Linear, Scale, fit_linear
from tune_jobs.engine.report.findings import Findings, Trial
from tune_jobs.engine.report.marks import Chart, Mark, Shape, box, crosswise

# Workers that are shown; a chart of more would be a wall.
MOST_WORKERS = 32
STATES = {
    "complete": "complete",
    "stopped": "stopped early",
    "failed": "failed",
    "running": "running",
    "unfinished": "unfinished",
}


def chart_timeline(findings: Findings) -> Chart | None:
    """A row a worker, a bar a trial; what is empty was idle."""
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
    """The trials of each worker by time; where workers are not known, rows without overlaps."""
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
    """What the workers' time went into, as one bar."""
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
    """Purpose, seconds and share of the workers' time, the useful part first."""
    usage = findings.summary.get("usage") or {}
    seconds = usage.get("seconds") or {}
    total = sum(seconds.values())
    if not total:
        return []
    return [(PURPOSES.get(name, name), spent, spent / total) for name, spent in seconds.items()]


# The scores of a finalist that are drawn in one look.
SCORES = {"chose": "scores", "fresh": "later_scores"}


def chart_finalists(findings: Findings) -> Chart | None:
    """The finalists' scores on fresh seeds, their mean and interval, and what they had before."""
    winner = findings.winner
    finalists = [f for f in winner.get("finalists") or [] if _numbers(f)]
    if not finalists:
        return None
    baselines = [
        (base["name"], base["mean"])
        for base in winner.get("baselines") or []
        if is_number(base.get("mean"))
    ]
    values = [value for finalist in finalists for value in _numbers(finalist)]
    x = fit_linear(min(values), max(values))
    near = [(name, mean) for name, mean in baselines if x.low <= mean <= x.high]
    row = 1 / len(finalists)
    marks: dict[str, Mark] = {}
    for look, kind in (
        ("spread", "lines"),
        ("chose", "points"),
        ("fresh", "points"),
        ("mean", "lines"),
        ("hollow", "points"),
    ):
        pairs = [
            (shape, finalist["trial"])
            for place, finalist in enumerate(finalists)
            for shape in _scored(look, finalist, x, 1 - (place + 0.5) * row, row)
        ]
        marks[look] = Mark(kind, look, [s for s, _ in pairs], [t for _, t in pairs])  # type: ignore[arg-type]
    return Chart(
        title="Finalists on fresh seeds",
        words=_finalist_words(finalists, findings.metric),
        x_title=findings.metric,
        x=x.ticks(6),
        y=[(1 - (i + 0.5) * row, f"trial {f['trial']}") for i, f in enumerate(finalists)],
        marks=[Mark("lines", "rung", [crosswise(x.position(m)) for _, m in near]), *marks.values()],
        notes=[(x.position(mean), 0.06, shortened(name, 24)) for name, mean in near],
        legend=[
            ("points chose", "a fresh score that had a part in the choice"),
            ("points fresh", "one that had none"),
            ("lines mean", "mean"),
            ("lines spread", f"{winner.get('level', 0.95):.0%} interval of the mean"),
            ("points hollow", "its value while searching"),
        ],
        height=max(70, 44 * len(finalists)),
        can_step=True,
    )


def _scored(look: str, finalist: dict[str, Any], x: Scale, y: float, row: float) -> list[Shape]:
    """What a finalist's row shows in one look."""
    if look in SCORES:
        values = finalist.get(SCORES[look]) or []
        return [[(x.position(v), y)] for v in values if is_number(v)]
    if look == "spread":
        ends = [v for v in finalist.get("interval") or [] if is_number(v)]
        return [[(x.position(ends[0]), y), (x.position(ends[1]), y)]] if len(ends) == 2 else []
    if look == "mean" and is_number(finalist.get("mean")):
        place = x.position(finalist["mean"])
        return [[(place, y - 0.28 * row), (place, y + 0.28 * row)]]
    if look == "hollow" and is_number(finalist.get("search_value")):
        return [[(x.position(finalist["search_value"]), y)]]
    return []


def _numbers(finalist: dict[str, Any]) -> list[float]:
    """Every number that a finalist's row shows."""
    parts = [finalist.get("mean"), finalist.get("search_value")]
    parts += [v for name in (*SCORES.values(), "interval") for v in finalist.get(name) or []]
    return [float(value) for value in parts if value is not None and is_number(value)]


def _finalist_words(finalists: list[dict[str, Any]], metric: str) -> str:
    said = [
        f"trial {finalist['trial']} mean {number(finalist.get('mean'))} of "
        f"{count(len(finalist.get('later_scores') or finalist.get('scores') or []), 'score')}, "
        f"while searching {number(finalist.get('search_value'))}"
        for finalist in finalists
    ]
    return f"{metric} of the finalists, fitted again with fresh seeds: {'; '.join(said)}."


def _time_scale(whole: float) -> tuple[Linear, str, float]:
    """A scale of seconds, minutes or hours; the unit; and its seconds."""
    unit, step = ("seconds", 1.0) if whole < 180 else ("minutes", 60.0)
    if whole > 3 * 3600:
        unit, step = "hours", 3600.0
    return Linear(0.0, whole / step), unit, step


def _end(findings: Findings, trial: Trial) -> float:
    """When a trial ended; one that runs, or was killed, ends with what is known."""
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
