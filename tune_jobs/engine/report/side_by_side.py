"""Several experiments side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tune_jobs.engine.formatting import NONE, count, duration, number, setting, shortened, visible
from tune_jobs.engine.report.axes import Linear, fit_values
from tune_jobs.engine.report.findings import Findings
from tune_jobs.engine.report.marks import Chart, Mark, Shape
from tune_jobs.engine.report.progress_charts import best_so_far
from tune_jobs.engine.report.tables import Table

# Colours there are for experiments.
MOST = 6


def compare(all_findings: Sequence[Findings]) -> list[str]:
    """What can be said of the experiments together, and what forbids to compare them."""
    said = _obstacles(all_findings)
    usable = [findings for findings in all_findings if findings.best]
    if len({f.goal for f in all_findings}) > 1 or len(usable) < 2:
        return said
    loss = usable[0].goal.loss
    fresh = [f for f in usable if _mean(f) is not None]
    if len(fresh) == len(usable):
        return [*said, _compare_winners(sorted(fresh, key=lambda f: loss(_mean(f) or 0.0)))]
    first, second = sorted(usable, key=lambda f: loss(f.ranked[0].value or 0.0))[:2]
    return [
        *said,
        (
            f"While searching, {first.name} found the better {first.metric}: "
            f"{number(first.ranked[0].value)} against {number(second.ranked[0].value)} of "
            f"{second.name}. Both are the best of many, so optimistic."
        ),
    ]


def comparison_table(all_findings: Sequence[Findings]) -> Table:
    """A row a fact, a column an experiment."""
    rows: list[tuple[str, list[str]]] = [
        ("best while searching", [number(f.best.value) if f.best else NONE for f in all_findings]),
        ("winner on fresh seeds", [_fresh(f) for f in all_findings]),
        ("trials", [number(len(f.trials)) for f in all_findings]),
        ("failed", [number(sum(t.state == "failed" for t in f.trials)) for f in all_findings]),
        ("epochs", [number(len(f.experiment.epochs)) for f in all_findings]),
        ("took", [duration(f.summary.get("seconds")) for f in all_findings]),
        ("useful work", [_useful(f) for f in all_findings]),
    ]
    for name in dict.fromkeys(n for f in all_findings for n in f.summary.get("test") or {}):
        scores = [(f.summary.get("test") or {}).get(name) for f in all_findings]
        rows.append((f"test {visible(name)}", [number(score) for score in scores]))
    rows = [row for row in rows if set(row[1]) != {NONE}]
    return Table(
        ["", *(visible(f.name) for f in all_findings)], [[name, *cells] for name, cells in rows]
    )


def config_differences(all_findings: Sequence[Findings]) -> Table | None:
    """Where the best configs of the experiments differ."""
    configs = [f.chosen.config if f.chosen else {} for f in all_findings]
    rows = []
    for name in dict.fromkeys(name for config in configs for name in config):
        cells = [setting(config[name]) if name in config else NONE for config in configs]
        if len(set(cells)) > 1:
            rows.append([visible(name), *cells])
    if not rows:
        return None
    return Table(["best config", *(visible(f.name) for f in all_findings)], rows)


def chart_race(all_findings: Sequence[Findings]) -> Chart | None:
    """The best so far of each experiment over time."""
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
        + ".",
        x_title=f"{unit} since its first trial",
        y_title=runners[0].metric,
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
    """When each better value was known, in seconds since the first trial, and the value."""
    began = min((t.began for t in findings.trials if math.isfinite(t.began)), default=0.0)
    found: list[tuple[float, float]] = []
    for trial, value in best_so_far(findings):
        end = trial.ended if math.isfinite(trial.ended) else findings.now
        found.append((max([0.0, end - began, *(seconds for seconds, _ in found)]), value))
    return found


def _obstacles(all_findings: Sequence[Findings]) -> list[str]:
    """What differs that should not."""
    said = []
    if len({f.goal for f in all_findings}) > 1:
        said.append("They have different metrics, so their values cannot be compared.")
    for key, what in (("fingerprint", "data"), ("evaluation", "evaluation")):
        if len({str(f.experiment.description.get(key)) for f in all_findings}) > 1:
            said.append(f"The {what} differ, so compare values with care.")
    return said


def _compare_winners(ordered: list[Findings]) -> str:
    first, second = ordered[:2]
    one, other = first.winner, second.winner
    said = (
        f"On fresh seeds {first.name} is better: {first.metric} {number(one['mean'])} against "
        f"{number(other['mean'])} of {second.name}"
    )
    if _overlap(one.get("interval"), other.get("interval")):
        return f"{said}; their intervals overlap, so the order may be chance."
    return f"{said}."


def _overlap(one: list[float] | None, other: list[float] | None) -> bool:
    return bool(one and other and max(one[0], other[0]) <= min(one[1], other[1]))


def _mean(findings: Findings) -> float | None:
    mean = findings.winner.get("mean")
    return mean if isinstance(mean, int | float) and math.isfinite(mean) else None


def _fresh(findings: Findings) -> str:
    winner = findings.winner
    if _mean(findings) is None:
        return NONE
    interval = winner.get("interval") or []
    spread = f" ({number(interval[0])} to {number(interval[1])})" if len(interval) == 2 else ""
    return f"{number(winner['mean'])}{spread}"


def _useful(findings: Findings) -> str:
    usage = findings.summary.get("usage")
    return f"{usage['useful']:.0%}" if usage else NONE
