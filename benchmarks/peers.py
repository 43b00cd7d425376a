"""Run the same search with tune-jobs and its peers: wall and CPU seconds of the whole process.

    python -m benchmarks.peers --size breast_cancer --trials 10 40 --repetitions 3
    python -m benchmarks.peers --quick       # what `make bench` runs

Arrays, configs, epochs and batch size are the same; nothing is pruned; every contender starts cold
in its own process, and repetitions alternate. KerasTuner's Hyperband draws and trains by its own
rule. With --limit, a contender that would take longer is extrapolated from its last two counts, and
marked with ~.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import report
from benchmarks.contenders import OWN_RULE, PEERS
from benchmarks.contest import contend, warm_up
from benchmarks.task import SIZES

OURS = "tune-jobs"
QUICK = {
    "size": ["breast_cancer"],
    "trials": [10, 40],
    "contenders": [OURS, "optuna", "keras-tuner", "ray-reuse", "sklearn-2"],
    "repetitions": 1,
}
COMMITTED = report.FIGURES / "peers.parquet"
UNLIKELY = 1e-3  # p-value below which two contenders' losses are not of one distribution


def main() -> None:
    options = read_options()
    warm_up()
    runs: list[dict[str, Any]] = []
    for size in options.size:
        for trials in sorted(options.trials):
            for run in compete(size, trials, options, list(runs)):
                runs.append(run)
                if options.out:  # after each run: hours of them may end badly
                    report.save(pd.DataFrame(runs), options.out)
    frame = pd.DataFrame(runs)
    for (size, trials), group in frame.groupby(["size", "trials"], sort=False):
        show(f"{size}, {trials} trials of {options.epochs} epochs", group)
        for complaint in complaints(group):
            print(f"! {complaint}")
    if options.quick:
        compare(frame)
    if options.out:
        report.plot_peers(frame, options.out.with_suffix(".png"))
    report.state()


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", nargs="+", choices=SIZES, default=["breast_cancer"])
    parser.add_argument("--trials", nargs="+", type=int, default=[10, 40])
    parser.add_argument("--contenders", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--limit", type=float, metavar="SECONDS", help="extrapolate longer runs")
    parser.add_argument("--out", type=Path, metavar="PARQUET", help="the plot is written beside it")
    parser.add_argument(
        "--quick", action="store_true", help="a small comparison, next to the committed figures"
    )
    options = parser.parse_args()
    if options.quick:
        vars(options).update(QUICK)
    return options


def compete(
    size: str, trials: int, options: argparse.Namespace, before: list[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Run every contender, then every contender again; return one row per run."""
    too_slow = {
        guess["contender"]: guess
        for contender in options.contenders
        if options.limit and (guess := extrapolate(before, size, trials, contender))
        if guess["wall"] > options.limit
    }
    yield from too_slow.values()
    for repetition in range(options.repetitions):
        for contender in options.contenders:
            if contender not in too_slow:
                row = run_once(size, trials, contender, options.epochs)
                print(f"{size} {trials:5} {contender:22} {row['wall']:8.1f} s", flush=True)
                yield row | {"repetition": repetition}


def run_once(size: str, trials: int, contender: str, epochs: int) -> dict[str, Any]:
    run = contend("peers", contender, size, trials, epochs)
    losses = run.found["losses"]
    return {
        "size": size,
        "trials": trials,
        "contender": contender,
        "max_epochs": epochs,
        "wall": run.usage.wall,
        "cpu": run.usage.cpu,
        "extrapolated": False,
        "finished": len(losses),
        "epochs": run.found["epochs"],
        "best": min(losses),
        "median": float(np.median(losses)),
        "losses": losses,
    }


def extrapolate(
    runs: list[dict[str, Any]], size: str, trials: int, contender: str
) -> dict[str, Any] | None:
    """Return the line through the medians of the last two measured counts, or None without two."""
    kept = [
        r
        for r in runs
        if (r["size"], r["contender"], r["extrapolated"]) == (size, contender, False)
    ]
    if len({run["trials"] for run in kept}) < 2:
        return None
    medians = pd.DataFrame(kept).groupby("trials")[["wall", "cpu"]].median().tail(2)
    (low, high), step = medians.index, medians.diff().iloc[1]
    guess = medians.iloc[1] + step * (trials - high) / (high - low)
    row = {"size": size, "trials": trials, "contender": contender, "extrapolated": True}
    return row | {"wall": float(guess["wall"]), "cpu": float(guess["cpu"]), "repetition": 0}


def show(title: str, group: pd.DataFrame) -> None:
    """Print one row per contender: medians, spreads, and the ratio to tune-jobs."""
    medians = group.groupby("contender")[["wall", "cpu"]].median()
    rows = []
    for contender, runs in group.groupby("contender", sort=False):
        mark, first = "~" if runs["extrapolated"].any() else "", runs.iloc[0]
        spread = f"{runs['wall'].min():.1f}-{runs['wall'].max():.1f}" if len(runs) > 1 else ""
        rows.append(
            [
                contender,
                f"{mark}{medians.loc[contender, 'wall']:.1f}",
                spread,
                f"{mark}{medians.loc[contender, 'cpu']:.1f}",
                *(_ratio(medians[clock], contender, mark) for clock in ("wall", "cpu")),
                *(("", "", "", "") if mark else _trained(first)),
            ]
        )
    header = ["contender", "wall s", "spread", "CPU s", "x wall", "x CPU"]
    report.show(title, [*header, "finished", "epochs", "best loss", "median loss"], rows)


def complaints(group: pd.DataFrame) -> Iterator[str]:
    """List what makes a comparison unfair: too few trials or epochs, other losses."""
    from scipy.stats import ks_2samp

    measured = group[~group["extrapolated"] & ~group["contender"].isin(OWN_RULE)]
    for _, run in measured.iterrows():
        if run["finished"] != run["trials"] or run["epochs"] != run["trials"] * run["max_epochs"]:
            yield f"{run['contender']}: {run['finished']} trials, {run['epochs']} epochs"
        others = measured.loc[measured["contender"] != run["contender"], "losses"]
        if len(others) and ks_2samp(run["losses"], np.concatenate(list(others))).pvalue < UNLIKELY:
            yield f"{run['contender']}: its losses are not distributed as the others' are"


def compare(frame: pd.DataFrame) -> None:
    """Print the ratio of each peer to tune-jobs, now and as committed."""
    if not COMMITTED.exists():
        print(f"no committed figures yet at {COMMITTED}")
        return
    keys = ["size", "trials", "contender"]
    now, then = (
        runs.groupby(keys)["wall"].median() for runs in (frame, pd.read_parquet(COMMITTED))
    )
    rows = [
        [contender, size, trials, _ratio(now[size, trials], contender), _ratio(past, contender)]
        for size, trials, contender in now.index
        if contender != OURS and (past := then.get((size, trials))) is not None
    ]
    header = ["contender", "size", "trials", "x wall now", "x wall committed"]
    report.show("times as long as tune-jobs", header, rows)


def _ratio(seconds: pd.Series, contender: str, mark: str = "") -> str:
    if contender not in seconds or OURS not in seconds:
        return "-"
    return f"{mark}{seconds[contender] / seconds[OURS]:.2f}"


def _trained(run: pd.Series) -> tuple[str, ...]:
    return (
        f"{run['finished']:.0f}",
        f"{run['epochs']:.0f}",
        f"{run['best']:.4f}",
        f"{run['median']:.4f}",
    )


if __name__ == "__main__":
    main()
