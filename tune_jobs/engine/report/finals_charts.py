"""Draw the finals: the finalists' scores on fresh seeds."""

from __future__ import annotations

from tune_jobs.engine.experiments.verdict import Finalist
from tune_jobs.engine.formatting import count, is_number, number, shortened
from tune_jobs.engine.report.axes import Scale, fit_linear
from tune_jobs.engine.report.findings import Findings
from tune_jobs.engine.report.marks import Chart, Kind, Mark, Shape, crosswise


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
