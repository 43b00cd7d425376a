"""Measure how often a warning says that the best trials crowd at a bound, rightly and wrongly.

    python -m benchmarks.edges --searches 100

The searches are those of :mod:`benchmarks.importance`. Two numbers without any effect must not be
reported at a bound; ``units`` is best at its upper bound, with a fifth of the variance.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks import report
from benchmarks.importance import NOISE, Sweep, measure_ours, search, space
from tune_jobs.engine.analysis.bounds import find_crowding
from tune_jobs.engine.analysis.observed import observe

BEST = 10


def best_configs(sweep: Sweep) -> list[dict[str, object]]:
    """Return the configs of the best trials, by their best epoch."""
    order = sorted(range(len(sweep.configs)), key=lambda place: min(sweep.curves[place]))
    return [sweep.configs[place] for place in order[:BEST]]


def judge(scenario: str, searches: int) -> list[tuple[str, int, int]]:
    """Count false lines and lines about ``units``, with all hyperparameters and without noise."""
    found = {"all hyperparameters": [0, 0], "without what is called noise": [0, 0]}
    for seed in range(searches):
        sweep = search(scenario, seed)
        real = measure_ours(sweep)[1] or set()
        for how, noise in zip(found, ((), space().keys() - real), strict=True):
            best = dict(enumerate(best_configs(sweep)))
            crowding = find_crowding(observe(space(), best), len(best), noise=noise)
            lines = [line for said in crowding.values() for line in said]
            found[how][0] += any(f"have {name} " in line for line in lines for name in NOISE)
            found[how][1] += any("have units " in line for line in lines)
    return [(how, *counts) for how, counts in found.items()]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--searches", type=int, default=100)
    parser.add_argument("--out", type=Path, metavar="MARKDOWN")
    options = parser.parse_args()
    lines = [f"{options.searches} searches each, the {BEST} best of 60 trials", ""]
    lines += ["| searcher | looked at | noise said to lie at a bound | `units` said to |"]
    lines += ["|---|---|---|---|"]
    for scenario, searcher in (("steady", "random"), ("TPE", "TPE")):
        for how, wrong, right in judge(scenario, options.searches):
            shares = f"{wrong / options.searches:.0%} | {right / options.searches:.0%}"
            lines.append(f"| {searcher} | {how} | {shares} |")
    text = "\n".join(lines) + "\n"
    print(text)
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    report.state()


if __name__ == "__main__":
    main()
