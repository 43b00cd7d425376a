"""Measure what a trial and a report cost the driver as the number of trials grows.

    python -m benchmarks.growth --trials 100 1000 10000 --searcher random
    python -m benchmarks.growth --trials 100 1000 --searcher tpe --out growth.parquet

The trainables only do arithmetic and take no time, so the cost is that of Tune, the searcher and
the history. Each run has its own process. The seconds are those between the first and the last
trial; CPU time and memory are those of the driver, without the workers.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks import report
from benchmarks.process import run_apart

SEARCHERS = ("random", "tpe")
REPORTS = (1, 10)


def train(config: dict[str, Any], data: object) -> None:
    """Report as many messages as the config states, one epoch each."""
    from ray import tune

    for epoch in range(1, config["reports"] + 1):
        tune.report({"loss": (config["x"] - 0.3) ** 2 + 1 / epoch, "training_iteration": epoch})


def search(trials: int, reports: int, searcher: str) -> dict[str, float]:
    """Run one search in this process and return its cost."""
    from ray import tune

    from tune_jobs.engine import TPE, Job, Profile, RandomSearch, run

    job = Job(
        trainable=train,
        space={"x": tune.uniform(0, 1), "y": tune.uniform(0, 1), "reports": reports},
        metric="loss",
        searcher=TPE() if searcher == "tpe" else RandomSearch(),
        num_samples=trials,
        max_epochs=reports,
        finalists=None,
    )
    with tempfile.TemporaryDirectory() as folder:
        before = _cpu()
        experiment = run(job, profile=Profile(storage=folder), listeners=[])
        found = experiment.trials
        late = found[found["trial"] > trials - max(10, trials // 10)]
        return {
            "wall": float(found["ended"].max() - found["started"].min()),
            "late": float(late["ended"].max() - late["started"].min()) / len(late),
            "cpu": _cpu() - before,
            "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }


def main() -> None:
    options = read_options()
    if options.one:
        print(json.dumps(search(options.trials[0], options.reports[0], options.searcher[0])))
        return
    rows = []
    for searcher in options.searcher:
        for reports in options.reports:
            for trials in options.trials:
                options_of_one = ["--one", "--searcher", searcher, "--trials", str(trials)]
                run = run_apart("benchmarks.growth", *options_of_one, "--reports", str(reports))
                rows.append({"searcher": searcher, "trials": trials, "reports": reports, **run})
                print(rows[-1], flush=True)
    report.show("what the driver spends", HEADER, [_row(row) for row in rows])
    if options.out:
        report.save(pd.DataFrame(rows), options.out)
    report.state()


HEADER = ["searcher", "trials", "reports", "ms a trial", "ms a late trial", "CPU ms", "MiB"]


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", nargs="+", type=int, default=[100, 1000])
    parser.add_argument("--reports", nargs="+", type=int, default=list(REPORTS))
    parser.add_argument("--searcher", nargs="+", choices=SEARCHERS, default=["random"])
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, metavar="PARQUET")
    return parser.parse_args()


def _row(row: dict[str, Any]) -> list[str]:
    trials = row["trials"]
    return [
        row["searcher"],
        f"{trials:,}",
        str(row["reports"]),
        f"{1000 * row['wall'] / trials:.1f}",
        f"{1000 * row['late']:.1f}",
        f"{1000 * row['cpu'] / trials:.1f}",
        f"{row['memory']:.0f}",
    ]


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
