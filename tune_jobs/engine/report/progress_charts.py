"""Draw the course of a search: the optimisation history, and the learning curves."""

from __future__ import annotations

from tune_jobs.engine.formatting import count, number
from tune_jobs.engine.report.axes import Linear, Log, Scale, fit_values, other_scale, say_outliers
from tune_jobs.engine.report.findings import Findings, Point, Trial
from tune_jobs.engine.report.marks import Chart, Mark, Shape, crosswise

# The most learning curves that can be distinguished, and the most points of all curves together.
MOST_CURVES, MOST_POINTS = 300, 20_000
# Trials whose replicas are drawn as a band.
BANDS = 8
# If the longest trial has this many times the epochs of the first rung, epochs are logarithmic.
MANY_RUNGS = 8


def chart_history(findings: Findings) -> Chart | None:
    """Draw each trial's best value, in the order of trials, and the best so far."""
    with_values = [trial for trial in findings.shown if trial.value is not None]
    if not with_values:
        return None
    values = [t.value for t in with_values if t.value is not None]
    y = fit_values(values, findings.goal)
    x = _order_scale(findings.trials)
    failed = [trial for trial in findings.shown if trial.state == "failed" and trial.value is None]
    marks = [
        *_shaded(findings, with_values, x, y),
        _crosses(failed, x),
        Mark("lines", "record", [_record(findings, x, y)]),
        *_star(findings, x, y),
    ]
    return Chart(
        title="Optimisation history",
        words=_history_words(findings, y),
        x_title="trial, in the order of their starts",
        y_title=_axis_title(findings, y),
        x=x.ticks(8),
        y=y.ticks(6),
        marks=marks,
        legend=[
            *_shades(findings),
            ("lines record", "best so far"),
            *([("points best", findings.chosen_as)] if findings.chosen else []),
            *_failed_legend(failed),
        ],
        height=300,
        can_step=True,
        scales=_scales(y, values),
    )


def chart_curves(findings: Findings) -> Chart | None:
    """Draw the metric of each trial after each epoch."""
    curves = {t.number: findings.curves[t.number] for t in _drawn(findings)}
    if not curves:
        return None
    values = [point.mean for points in curves.values() for point in points]
    y = fit_values(values, findings.goal)
    x = _epoch_scale(findings)
    groups = _by_fate(findings)
    bands = _bands(findings, x, y)
    rungs = [rung for rung in findings.rungs if rung <= findings.longest]
    return Chart(
        title="Learning curves",
        words=_curve_words(findings, y),
        x_title="epoch, logarithmic" if isinstance(x, Log) else "epoch",
        y_title=_axis_title(findings, y),
        x=x.ticks(8),
        y=y.ticks(6),
        marks=[
            Mark("lines", "rung", [crosswise(x.position(rung)) for rung in rungs], is_fixed=True),
            *bands,
            *_curve_marks(findings, groups, x, y),
        ],
        legend=[
            *[(f"lines {look}", text) for look, text, trials in groups if trials],
            *([("areas band", "its replicas")] if bands else []),
            *([("lines rung", "rung")] if rungs else []),
        ],
        height=340,
        can_step=True,
        scales=_scales(y, values),
    )


def best_so_far(findings: Findings) -> list[tuple[Trial, float]]:
    """List each trial that was better than all before it, with its value."""
    found = list[tuple[Trial, float]]()
    for trial in findings.trials:
        value = trial.value
        if (
            trial.is_usable
            and value is not None
            and (not found or findings.goal.better(value, found[-1][1]))
        ):
            found.append((trial, value))
    return found


def _scales(y: Linear | Log, values: list[float]) -> tuple[Linear | Log, Linear | Log] | None:
    other = other_scale(y, values)
    return None if other is None else (y, other)


def _order_scale(trials: list[Trial]) -> Linear:
    last = max(trial.number for trial in trials)
    margin = max(0.5, last * 0.015)
    return Linear(1 - margin, last + margin, is_whole=True)


def _epoch_scale(findings: Findings) -> Linear | Log:
    longest = max(2, findings.longest)
    if findings.rungs and longest >= MANY_RUNGS * findings.rungs[0]:
        return Log(1, longest)
    return Linear(1, longest, is_whole=True)


def _axis_title(findings: Findings, y: Scale) -> str:
    better = "lower" if findings.goal.minimises else "higher"
    return (
        f"{findings.goal.words}, {better} is better{', logarithmic' if isinstance(y, Log) else ''}"
    )


def _shaded(findings: Findings, trials: list[Trial], x: Scale, y: Scale) -> list[Mark]:
    """Draw points, those that reached few epochs behind the others."""
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(findings.shade(trial), []).append(trial)
    return [
        Mark(
            "points",
            look,
            [[(x.position(t.number), y.position(t.value))] for t in group],
            [t.number for t in group],
        )
        for look, group in sorted(groups.items())
    ]


def _shades(findings: Findings) -> list[tuple[str, str]]:
    """List the looks of trials by the epochs that they reached."""
    legend, before = [], 0
    for place, end in enumerate(findings.levels):
        spread = str(end) if end == before + 1 else f"{before + 1} to {end}"
        last = place == len(findings.levels) - 1
        unit = " epoch" if end == 1 else " epochs"
        probe = next((t for t in findings.trials if before < t.epochs <= end), None)
        if probe:
            legend.append((f"points {findings.shade(probe)}", f"{spread}{unit * last}"))
        before = end
    return legend


def _crosses(failed: list[Trial], x: Scale) -> Mark:
    """Draw trials without a value, at the lower edge."""
    shapes = [[(x.position(t.number), 0.0), (x.position(t.number), 0.035)] for t in failed]
    return Mark("lines", "failed", shapes, [t.number for t in failed], is_fixed=True)


def _failed_legend(failed: list[Trial]) -> list[tuple[str, str]]:
    return [("lines failed", "failed without a value")] if failed else []


def _record(findings: Findings, x: Scale, y: Scale) -> Shape:
    """Draw the stairs of the best so far, up to the last trial."""
    stairs: list[tuple[float, float]] = []
    for trial, value in best_so_far(findings):
        place = x.position(trial.number)
        if stairs:
            stairs.append((place, stairs[-1][1]))
        stairs.append((place, y.position(value)))
    if stairs:
        stairs.append((x.position(findings.trials[-1].number), stairs[-1][1]))
    return stairs


def _star(findings: Findings, x: Scale, y: Scale) -> list[Mark]:
    chosen = findings.chosen
    if chosen is None or chosen.value is None:
        return []
    place = [(x.position(chosen.number), y.position(chosen.value))]
    return [Mark("points", "best", [place], [chosen.number])]


def _history_words(findings: Findings, y: Scale) -> str:
    records = best_so_far(findings)
    values = [t.value for t in findings.shown if t.value is not None]
    said = f"The best {findings.goal.words} of each of {count(len(findings.trials), 'trial')}"
    if len(records) > 1:
        (first, before), (trial, value) = records[0], records[-1]
        said += (
            f"; the best so far went from {number(before)} (trial {first.number}) to "
            f"{number(value)} (trial {trial.number}) in {count(len(records) - 1, 'step')}"
        )
    elif records:
        said += f"; the best, {number(records[0][1])}, came with trial {records[0][0].number}"
    return f"{said}. {say_outliers(values, y)}".rstrip()


def _drawn(findings: Findings) -> list[Trial]:
    """Return the trials with a curve; of very many the best and an even sample."""
    known = [trial for trial in findings.shown if trial.number in findings.curves]
    if len(known) <= MOST_CURVES:
        return known
    first = [*findings.ranked[: MOST_CURVES // 5], findings.chosen]
    best = {trial.number for trial in first if trial and trial.number in findings.curves}
    others = [trial for trial in known if trial.number not in best]
    few = MOST_CURVES - len(best)
    sample = {others[place * len(others) // few].number for place in range(few)}
    return [trial for trial in known if trial.number in best | sample]


def _by_fate(findings: Findings) -> list[tuple[str, str, list[Trial]]]:
    """List looks, their meaning and their trials, from back to front."""
    chosen, drawn = findings.chosen, _drawn(findings)
    rest = [trial for trial in drawn if trial is not chosen]
    whole = [trial for trial in rest if trial.state == "complete"]
    failed = [trial for trial in rest if trial.state == "failed"]
    going = [trial for trial in rest if trial.state in ("running", "unfinished")]
    stopped = [trial for trial in rest if trial.state == "stopped"]
    return [
        ("stopped", f"{len(stopped)} stopped", stopped),
        ("failed", f"{len(failed)} failed", failed),
        ("going", f"{len(going)} unfinished", going),
        ("whole", f"{len(whole)} complete", whole),
        ("best", findings.chosen_as, [chosen] if chosen in drawn else []),
    ]


def _curve_marks(
    findings: Findings, groups: list[tuple[str, str, list[Trial]]], x: Scale, y: Scale
) -> list[Mark]:
    every = _thinning(findings)
    return [
        Mark(
            "lines",
            look,
            [_curve(findings.curves[trial.number], every, x, y) for trial in trials],
            [trial.number for trial in trials],
        )
        for look, _, trials in groups
    ]


def _curve(points: list[Point], every: int, x: Scale, y: Scale) -> Shape:
    """Draw a curve through its first, its last and every n-th point; a single one as a dash."""
    kept = [*points[:-1:every], points[-1]]
    places = [(x.position(p.epoch), y.position(p.mean)) for p in kept]
    if len(places) > 1:
        return places
    (left, level), dash = places[0], 0.006
    return [(max(0.0, left - dash), level), (left + dash, level)]


def _thinning(findings: Findings) -> int:
    """Return n, if every n-th point of a curve is drawn."""
    points = sum(len(findings.curves[trial.number]) for trial in _drawn(findings))
    return max(1, round(points / MOST_POINTS))


def _curve_words(findings: Findings, y: Scale) -> str:
    drawn = _drawn(findings)
    said = f"{findings.goal.words} over epochs of {count(len(drawn), 'trial')}"
    if len(drawn) < len(findings.curves):
        said += f" of {len(findings.curves):,}: the best, and an even sample of the others"
    if findings.rungs:
        said += f"; trials were compared after epoch {', '.join(map(str, findings.rungs))}"
    best = findings.best
    if best:
        said += (
            f"; the best, trial {best.number}, reached {number(best.value)} at epoch "
            f"{best.best_epoch} of {best.epochs}"
        )
    worst = max if findings.goal.minimises else min
    ends = [worst(point.mean for point in findings.curves[trial.number]) for trial in drawn]
    return f"{said}. {say_outliers(ends, y)}".rstrip()


def _bands(findings: Findings, x: Scale, y: Scale) -> list[Mark]:
    """Draw the range over replicas of the best trials."""
    shapes, trials = [], []
    for trial in findings.ranked[:BANDS]:
        points = findings.curves.get(trial.number, [])
        if len(points) < 2 or all(point.low == point.high for point in points):
            continue
        upper = [(x.position(p.epoch), y.position(p.high)) for p in points]
        lower = [(x.position(p.epoch), y.position(p.low)) for p in reversed(points)]
        shapes.append([*upper, *lower])
        trials.append(trial.number)
    return [Mark("areas", "band", shapes, trials)] if shapes else []
