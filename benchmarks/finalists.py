"""Compare rules that choose the finalists of a search with early stopping.

    python -m benchmarks.finalists --seeds 6 --out finalists.parquet   # 20 minutes of one core
    python -m benchmarks.finalists --show finalists.parquet

Searches are simulated as in :mod:`benchmarks.searchers`, with 8 trials in flight under ASHA. The
finals train their finalists to the end, so the regret is that of the best finalist's config at its
last epoch; 0 is the best known config, 1 the median one. ``by value`` takes the trials with the
lowest losses, ``by end`` those of which a Gaussian process expects the lowest loss at the last
epoch, ``in turn`` is the engine's rule (:func:`tune_jobs.engine.finals.candidates.take_turns`).
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks import report
from benchmarks.searchers import find_task
from benchmarks.searching.contenders import Ours
from benchmarks.searching.finals import list_rules, list_trials
from benchmarks.searching.problems import list_problems
from benchmarks.searching.simulation import Limits, Search

EPOCHS, COUNTS, WORKERS = (200, 400, 800), (3, 5), 8
RULES = ("by value", "by end", "in turn")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--searchers", nargs="+", default=["random", "gp"])
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--out", type=Path, metavar="PARQUET")
    parser.add_argument("--show", type=Path, metavar="PARQUET", help="measure nothing")
    options = parser.parse_args()
    if options.show:
        show(pd.read_parquet(options.show))
        return
    problems = [name for name, each in list_problems().items() if each.has_curves]
    cells = list(product(problems, options.searchers, range(options.seeds)))
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        frame = pd.DataFrame([row for rows in pool.imap(measure, cells) for row in rows])
    if options.out:
        report.save(frame, options.out)
    show(frame)


def measure(cell: tuple[str, str, int]) -> list[dict[str, Any]]:
    """Run a search, and return a row for each rule, number of finalists and budget."""
    problem, searcher, seed = cell
    task = find_task(problem)
    search = Search(task, Ours(searcher, task, seed), seed)
    about, rows = {"problem": problem, "searcher": searcher, "seed": seed}, []
    for epochs in EPOCHS:
        search.run(WORKERS, Limits(epochs=epochs))
        found = list_trials(task, search.reached)
        for rule, trials in list_rules(found).items():
            for count in COUNTS:
                regret = found["regret"][trials[:count]].min()
                of = {"epochs": epochs, "rule": rule, "finalists": count}
                rows.append(about | of | {"regret": regret})
    return rows


def show(frame: pd.DataFrame) -> None:
    """Print the means over problems and seeds."""
    where = ["searcher", "finalists", "epochs"]
    means = frame.pivot_table("regret", where, "rule")[list(RULES)].round(3)
    report.show("mean regret", [*where, *RULES], means.reset_index().to_numpy().tolist())


if __name__ == "__main__":
    main()
