"""Measure how far the outlook of a search can be trusted, on problems that cost no training.

    python -m benchmarks.outlook --seeds 4 --out benchmarks/figures/outlook.parquet  # 6 minutes
    python -m benchmarks.outlook --show benchmarks/figures/outlook.parquet

After 15, 30 and 60 trials of a search the outlook says what 20 more are expected to bring; these
are then run. Improvements are of the lowest loss that was seen, in units of the distance between
the best and the median loss by then, so that problems can be averaged.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.searching.contenders import Ours
from benchmarks.searching.problem import Task
from benchmarks.searching.problems import list_problems
from benchmarks.searching.simulation import Limits, Search

PROBLEMS = (
    *("Branin", "Hartmann6", "Ackley5", "Levy4", "optimizers", "layers", "rate-batch"),
    *("curves-optimizers", "curves-layers", "keras-diabetes"),
)
SEARCHERS = ("gp", "tpe", "random")
LOOKS, MORE = (15, 30, 60), 20

# When the rule of --stop-when-done looks, and how often in a row it has to say so.
STOPS, IN_A_ROW = (20, 25, 30, 35, 40, 45, 50, 55, 60), 3


class Watched(Ours):
    """A searcher whose knowledge is looked at while it searches."""

    def __init__(self, recipe: str, task: Task, seed: int) -> None:
        from tune_jobs.engine.goal import Goal
        from tune_jobs.engine.search.knowledge import Memory

        super().__init__(recipe, task, seed)
        self._memory, self._end = Memory(task.space, Goal("loss")), task.max_epochs
        self.lowest: list[float] = []  # loss so far, after each trial that has ended
        self.looks: dict[int, dict[str, float]] = {}

    def report(self, key: str, epoch: int, loss: float) -> bool:
        """Note the loss."""
        self._least = min(loss, getattr(self, "_least", loss))
        return super().report(key, epoch, loss)

    def end(self, key: str, failed: bool, stopped: bool) -> None:
        """Note what is known by now, and look ahead."""
        from tune_jobs.engine.search.observations import Observation

        super().end(key, failed, stopped)
        curve, state = tuple(self._curves[key]), "failed" if failed else "ended"
        self._memory.learn(key, Observation(self._configs[key], curve, state))  # type: ignore[arg-type]
        self.lowest.append(getattr(self, "_least", np.inf))
        if len(self.lowest) in {*LOOKS, *STOPS}:
            self._look()

    def _look(self) -> None:
        from tune_jobs.engine.analysis.outlook import find_outlook

        knowledge = self._memory.knowledge(self._end)
        if outlook := find_outlook(knowledge, MORE):
            losses = np.sort(knowledge.losses)
            spread = float(losses[len(losses) // 2] - losses[0])
            self.looks[len(self.lowest)] = {
                "promised": outlook.improvement,
                "noise": outlook.noise,
                "is_done": outlook.is_done,
                "spread": spread,
            }


@dataclass(frozen=True)
class Cell:
    """One search."""

    problem: str
    searcher: str
    seed: int


def run(cell: Cell) -> list[dict[str, Any]]:
    """Search, and compare each look with what came."""
    task = list_problems()[cell.problem].make()
    watched = Watched(cell.searcher, task, cell.seed)
    Search(task, watched, cell.seed).run(1, Limits(trials=max(LOOKS) + MORE))
    rows = []
    for trials, look in watched.looks.items():
        if len(watched.lowest) >= trials + MORE:
            now, then = trials - 1, trials + MORE - 1
            rows.append(
                {
                    **vars(cell),
                    "trials": trials,
                    **look,
                    "seen": watched.lowest[now] - watched.lowest[then],
                }
            )
    return rows


def describe(frame: pd.DataFrame) -> str:
    """Tabulate promises and what came by trials, and when the rule would have stopped."""
    frame = frame[frame["spread"] > 0].copy()
    for name in ("promised", "seen", "noise"):
        frame[name] = frame[name] / frame["spread"]
    looks = frame[frame["trials"].isin(LOOKS)]
    with_curves = [name for name, each in list_problems().items() if each.has_curves]
    kinds = looks["problem"].isin(with_curves).map({True: "curves", False: "functions"})
    rows = [
        _compare(f"{kind}, {trials} trials", part)
        for (kind, trials), part in looks.groupby([kinds, "trials"])
    ]
    stops = [find_stop(part) for _, part in frame.groupby(["problem", "searcher", "seed"])]
    stopped = pd.DataFrame([each for each in stops if each])
    rule = f"The rule ends {len(stopped)} of {len(stops)} searches before trial {max(STOPS) + 1}"
    if len(stopped):
        right = (stopped["seen"] <= stopped["noise"]).mean()
        rule += (
            f", at the median after {stopped['trials'].median():.0f} trials; 20 more brought less "
            f"than the noise in {right:.0%} of them"
        )
    return pd.DataFrame(rows).round(3).to_string(index=False) + f"\n\n{rule}.\n"


def _compare(name: str, part: pd.DataFrame) -> dict[str, Any]:
    is_right = part["seen"] <= part["noise"]
    return {
        "": name,
        "searches": len(part),
        "promised": part["promised"].mean(),
        "came": part["seen"].mean(),
        "factor": 10 ** np.log10((part["promised"] + 0.01) / (part["seen"] + 0.01)).abs().mean(),
        "rank correlation": part["promised"].corr(part["seen"], method="spearman"),
        "said done": part["is_done"].mean(),
        "rightly": is_right[part["is_done"].astype(bool)].mean(),
        "came < noise": is_right.mean(),
    }


def find_stop(part: pd.DataFrame) -> dict[str, Any] | None:
    """Return the look at which the rule of ``--stop-when-done`` ends a search, None if at none."""
    looks = part[part["trials"].isin(STOPS)].sort_values("trials").to_dict("records")
    for last in range(IN_A_ROW - 1, len(looks)):
        if all(look["is_done"] for look in looks[last - IN_A_ROW + 1 : last + 1]):
            return dict(looks[last])
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", nargs="+", default=PROBLEMS)
    parser.add_argument("--searchers", nargs="+", default=SEARCHERS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--show", type=Path)
    options = parser.parse_args()
    if options.show:
        print(describe(pd.read_parquet(options.show)))
        return
    cells = [
        Cell(problem, searcher, seed)
        for seed in range(options.seeds)
        for problem in options.problems
        for searcher in options.searchers
    ]
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    rows: list[dict[str, Any]] = []
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        for done, found in enumerate(pool.imap_unordered(run, cells), start=1):
            rows += found
            if options.out:
                pd.DataFrame(rows).to_parquet(options.out)
            print(f"{done} of {len(cells)} searches", flush=True)
    print(describe(pd.DataFrame(rows)))


if __name__ == "__main__":
    main()
