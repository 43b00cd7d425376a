"""Measure the seconds until the best validation loss is near that of a long random search.

    python -m benchmarks.quality --find-target 1000     # once: the number to reach
    python -m benchmarks.quality --seeds 0 1 2 3 4

tune-jobs searches with its default searcher and ASHA, Optuna with TPE and successive halving,
KerasTuner with Hyperband, raw Ray Tune with HyperOpt and ASHA in reused processes. A loss counts
from the moment the search knows it; start-up is included. A contender that does not reach it within
its trials says so.

The data are a table with a tenth of its labels drawn at random: the validation loss of the breast
cancer table's best networks is 0, and nothing lies within 1 % of that.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks import report
from benchmarks.contenders import QUALITY
from benchmarks.contest import Run, contend, warm_up
from benchmarks.task import SIZES

TARGETS = report.FIGURES / "quality_targets.json"
LONG = "tune-jobs-random"
CONTENDERS = [name for name in QUALITY if name != LONG]


def main() -> None:
    options = read_options()
    if options.find_target:
        find_target(options.size, options.find_target, options.epochs)
        return
    target = read_targets()[options.size]["val_loss"]
    warm_up()
    runs, curves = [], []
    for seed in options.seeds:
        for name in options.contenders:
            run = contend("quality", name, options.size, options.trials, options.epochs, seed=seed)
            about = {"size": options.size, "contender": name, "seed": seed}
            curve = best_so_far(run)
            runs += [about | summarise(run, curve, target, within) for within in options.within]
            curves.append(curve.assign(**about))
            if options.out:
                report.save(pd.DataFrame(runs), options.out)
            print(f"seed {seed} {name:22} {runs[-1]['seconds']:8.1f} s", flush=True)
    frame = pd.DataFrame(runs)
    for wanted, reached in frame.groupby("wanted"):
        show(reached, f"{options.size}: seconds until val_loss <= {wanted:.5f}")
    if options.out:
        targets = frame[["wanted"]].drop_duplicates()
        report.plot_quality(pd.concat(curves), targets, options.out.with_suffix(".png"))
    report.state()


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=SIZES, default="noisy_table")
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument(
        "--epochs", type=int, default=27, help="epochs of a trial that is not stopped"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=CONTENDERS)
    parser.add_argument(
        "--within",
        nargs="+",
        type=float,
        default=[0.01, 0.05],
        help="distances from the target, as fractions",
    )
    parser.add_argument("--find-target", type=int, metavar="TRIALS")
    parser.add_argument("--out", type=Path, metavar="PARQUET", help="the plot is written beside it")
    return parser.parse_args()


def find_target(size: str, trials: int, epochs: int) -> None:
    """Search at random for long, with its own seed, and store the best loss of any epoch."""
    run = contend("quality", LONG, size, trials, epochs, seed=2**20)
    best = min(epoch["val_loss"] for epoch in run.epochs)
    about = {"trials": trials, "epochs": epochs, "machine": report.machine()}
    targets = read_targets() | {size: {"val_loss": best, **about}}
    TARGETS.parent.mkdir(exist_ok=True)
    TARGETS.write_text(json.dumps(targets, indent=2) + "\n", encoding="utf-8")
    print(f"{size}: {best:.5f} after {trials} trials and {run.usage.wall:.0f} s")


def read_targets() -> dict[str, Any]:
    """Return the stored targets by size."""
    return json.loads(TARGETS.read_text(encoding="utf-8")) if TARGETS.exists() else {}


def best_so_far(run: Run) -> pd.DataFrame:
    """Return when the search knew of each epoch, and the best loss until then."""
    epochs = pd.DataFrame(run.epochs, columns=["time", "val_loss"]).sort_values("time")
    return pd.DataFrame(
        {"seconds": epochs["time"] - run.usage.started, "best": epochs["val_loss"].cummin()}
    )


def summarise(run: Run, curve: pd.DataFrame, target: float, within: float) -> dict[str, Any]:
    """Return the seconds to each wanted loss (infinite if not reached), and the totals."""
    wanted = (1 + within) * target
    there = curve.loc[curve["best"] <= wanted, "seconds"]
    return {
        "wanted": wanted,
        "seconds": float(there.iloc[0]) if len(there) else math.inf,
        "wall": run.usage.wall,
        "cpu": run.usage.cpu,
        "trials": run.found["trials"],
        "epochs": len(curve),
        "best": float(curve["best"].min()),
    }


def show(frame: pd.DataFrame, title: str) -> None:
    """Print one row per contender: medians over seeds; a seed without success counts as slowest."""
    rows = []
    for contender, runs in frame.groupby("contender", sort=False):
        seconds = runs["seconds"]
        rows.append(
            [
                contender,
                _seconds(seconds.median()),
                f"{_seconds(seconds.min())} to {_seconds(seconds.max())}",
                f"{seconds.map(math.isfinite).sum()} of {len(runs)}",
                *(f"{runs[column].median():.0f}" for column in ("wall", "trials", "epochs")),
                f"{runs['best'].median():.4f}",
            ]
        )
    header = ["contender", "median s", "spread", "reached", "whole s", "trials", "epochs", "best"]
    report.show(title, header, rows)


def _seconds(value: float) -> str:
    return f"{value:.1f}" if math.isfinite(value) else "never"


if __name__ == "__main__":
    main()
