"""Draw how fast several experiments found better values."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tune_jobs.engine.formatting import count, duration, number, shortened
from tune_jobs.engine.report.axes import Linear, fit_values, say_outliers
from tune_jobs.engine.report.findings import Findings
from tune_jobs.engine.report.marks import Chart, Mark, Shape
from tune_jobs.engine.report.progress_charts import best_so_far

# Colours for experiments.
MOST = 6


def chart_race(all_findings: Sequence[Findings]) -> Chart | None:
    """Draw the best so far of each experiment over time."""
    runners = [f for f in all_findings if f.best][:MOST]
    if len({f.goal for f in runners}) != 1:
        return None
    races = [_race(findings) for findings in runners]
    y = fit_values([value for race in races for _, value in race], runners[0].goal)
    whole = max(1e-3, max(seconds for race in races for seconds, _ in race))
    unit, step = ("seconds", 1.0) if whole < 180 else ("minutes", 60.0)
    x = Linear(0.0, whole / step)
    marks = []
    for findings, race in zip(runners, races, strict=True):
        stairs: list[tuple[float, float]] = []
        for seconds, value in race:
            place = x.position(seconds / step)
            stairs += [(place, stairs[-1][1])] if stairs else []
            stairs.append((place, y.position(value)))
        shape: Shape = [*stairs, (1.0, stairs[-1][1])]
        marks.append(Mark("lines", f"race r{findings.index % MOST}", [shape]))
    return Chart(
        title="Best so far",
        words="; ".join(
            f"{f.name} came to {number(race[-1][1])} after {duration(race[-1][0])}"
            for f, race in zip(runners, races, strict=True)
        )
        + f". {say_outliers([value for race in races for _, value in race], y)}".rstrip(),
        x_title=f"{unit} since its first trial",
        y_title=runners[0].goal.words,
        x=x.ticks(8),
        y=y.ticks(6),
        marks=marks,
        legend=[
            (
                f"lines race r{f.index % MOST}",
                f"{shortened(f.name, 30)} ({count(len(f.trials), 'trial')})",
            )
            for f in runners
        ],
        height=260,
    )


def _race(findings: Findings) -> list[tuple[float, float]]:
    """List each better value with its time, in seconds of runs since the first trial."""
    found: list[tuple[float, float]] = []
    for trial, value in best_so_far(findings):
        end = trial.ended if math.isfinite(trial.ended) else findings.now
        elapsed = findings.clock.elapsed(end)
        found.append((max([0.0, elapsed, *(seconds for seconds, _ in found)]), value))
    return found
