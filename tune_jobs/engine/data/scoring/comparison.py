"""Compare the winner with simple models on the same test rows, and give scores an interval.

A measure that is a mean over rows has the interval of Student's t, for two models that of their
paired differences. Others have that of a paired bootstrap: both models are scored on the same rows
drawn with replacement (Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapters 13
and 16), and the interval is that of the percentiles.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from tune_jobs.engine.data.scoring.details import Details, details_of
from tune_jobs.engine.data.scoring.measures import Measure, measure_of, measures_of
from tune_jobs.engine.data.scoring.outputs import HALF, Meaning
from tune_jobs.engine.data.scoring.scorers import Scorer
from tune_jobs.engine.data.splitting import Array
from tune_jobs.engine.errors import JobError
from tune_jobs.engine.formatting import rounded
from tune_jobs.engine.goal import Mode

NO_THRESHOLDS: Mapping[str, float] = {}

LEVEL = 0.95
RESAMPLES = 300

# On fewer rows models are not compared: a few rows that happen to be alike would decide.
FEWEST_ROWS = 10

# More rows are not drawn: the interval is narrow, and a scorer takes its time.
MOST_ROWS = 10_000

Answer: TypeAlias = Literal["better", "not distinguishable", "worse"]
RANKS: tuple[Answer, ...] = ("better", "not distinguishable", "worse")

IN_WORDS = {
    "majority class": "the majority class",
    "linear model": "a linear model",
    "mean": "the mean of the target",
}


@dataclass(frozen=True, kw_only=True)
class KnownScore:
    """A score on the test set in a measure that people know.

    Attributes:
        name: the measure.
        value: the score.
        interval: of the score; None if the rows are too few for one.
    """

    name: str
    value: float
    interval: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The winner and a simple model on the same test rows.

    Attributes:
        baseline: the simple model.
        answer: what the winner is, compared with it.
        winner: the winner's score.
        score: the simple model's.
        gain: how much better the winner is.
        interval: of the gain.
    """

    baseline: str
    answer: Answer
    winner: float
    score: float
    gain: float
    interval: tuple[float, float]

    @property
    def sentence(self) -> str:
        """What the winner is, and by how much."""
        how = {"better": "better than", "worse": "worse than"}.get(
            self.answer, "not distinguishable from"
        )
        low, high = self.interval
        return (
            f"{how} {IN_WORDS.get(self.baseline, self.baseline)} (gain {rounded(self.gain)}, "
            f"95% CI {rounded(low)} to {rounded(high)})"
        )


@dataclass(frozen=True, kw_only=True)
class TestReport:
    """What the test set says of the winner, beside its scores.

    Attributes:
        rows: the number of test rows.
        known: the scores that people know, after that of the search if a scorer computes it.
        measure: what the comparisons are by.
        mode: whether small or large values of that are good.
        comparisons: one per simple model; empty if there are none to compare with.
        answer: that of the simple model which is hardest to beat, None without one.
        sentence: the comparisons in words, empty without any.
        details: what the winner gets right and wrong.
    """

    __test__ = False

    rows: int
    known: tuple[KnownScore, ...] = ()
    measure: str | None = None
    mode: Mode | None = None
    comparisons: tuple[Comparison, ...] = ()
    answer: Answer | None = None
    sentence: str = ""
    details: Details | None = None


def report_on(
    meaning: Meaning,
    truth: Array,
    outputs: Array,
    baselines: Mapping[str, Array],
    *,
    metric: str,
    scorers: Mapping[str, Scorer],
    classes: Sequence[object] = (),
    thresholds: Mapping[str, float] = NO_THRESHOLDS,
) -> TestReport:
    """Score the winner's outputs with intervals, and compare them with those of simple models.

    Args:
        meaning: what the winner's outputs mean.
        truth: of the test rows, in the target's unit.
        outputs: the winner's, in the target's unit.
        baselines: those of each simple model, by name.
        metric: the search's.
        scorers: the evaluation's own.
        classes: their names, in the order of their codes.
        thresholds: of simple models, by name, if it is not the usual one.

    Returns:
        No scores if there are no rows, or an output is NaN or infinite.
    """
    rows = len(truth)
    if not rows or not np.isfinite(outputs).all():
        return TestReport(rows=rows)
    measure = measure_of(metric, meaning, scorers)
    shown = list(measures_of(meaning).values())[:2]
    if measure and measure.name in scorers:
        shown.insert(0, measure)
    known = [_known(each, truth, outputs) for each in shown]
    found = TestReport(
        rows=rows,
        known=tuple(each for each in known if each),
        details=details_of(meaning, truth, outputs, classes),
    )
    if measure is None:
        return found
    compared = []
    for name, other in baselines.items():
        read = replace(meaning, threshold=thresholds.get(name, HALF))
        theirs = measure_of(metric, read, scorers) or measure
        compared.append(_compare((measure, theirs), truth, (outputs, other), name))
    comparisons = tuple(each for each in compared if each)
    if not comparisons:
        return found
    hardest = max(comparisons, key=lambda each: RANKS.index(each.answer))
    return replace(
        found,
        measure=measure.name,
        mode=measure.mode,
        comparisons=comparisons,
        answer=hardest.answer,
        sentence=_sentence(measure, rows, comparisons),
    )


def _sentence(measure: Measure, rows: int, comparisons: tuple[Comparison, ...]) -> str:
    said = " and ".join(each.sentence for each in comparisons)
    return f"By {measure.name} on {rows:,} test rows, the winner is {said}."


def _known(measure: Measure, truth: Array, outputs: Array) -> KnownScore | None:
    try:
        value = measure.score(truth, outputs)
    except JobError:  # such as rows of one class, or outputs that mean something else
        return None
    if not math.isfinite(value):
        return None
    interval: tuple[float, float] | None
    if measure.name == "accuracy":
        interval = wilson(value, len(truth))
    elif measure.per_row is not None:
        interval = _of_mean(measure.per_row(truth, outputs))
    else:
        interval = _of_resamples(len(truth), lambda rows: measure.score(truth[rows], outputs[rows]))
    return KnownScore(name=measure.name, value=value, interval=interval)


def _compare(
    measures: tuple[Measure, Measure], truth: Array, outputs: tuple[Array, Array], name: str
) -> Comparison | None:
    """Compare the winner with a baseline; None if the rows are too few, or cannot be scored.

    The measures of the two differ in the threshold of predicted classes.
    """
    (ours, theirs), (winner, baseline) = measures, outputs
    if len(truth) < FEWEST_ROWS or not np.isfinite(baseline).all():
        return None
    sign = 1 if ours.mode == "max" else -1

    def gain(rows: Array) -> float:
        first = ours.score(truth[rows], winner[rows])
        return sign * (first - theirs.score(truth[rows], baseline[rows]))

    try:
        first, second = ours.score(truth, winner), theirs.score(truth, baseline)
        if ours.per_row is None or theirs.per_row is None:
            interval = _of_resamples(len(truth), gain)
        else:
            values = ours.per_row(truth, winner) - theirs.per_row(truth, baseline)
            interval = _of_mean(sign * values)
    except JobError:
        return None
    if interval is None or not all(map(math.isfinite, (first, second, *interval))):
        return None
    return Comparison(
        baseline=name,
        answer=_answer(interval),
        winner=first,
        score=second,
        gain=sign * (first - second) + 0.0,  # no -0
        interval=(interval[0] + 0.0, interval[1] + 0.0),
    )


def _answer(interval: tuple[float, float]) -> Answer:
    low, high = interval
    if low > 0:
        return "better"
    return "worse" if high < 0 else "not distinguishable"


def _of_mean(values: Array) -> tuple[float, float] | None:
    """Return the interval of a mean, by Student's t; None of fewer than two values."""
    from scipy import stats

    if len(values) < 2:
        return None
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    reach = float(stats.t.ppf(0.5 + LEVEL / 2, len(values) - 1)) * error
    mean = float(np.mean(values))
    return mean - reach, mean + reach


def wilson(share: float, rows: int) -> tuple[float, float]:
    """Return the interval of a share (Wilson 1927), which stays between 0 and 1."""
    z = 1.959964
    middle = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    reach = (
        z * math.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows)) / (1 + z * z / rows)
    )
    return max(0.0, middle - reach), min(1.0, middle + reach)


def _of_resamples(rows: int, score: Callable[[Array], float]) -> tuple[float, float] | None:
    """Return the interval of a score by the bootstrap; None if too many samples have none."""
    values = list(_scores_of_resamples(rows, score))
    if rows < 2 or len(values) < 0.9 * RESAMPLES:
        return None
    tail = 50 * (1 - LEVEL)
    low, high = np.percentile(values, [tail, 100 - tail])
    return float(low), float(high)


def _scores_of_resamples(rows: int, score: Callable[[Array], float]) -> Iterator[float]:
    """Yield the scores of rows drawn with replacement, without those that have none."""
    random = np.random.default_rng(0)
    kept = random.permutation(rows)[:MOST_ROWS]
    for _ in range(RESAMPLES):
        with suppress(JobError):
            value = score(random.choice(kept, len(kept)))
            if math.isfinite(value):
                yield value
