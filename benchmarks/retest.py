"""Measure how often a retest answers "replace" wrongly, because nothing has changed, and rightly.

    python -m benchmarks.retest --count 500 --out benchmarks/figures/retest.md

Each simulated retest is a search of 20 configs on today's rows, a race of the incumbent and the
best four of the others, and the decision, by the engine's own race. The incumbent was chosen
before, so today's rows were not used for that. ``seeds`` has scores that are the true loss plus
noise of standard deviation 1, different for each fit. ``rows`` has linear models on 200 rows, each
on the five features that matter and on five of forty that do not: in truth all are equally good,
but on today's rows each has its luck, which search, choice and decision share.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import report
from tune_jobs.engine.goal import Goal

CONFIGS, FINALISTS, SCORES, LEVEL = 20, 4, 8, 0.95
ROWS, FOLDS, USEFUL, USELESS, NOISE = 200, 4, 5, 40, 1.0
GAPS = (0.0, 0.5, 1.0, 2.0)  # in standard deviations of one score
ANSWERS = ("keep", "replace", "inconclusive")
Score = Callable[[int, int], float]  # of a config and the number of a fit, 0 being the search's


def retest(score: Score, overlap: float, scores: int = SCORES) -> dict[str, Any]:
    """Simulate a retest of config 0, the incumbent."""
    from tune_jobs.engine.finals.race import Race

    seen = [score(place, 0) for place in range(1, CONFIGS)]
    finalists = [0, *(np.argsort(seen)[:FINALISTS] + 1).tolist()]
    race = Race(
        *(len(finalists), scores, scores),
        goal=Goal("loss"),
        overlap=overlap,
        level=LEVEL,
        incumbent=0,
    )
    fits = CONFIGS
    while task := race.next_task():
        race.add(task, [{1: score(finalists[task.finalist], 1 + task.batch)}])
        fits += 1
    gain = race.gain
    if gain is None:
        raise RuntimeError("a race without failures has a pair")
    return {
        "answer": race.answer,
        "gain": gain.mean,
        "low": gain.lower,
        "high": gain.upper,
        "fits": fits,
    }


def by_seeds(gap: float, seed: int) -> tuple[Score, float]:
    """Return scores that are pure noise, with all configs but the incumbent better by the gap."""
    draw = np.random.default_rng([seed, round(100 * gap)])
    noise = draw.normal(size=(CONFIGS, 1 + 4 * SCORES))
    return lambda place, fit: float(noise[place, fit] + gap * (place == 0)), 0.0


def by_rows(gap: float, seed: int) -> tuple[Score, float]:
    """Return squared errors of linear models on folds of the same rows; the incumbent is worse."""
    from tune_jobs.engine.data.splitting import cut_folds

    draw = np.random.default_rng([seed, 1])
    x = draw.normal(size=(ROWS, USEFUL + USELESS))
    y = x[:, :USEFUL].sum(axis=1) + NOISE * draw.normal(size=ROWS)
    columns = [
        [*range(USEFUL), *(USEFUL + draw.choice(USELESS, USEFUL, replace=False))]
        for _ in range(CONFIGS)
    ]
    cuts = [c for n in range(1 + 2 * SCORES) for c in cut_folds(ROWS, FOLDS, 1000 * seed + n, None)]
    spread = _spread_of_scores() if gap else 0.0

    def score(place: int, fit: int) -> float:
        train, held = cuts[fit]
        chosen = x[:, columns[place]]
        weights, *_ = np.linalg.lstsq(chosen[train], y[train], rcond=None)
        error = float(np.mean((chosen[held] @ weights - y[held]) ** 2))
        return error + gap * spread * (place == 0)

    return score, 1 / (FOLDS - 1)


def _spread_of_scores() -> float:
    """Return the standard deviation of one score, over rows and folds."""
    if "rows" not in _SPREADS:
        _SPREADS["rows"] = float(np.std([by_rows(0.0, 10_000 + n)[0](0, 0) for n in range(300)]))
    return _SPREADS["rows"]


_SPREADS: dict[str, float] = {}
NAMES = {"seeds": "noise alone", "rows": "linear models on folds of 200 rows"}
KINDS = {"seeds": by_seeds, "rows": by_rows}


def simulate(count: int) -> pd.DataFrame:
    """Simulate all retests; return one row each."""
    rows = [
        {
            "kind": kind,
            "gap": gap,
            "scores": scores,
            "seed": seed,
            **retest(*make(gap, seed), scores),
        }
        for kind, make in KINDS.items()
        for gap in GAPS
        for scores in (SCORES, 2 * SCORES)
        for seed in range(count)
    ]
    return pd.DataFrame(rows)


def look_again(kind: str, fall: float, seed: int) -> dict[str, Any]:
    """Simulate the cheap mode: an incumbent that is worse than it was, on other rows."""
    from tune_jobs.engine.analysis.estimates import estimate
    from tune_jobs.engine.runs.retest_answers import compare_with_before

    (before, overlap), (after, _) = KINDS[kind](0.0, seed), KINDS[kind](0.0, seed + 100_000)
    spread = _spread_of_scores() if kind == "rows" else 1.0
    fits = range(1 + SCORES, 1 + 2 * SCORES)
    then = estimate([before(0, fit) for fit in fits], overlap, LEVEL)
    today = estimate([after(0, fit) + fall * spread for fit in fits], overlap, LEVEL)
    found = compare_with_before(today, then, Goal("loss"), LEVEL)
    return {"alarm": found.is_worse, "beyond": today.mean > then.upper}


def tabulate_alarms(count: int) -> str:
    """Return how often the cheap mode raises the alarm, as Markdown."""
    lines = [
        "| what is scored | worse by | mean beyond the earlier interval | alarm |",
        "|---|---:|---:|---:|",
    ]
    for kind, name in NAMES.items():
        for fall in GAPS:
            found = pd.DataFrame([look_again(kind, fall, seed) for seed in range(count)])
            cells = [name, f"{fall:g} sd", share(found["beyond"]), share(found["alarm"])]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def tabulate(rows: pd.DataFrame) -> str:
    """Return the results as Markdown."""
    head = ["scores", "what is scored", "others better by", *ANSWERS, "interval covers", "fits"]
    lines = [f"| {' | '.join(head)} |", "|---:|---" + "|---:" * (len(head) - 2) + "|"]
    for (scores, kind, gap), part in rows.groupby(["scores", "kind", "gap"]):
        truth = gap * (_spread_of_scores() if kind == "rows" else 1.0)
        covers = (part["low"] <= truth) & (truth <= part["high"])
        shares = [share(part["answer"] == answer) for answer in ANSWERS]
        cells = [f"{scores} + {scores}", NAMES[kind], f"{gap:g} sd", *shares, share(covers)]
        lines.append(f"| {' | '.join(cells)} | {part['fits'].mean():.0f} |")
    return "\n".join(lines) + "\n"


def share(values: Sequence[bool] | pd.Series) -> str:
    """Return a share with the simulation's standard error."""
    mean, count = float(np.mean(values)), len(values)
    error = max(mean * (1 - mean), 1 / count) ** 0.5 / count**0.5
    return f"{100 * mean:.1f} ± {100 * error:.1f} %"


def main() -> None:
    """Simulate, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    about = (
        f"{options.count} simulated retests a row: a search of {CONFIGS}, {FINALISTS} finalists, "
        f"the incumbent and {LEVEL:.0%} intervals. Differences in standard deviations (sd) of one "
        "score; ± is the simulation's standard error."
    )
    table = tabulate(simulate(options.count))
    about_alarms = "The incumbent alone, 8 scores then and 8 now, on other rows:"
    alarms = tabulate_alarms(options.count)
    text = "\n".join(
        [about, "", table, about_alarms, "", alarms, report.machine(), "", report.versions(), ""]
    )
    print(text)
    if options.out:
        options.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
