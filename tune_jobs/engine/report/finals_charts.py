"""Draw the finals: the finalists' scores on fresh seeds, and the winner on the test set."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from tune_jobs.engine.data.scoring.comparison import wilson
from tune_jobs.engine.data.scoring.details import QUANTILES, Bin, Details
from tune_jobs.engine.experiments.verdict import Finalist, Verdict
from tune_jobs.engine.formatting import count, is_number, number, shortened, visible
from tune_jobs.engine.goal import Goal
from tune_jobs.engine.report.axes import Linear, Scale, fit_linear, good_range, say_outliers
from tune_jobs.engine.report.findings import Findings
from tune_jobs.engine.report.marks import Chart, Kind, Mark, Shape, crosswise
from tune_jobs.engine.report.tables import Table

UNIT = Linear(0.0, 1.0)

FEW_ROWS = 10  # of a bin of the calibration

# The looks of means, and the scores that each is of: means of one kind stand on one axis.
MEANS = {"mean-chose": "scores", "mean": "later_scores"}


def chart_finalists(findings: Findings) -> Chart | None:
    """Draw the finalists' scores: on fresh seeds, with mean and interval, and in the search."""
    winner = findings.winner
    finalists = _ordered(winner, findings.goal) if winner else []
    if winner is None or not finalists:
        return None
    values = [value for finalist in finalists for value in _numbers(finalist)]
    x = fit_linear(*good_range(values, findings.goal))
    near = [
        (base.name, base.mean)
        for base in winner.baselines
        if base.mean is not None and x.low <= base.mean <= x.high
    ]
    row = 1 / len(finalists)
    looks: list[tuple[str, Kind]] = [
        *(("spread", "lines"), ("chose", "points"), ("fresh", "points")),
        *(("mean-chose", "lines"), ("mean", "lines"), ("hollow", "points")),
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
        words=_finalist_words(finalists, findings.goal.words, say_outliers(values, x)),
        x_title=findings.goal.words,
        x=x.ticks(6),
        y=[(1 - (i + 0.5) * row, _label(each, winner.trial)) for i, each in enumerate(finalists)],
        marks=[Mark("lines", "rung", [crosswise(x.position(m)) for _, m in near]), *marks],
        notes=[(x.position(mean), 0.06, shortened(name, 24)) for name, mean in near],
        legend=[
            ("points chose", "score used to choose"),
            ("points fresh", "score held back to estimate"),
            ("lines mean-chose", "mean of the scores used to choose"),
            ("lines mean", "mean of those held back"),
            ("lines spread", f"its {winner.level:.0%} CI"),
            ("points hollow", "score during the search"),
        ],
        height=max(70, 44 * len(finalists)),
        aside=say_outliers(values, x),
        can_step=True,
    )


def _scored(look: str, finalist: Finalist, x: Scale, y: float, row: float) -> list[Shape]:
    """Draw one look of a finalist's row."""
    search_value = finalist.search_value
    if look in ("chose", "fresh"):
        values = finalist.scores if look == "chose" else finalist.later_scores
        return [[(x.position(v), y)] for v in values if is_number(v)]
    if look == "spread":
        ends = [v for v in finalist.interval or () if is_number(v) and finalist.later_scores]
        return [[(x.position(ends[0]), y), (x.position(ends[1]), y)]] if len(ends) == 2 else []
    if look in MEANS and is_number(mean := _mean(finalist, look)):
        place, half = x.position(mean), 0.28 * row
        return [[(place, y - half), (place, y + half)]]
    if look == "hollow" and is_number(search_value):
        return [[(x.position(search_value), y)]]
    return []


def _ordered(winner: Verdict, goal: Goal) -> list[Finalist]:
    """Return the finalists that have scores: the winner, the runner-up, the others by their means.

    All are compared by the scores used to choose, since only two have others.
    """
    second = winner.runner_up.trial if winner.runner_up else None
    known = [each for each in winner.finalists if _numbers(each)]

    def place(finalist: Finalist) -> tuple[bool, bool, float]:
        mean = _mean(finalist, "mean-chose")
        loss = goal.sign * mean if is_number(mean) else math.inf
        return finalist.trial != winner.trial, finalist.trial != second, loss

    return sorted(known, key=place)


def _mean(finalist: Finalist, look: str) -> float | None:
    """Return the mean of a finalist's scores of one kind; None if it has none."""
    values = [v for v in getattr(finalist, MEANS[look]) if is_number(v)]
    return sum(values) / len(values) if values else None


def _label(finalist: Finalist, winner: int) -> str:
    return f"trial {finalist.trial}{', winner' if finalist.trial == winner else ''}"


def _numbers(finalist: Finalist) -> list[float]:
    """Return every number of a finalist's row that is drawn."""
    ends = finalist.interval if finalist.later_scores else None
    scores = (*finalist.scores, *finalist.later_scores, *(ends or ()))
    return [v for v in (finalist.search_value, *scores) if is_number(v)]


def _finalist_words(finalists: list[Finalist], metric: str, outliers: str) -> str:
    said = [
        f"trial {finalist.trial} mean {number(finalist.mean)} of "
        f"{count(len(finalist.later_scores or finalist.scores), 'score')}, "
        f"during the search {number(finalist.search_value)}"
        for finalist in finalists
    ]
    of = f"{metric} of the finalists, trained again with fresh seeds, the winner first"
    return f"{of}: {'; '.join(said)}. {outliers}".rstrip()


def details_in(findings: Findings) -> Details | None:
    """Return what the summary says of the test set; None if it says nothing."""
    report = findings.summary.on_test if findings.summary else None
    return report.details if report else None


def on_test_charts(findings: Findings) -> list[Chart]:
    """Draw the curves of a winner of two classes on the test set: none for other targets."""
    if (details := details_in(findings)) is None:
        return []
    found = [_chart_roc(details), _chart_precision_recall(details), _chart_calibration(details)]
    return [chart for chart in found if chart]


def on_test_tables(findings: Findings) -> list[Table]:
    """List what the winner gets right and wrong: the confusion of classes, or the residuals."""
    if (details := details_in(findings)) is None:
        return []
    found = [_confusion_table(details), _residual_table(details)]
    return [table for table in found if table]


def _confusion_table(details: Details) -> Table | None:
    """Count the test rows of each class by the class that is predicted."""
    if not details.confusion:
        return None
    names = [visible(name) for name in details.classes]
    pairs = zip(names, details.confusion, strict=True)
    rows = [[name, *(f"{amount:,}" for amount in amounts)] for name, amounts in pairs]
    return Table(["truth, predicted as", *names], rows)


def _residual_table(details: Details) -> Table | None:
    """List the quantiles of predicted minus true values."""
    if not details.residuals:
        return None
    heads = [f"{share:.0%}" for share in QUANTILES]
    return Table(
        ["predicted - true", *heads], [["quantile", *(number(each) for each in details.residuals)]]
    )


def _second(details: Details) -> str:
    """Name the second of two classes."""
    return f"class {visible(details.classes[1])!r}" if details.classes else "the second class"


def _chart_roc(details: Details) -> Chart | None:
    """Draw the ROC curve of two classes."""
    if not details.roc:
        return None
    return _unit_chart(
        "ROC curve",
        f"How many rows of {_second(details)} are found, for each share of false alarms.",
        ("false positive rate", "true positive rate"),
        [("rung", [[(0.0, 0.0), (1.0, 1.0)]]), ("mean", [list(details.roc)])],
    )


def _chart_precision_recall(details: Details) -> Chart | None:
    """Draw precision over recall of two classes."""
    if not details.precision_recall:
        return None
    return _unit_chart(
        "Precision and recall",
        f"How many rows that are predicted as {_second(details)} are of it, by the share found.",
        ("recall", "precision"),
        [("mean", [list(details.precision_recall)])],
    )


def _chart_calibration(details: Details) -> Chart | None:
    """Draw the share of the second class over its predicted probability."""
    if not details.calibration:
        return None
    bins, few = details.calibration, [each for each in details.calibration if each.rows < FEW_ROWS]
    words = (
        f"The share of {_second(details)} among rows of about the same predicted probability. "
        f"Rows per bin, from the left: {', '.join(f'{each.rows:,}' for each in bins)}."
    )
    if few:
        words += f" Those with fewer than {FEW_ROWS} say little."
    chart = _unit_chart(
        "Calibration",
        words,
        ("predicted probability", "share of the rows"),
        [("rung", [[(0.0, 0.0), (1.0, 1.0)]]), ("spread", [_spread(each) for each in bins])],
    )
    small = [[(each.predicted, each.share)] for each in few]
    large: list[Shape] = [[(b.predicted, b.share)] for b in bins if b not in few]
    return replace(
        chart,
        marks=[*chart.marks, Mark("points", "fresh", large), Mark("points", "hollow", small)],
        legend=[
            ("points fresh", "rows of a bin"),
            ("lines spread", "their 95% CI"),
            *([("points hollow", f"fewer than {FEW_ROWS} rows")] if few else []),
        ],
    )


def _spread(each: Bin) -> Shape:
    """Return the line of a bin's interval."""
    low, high = wilson(each.share, each.rows)
    return [(each.predicted, low), (each.predicted, high)]


def _unit_chart(
    title: str, words: str, axes: tuple[str, str], lines: Sequence[tuple[str, list[Shape]]]
) -> Chart:
    ticks = UNIT.ticks(5)
    return Chart(
        title=title,
        words=words,
        x_title=axes[0],
        y_title=axes[1],
        x=ticks,
        y=ticks,
        marks=[Mark("lines", look, shapes) for look, shapes in lines],
    )
