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
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks import report
from benchmarks.searchers import find_task
from benchmarks.searching.contenders import Ours
from benchmarks.searching.problem import Task
from benchmarks.searching.problems import list_problems
from benchmarks.searching.simulation import Limits, Search
from tune_jobs.engine.finals.candidates import take_turns
from tune_jobs.engine.goal import Goal
from tune_jobs.engine.search.gaussian.curve_model import CurveModel, expect_ends
from tune_jobs.engine.search.knowledge import Memory
from tune_jobs.engine.search.observations import Observation

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
        found = pd.DataFrame(list_trials(task, search))
        for rule, trials in list_rules(found).items():
            for count in COUNTS:
                regret = found["regret"][trials[:count]].min()
                of = {"epochs": epochs, "rule": rule, "finalists": count}
                rows.append(about | of | {"regret": regret})
    return rows


def list_trials(task: Task, search: Search) -> Iterator[dict[str, float]]:
    """Yield the lowest loss, the expected end and the regret of trials that do not fail."""
    memory = Memory(task.space, Goal("loss"))
    reached = [each for each in search.reached if not each[1].fails]
    for number, played, epochs in reached:
        curve = list(enumerate(played.losses[:epochs], start=1))
        memory.learn(str(number), Observation(played.config, curve, "ended"))
    ends = expect_ends(CurveModel(), memory.knowledge(task.max_epochs))
    for (_, played, epochs), end in zip(reached, ends, strict=True):
        yield {
            "value": min(played.losses[:epochs]),
            "end": float(end),
            "regret": played.regrets[-1],
        }


def list_rules(trials: pd.DataFrame) -> dict[str, list[int]]:
    """Return the trials in the order of each rule."""
    by_value = trials["value"].sort_values(kind="stable").index.tolist()
    by_end = trials["end"].sort_values(kind="stable").index.tolist()
    in_turn = list(dict.fromkeys(take_turns(by_value, trials["end"].to_dict())))
    return {"by value": by_value, "by end": by_end, "in turn": in_turn}


def show(frame: pd.DataFrame) -> None:
    """Print the means over problems and seeds."""
    where = ["searcher", "finalists", "epochs"]
    means = frame.pivot_table("regret", where, "rule")[list(RULES)].round(3)
    report.show("mean regret", [*where, *RULES], means.reset_index().to_numpy().tolist())


if __name__ == "__main__":
    main()
