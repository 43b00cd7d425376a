"""Measure what a threshold that folds choose brings on rows that nobody has seen.

    python -m benchmarks.threshold --seeds 6

Models of scikit-learn learn drawn tables of two classes. Four folds choose the threshold, as after
a search, and 20,000 fresh rows say how much better it is than 0.5: as the product chooses it (only
if the folds' thresholds help each other), and always.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks import report
from tune_jobs.engine.data.scoring.outputs import HALF, Meaning
from tune_jobs.engine.data.scoring.scorers import make_scorers
from tune_jobs.engine.data.scoring.thresholds import Choice, HeldOut, find_best, list_candidates
from tune_jobs.engine.data.splitting import cut_folds

SIZES, SHARES = (200, 1000), (0.03, 0.07, 0.2, 0.5)
METRICS = ("balanced_accuracy", "f1", "accuracy")
FOLDS, FRESH, FEWEST = 4, 20_000, 12
BINARY = Meaning("binary", 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=6)
    found = [row for seed in range(parser.parse_args().seeds) for row in measure(seed)]
    report.show(
        f"gain over a threshold of 0.5 on {FRESH:,} fresh rows, mean (and 5 % quantile)",
        ["metric", "second class", "cases", "if it helps other folds", "always"],
        [_row(found, metric, share) for metric in METRICS for share in (*SHARES, None)],
    )
    report.state()


def measure(seed: int) -> Iterator[dict[str, Any]]:
    """Yield the gains of a seed's tables, models and metrics."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression

    for rows, share in ((rows, share) for rows in SIZES for share in SHARES):
        x, y = draw(rows + FRESH, share, seed)
        if y[:rows].sum() < FEWEST:
            continue
        for model in (LogisticRegression(max_iter=300), RandomForestClassifier(60, random_state=0)):
            folds = [
                HeldOut(y[held], model.fit(x[train], y[train]).predict_proba(x[held]))
                for train, held in cut_folds(rows, FOLDS, seed, y[:rows])
            ]
            model.fit(x[:rows], y[:rows])
            fresh = HeldOut(y[rows:], model.predict_proba(x[rows:]))
            for metric in METRICS:
                yield {"metric": metric, "share": share, **gains(metric, folds, fresh)}


def draw(rows: int, share: float, seed: int) -> tuple[Any, Any]:
    """Draw a table of two classes."""
    from sklearn.datasets import make_classification

    return make_classification(
        rows,
        12,
        n_informative=5,
        weights=[1 - share],
        class_sep=0.7,
        flip_y=0.02,
        random_state=seed,
    )


def gains(metric: str, folds: list[HeldOut], fresh: HeldOut) -> dict[str, float]:
    """Return how much better thresholds are than 0.5 on fresh rows."""
    choice = Choice(metric, BINARY, make_scorers([metric], BINARY, {}))
    chosen = always = choice.choose(folds).value
    if chosen == HALF:
        tried = list_candidates(BINARY, folds)
        always = tried[find_best(tried, choice.score_at(tried, folds).mean(1))]
    scores = choice.score_at(np.array([HALF, chosen, always]), [fresh])[:, 0]
    return {"chosen": float(scores[1] - scores[0]), "always": float(scores[2] - scores[0])}


def _row(found: list[dict[str, Any]], metric: str, share: float | None) -> list[str]:
    own = [row for row in found if row["metric"] == metric and share in (None, row["share"])]
    said = [
        f"{np.mean(values):+.4f} ({np.quantile(values, 0.05):+.4f})"
        for values in ([row[kind] for row in own] for kind in ("chosen", "always"))
    ]
    return [metric, "all" if share is None else f"{share:.0%}", str(len(own)), *said]


if __name__ == "__main__":
    main()
