"""Choose the probability from which a row is called the second of two classes.

Scores such as balanced accuracy and F1 look at predicted classes. The threshold that is best for
them is chosen on validation rows, which no test row is among. Another one than 0.5 is used only if
it also helps on rows that it was not chosen on: each fold is scored at the threshold that the
others choose. Why, and what that brings, is in ``docs/decisions/0026-a-threshold-on-folds.md``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from tune_jobs.engine.data.scoring.measures import Measure, measure_of
from tune_jobs.engine.data.scoring.outputs import HALF, Meaning
from tune_jobs.engine.data.scoring.scorers import Scorer
from tune_jobs.engine.data.splitting import Array, count_rarest, cut_folds
from tune_jobs.engine.errors import JobError

CANDIDATES = 50  # thresholds by the rows of a class
PARTS = 4  # that the rows of a single validation set are cut into
TRIED_ROWS = 20  # of each class, to find out what a measure looks at
MOST_ROWS = 10_000  # of a fold: more move no threshold, and a scorer takes its time


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """The threshold of a model of two classes, and why it is that.

    Attributes:
        value: the probability above which the second class is predicted.
        sentence: why, in words.
        measure: what it was chosen by.
        score: the mean over the folds, each at the threshold that the other folds choose; None if
            none was looked for.
        at_half: the mean over the folds at 0.5.
        folds: how many there were.
        rows: how many rows they held out, together.
    """

    value: float
    sentence: str
    measure: str
    score: float | None = None
    at_half: float | None = None
    folds: int = 0
    rows: int = 0

    @property
    def in_search(self) -> str:
        """The threshold that trials and finals were scored at; empty if it is this one."""
        return "" if self.value == HALF else f"at a threshold of {HALF}"


@dataclass(frozen=True)
class HeldOut:
    """Rows that a model was not trained on: their classes, and the model's outputs."""

    truth: Array
    outputs: Array


@dataclass(frozen=True)
class Choice:
    """How a threshold is chosen: by a metric, for outputs of a meaning.

    Attributes:
        metric: the search's.
        meaning: what outputs mean.
        scorers: the evaluation's own.
    """

    metric: str
    meaning: Meaning
    scorers: Mapping[str, Scorer]

    def depends_on_it(self, truth: Array) -> bool:
        """Say if the metric is of two classes, and looks at the predicted ones.

        Args:
            truth: the classes of rows such as those to predict.
        """
        with suppress(JobError):  # a metric that cannot be computed for a few rows
            is_binary = self.meaning.classes == 2 and not self.meaning.has_labels
            return is_binary and len(set(self._try(truth))) > 1
        return False

    def choose(self, parts: Sequence[HeldOut], classes: Sequence[object] = ()) -> Threshold:
        """Choose the threshold of a model by the rows that it was not trained on.

        Args:
            parts: the rows of each fold; the rows of a single one are cut into several.
            classes: their names, in the order of their codes.

        Raises:
            JobError: if the metric cannot be computed.
        """
        name = self._measure().name
        alarms, right, misses = self._try(np.concatenate([each.truth for each in parts]))
        if not alarms < right > misses:
            return Threshold(value=HALF, sentence=_say_blind(name), measure=name)
        if not all(np.isfinite(each.outputs).all() for each in parts):
            raise JobError("the model's outputs for validation rows are not all finite")
        folds = _cut(parts[0]) if len(parts) == 1 else [_drawn(each) for each in parts]
        tried = list_candidates(self.meaning, folds)
        value, score, at_half = _best_for_all(tried, self.score_at(tried, folds))
        found = Threshold(
            value=value,
            sentence="",
            measure=name,
            score=score,
            at_half=at_half,
            folds=len(folds),
            rows=sum(len(each.truth) for each in parts),
        )
        return replace(found, sentence=_say(found, classes))

    def _measure(self, threshold: float = HALF) -> Measure:
        """Return the measure that the metric is, of classes that are predicted at a threshold."""
        meaning = replace(self.meaning, threshold=threshold)
        found = measure_of(self.metric, meaning, self.scorers)
        if found is None:
            raise JobError(f"{self.metric} is no measure of classes")
        return found

    def _try(self, truth: Array) -> tuple[float, float, float]:
        """Score false alarms alone, no mistake, and misses alone.

        Only the threshold differs: what does not look at predicted classes sees no difference.
        """
        truth = truth.reshape(-1)
        codes = np.concatenate([truth[truth == code][:TRIED_ROWS] for code in (0, 1)])
        outputs = (0.1 + 0.4 * codes + 0.2 * (np.arange(len(codes)) % 2)).reshape(-1, 1)
        found = self.score_at(np.array([0.2, 0.4, 0.6]), [HeldOut(codes, outputs)])[:, 0]
        return float(found[0]), float(found[1]), float(found[2])

    def score_at(self, thresholds: Array, folds: Sequence[HeldOut]) -> Array:
        """Return a score for each threshold and fold; of what looks at classes, more is better.

        Raises:
            JobError: if one cannot be computed.
        """
        measures = [self._measure(float(threshold)) for threshold in thresholds]
        found = np.array([[m.score(f.truth, f.outputs) for f in folds] for m in measures])
        if not np.isfinite(found).all():
            raise JobError(f"{self.metric} cannot be computed for each fold")
        return found


def _best_for_all(thresholds: Array, scores: Array) -> tuple[float, float, float]:
    """Return the best threshold, or 0.5 if that of other folds does not help a fold.

    Args:
        thresholds: those that were tried, 0.5 among them.
        scores: shape (thresholds, folds).

    Returns:
        The threshold, and the mean scores at the thresholds of the other folds, and at 0.5.
    """
    folds = range(scores.shape[1])
    others = [find_best(thresholds, np.delete(scores, fold, 1).mean(1)) for fold in folds]
    crossed = float(np.mean([scores[others[fold], fold] for fold in folds]))
    at_half = float(scores[thresholds == HALF].mean())
    value = float(thresholds[find_best(thresholds, scores.mean(1))]) if crossed > at_half else HALF
    return value, crossed, at_half


def _cut(whole: HeldOut) -> list[HeldOut]:
    """Cut the rows of a single validation set, each class spread in proportion.

    Raises:
        JobError: if a class has a single row.
    """
    truth = whole.truth.reshape(-1)
    parts = min(PARTS, count_rarest(truth))
    if parts < 2:
        raise JobError("a class has a single row in the validation set")
    found = [held for _, held in cut_folds(len(truth), parts, 0, truth)]
    return [_drawn(HeldOut(truth[rows], whole.outputs[rows])) for rows in found]


def _drawn(part: HeldOut) -> HeldOut:
    rows = len(part.truth)
    if rows <= MOST_ROWS:
        return part
    drawn = np.random.default_rng(0).permutation(rows)[:MOST_ROWS]
    return HeldOut(part.truth[drawn], part.outputs[drawn])


def list_candidates(meaning: Meaning, folds: Sequence[HeldOut]) -> Array:
    """List thresholds between the probabilities of held-out rows, as many by each class; 0.5."""
    truth = np.concatenate([each.truth.reshape(-1) for each in folds])
    likely = np.concatenate([meaning.probabilities(each.outputs)[:, 1] for each in folds])
    known = np.unique(likely)
    shares = np.linspace(0, 1, CANDIDATES)
    drawn = [np.quantile(likely[truth == code], shares, method="nearest") for code in (0, 1)]
    places = np.searchsorted(known, np.unique(drawn))
    below = (known[places] + known[np.maximum(places - 1, 0)]) / 2
    return np.unique(np.append(below, HALF))


def find_best(thresholds: Array, scores: Array) -> int:
    """Find the best score; of equal ones, that nearest to 0.5. Return its place."""
    best = np.flatnonzero(scores >= scores.max() - 1e-12)
    return int(best[np.argmin(np.abs(thresholds[best] - HALF))])


def _say(found: Threshold, classes: Sequence[object]) -> str:
    """Say which threshold it is and why."""
    folds = f"{found.folds} validation folds"
    if found.value == HALF:
        return f"Threshold 0.5: no other has a better {found.measure} on {folds}."
    name = repr(classes[1]) if len(classes) == 2 else "the second class"
    score, half = found.score or 0.0, found.at_half or 0.0
    return (
        f"Threshold {short(found.value)} for {name}: {found.measure} {score:.4g} on {folds}, "
        f"{half:.4g} at 0.5."
    )


def _say_blind(name: str) -> str:
    return (
        f"Threshold 0.5: {name} sees only one kind of mistake, so the best one would predict all "
        "rows alike."
    )


def short(value: float) -> str:
    """Return a threshold with three digits, also if it is near 1."""
    if not 0 < value < 1:
        return f"{value:g}"
    digits = 2 - math.floor(math.log10(min(value, 1 - value)))
    return f"{value:.{digits}f}".rstrip("0")
