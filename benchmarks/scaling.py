"""Measure what more workers are worth, and what more trials cost the driver.

    python -m benchmarks.scaling --quick
    python -m benchmarks.scaling workers --repetitions 3
    python -m benchmarks.scaling driver --trials 100 1000 10000
    python -m benchmarks.scaling report

``workers`` runs the same trials of known duration on 1, 2, 4 and 8 workers; the trials sleep, so
that two cores serve them all. ``driver`` runs trials that take no time. Each search has its own
process, tune-jobs and plain Ray Tune in turn, and is noted when it has ended; ``report`` makes
tables and a picture of the last notes.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, astuple
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks import report
from benchmarks.process import run_apart
from benchmarks.searches import CONTENDERS, Row, Search

WORKERS, SLEEPERS, SLEEP, EPOCHS = (1, 2, 4, 8), 64, 1.5, 4
TRIALS, REPORTS = (100, 1000, 10_000), (1, 10)
# Trials above which a contender is left out: it would take too long for what it shows.
MOST = dict.fromkeys(("tune-jobs, TPE", "Ray Tune", "Ray Tune, no loggers"), 1000)
PARTS = ("workers", "driver")


def main() -> None:
    options = read_options()
    if options.quick:
        note(options.out, "workers", list_workers((1, 4), 12, 0.5, 1))
        note(options.out, "driver", list_driver((200,), ("tune-jobs", "Ray Tune")))
    elif options.part == "workers":
        found = list_workers(options.workers, SLEEPERS, SLEEP, options.repetitions)
        note(options.out, "workers", found)
    elif options.part == "driver":
        note(options.out, "driver", list_driver(options.trials, options.contenders))
    show(options.out)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", nargs="?", choices=[*PARTS, "report"], default="report")
    parser.add_argument("--quick", action="store_true", help="a small search of each kind")
    parser.add_argument("--workers", nargs="+", type=int, default=WORKERS)
    parser.add_argument("--repetitions", type=int, default=1)
    parser.add_argument("--trials", nargs="+", type=int, default=TRIALS)
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=CONTENDERS)
    parser.add_argument("--out", type=Path, default=report.FIGURES / "scaling", metavar="PREFIX")
    return parser.parse_args()


def list_workers(
    workers: Sequence[int], trials: int, seconds: float, repetitions: int
) -> Iterator[Search]:
    """List searches of trials of known duration."""
    for _ in range(repetitions):
        for count in workers:
            for contender in ("tune-jobs", "Ray Tune"):
                yield Search(contender, trials, count, EPOCHS, seconds)


def list_driver(trials: Sequence[int], contenders: Sequence[str]) -> Iterator[Search]:
    """List searches of trials that take no time."""
    for count in trials:
        for reports in REPORTS:
            for contender in contenders:
                if count <= MOST.get(contender, count):
                    yield Search(contender, count, 2, reports, 0.0)


def note(prefix: Path, part: str, searches: Iterator[Search]) -> None:
    """Run each search in its own process, and append its cost to the lines of its part."""
    rows = []
    for search in searches:
        began = time.perf_counter()
        rows.append(asdict(search) | run_search(search))
        print(f"{time.perf_counter() - began:6.1f} s  {search}", flush=True)
        frame = pd.DataFrame(rows).map(
            lambda value: json.dumps(value) if _is_list(value) else value
        )
        report.save(frame, path_of(prefix, part))


def run_search(search: Search) -> Row:
    contender, *numbers = astuple(search)
    names = ("--trials", "--workers", "--reports", "--seconds")
    options = [text for pair in zip(names, map(str, numbers), strict=True) for text in pair]
    return run_apart("benchmarks.searches", contender, *options)


def path_of(prefix: Path, part: str) -> Path:
    return prefix.with_name(f"{prefix.name}.{part}.parquet")


def show(prefix: Path) -> None:
    """Show tables and a picture of everything noted, on the screen and as files."""
    frames = {part: path_of(prefix, part) for part in PARTS}
    found = {part: pd.read_parquet(path) for part, path in frames.items() if path.exists()}
    if len(found) < len(PARTS):
        print(f"not measured yet: {', '.join(part for part in PARTS if part not in found)}")
        return
    tables = [table_of_workers(found["workers"]), table_of_driver(found["driver"])]
    for table in tables:
        report.show(*table)
    report.state()
    text = "\n\n".join(as_markdown(*table) for table in tables)
    where = "\n".join(sorted({*found["workers"]["machine"], *found["driver"]["machine"]}))
    prefix.with_suffix(".md").write_text(f"{text}\n\n{where}\n", encoding="utf-8")
    plot(found["workers"], found["driver"], prefix.with_suffix(".png"))


def table_of_workers(frame: pd.DataFrame) -> tuple[str, list[str], list[list[str]]]:
    """Return medians over the repetitions."""
    keys = ["contender", "trials", "workers"]
    medians = frame.groupby(keys, as_index=False).median(numeric_only=True)
    header = ["contender", "trials", "workers", "ideal s", "wall s", "start-up s", "gap ms"]
    header += ["tail s", "end s", "efficiency", "start-up and end included"]
    rows = [
        [
            *(row.contender, f"{row.trials}", f"{row.workers}"),
            *(f"{row.ideal:.1f}", f"{row.wall:.1f}", f"{row.startup:.1f}"),
            *(f"{1000 * row.gap:.0f}", f"{row.tail:.2f}", f"{row.closing:.1f}"),
            *(f"{row.efficiency:.1%}", f"{row.efficiency_of_all:.1%}"),
        ]
        for row in medians.itertuples()
    ]
    return "the same trials on more workers", header, rows


def table_of_driver(frame: pd.DataFrame) -> tuple[str, list[str], list[list[str]]]:
    """Return the cost per search; a report costs a tenth of what ten cost more than one."""
    header = ["contender", "trials", "reports", "wall ms a trial", "CPU ms a trial"]
    header += ["CPU ms a late trial", "CPU ms a report", "end s", "MiB", "MiB at the end"]
    costs = {(row.contender, row.trials, row.reports): cost_of(row) for row in frame.itertuples()}
    rows = []
    for (contender, trials, reports), cost in sorted(costs.items()):
        one = costs.get((contender, trials, min(REPORTS)))
        by_report = (
            "" if reports == 1 or one is None else (cost["cpu"] - one["cpu"]) / (reports - 1)
        )
        rows.append(
            [
                *(contender, f"{trials:,}", f"{reports}"),
                *(f"{1000 * cost[name]:.1f}" for name in ("wall", "cpu", "late")),
                f"{1000 * by_report:.2f}" if by_report else "",
                *(f"{cost[name]:.1f}" for name in ("closing",)),
                *(f"{cost[name]:.0f}" for name in ("memory", "peak")),
            ]
        )
    return "what trials that take no time cost the driver", header, rows


def cost_of(row: Any) -> dict[str, float]:
    """Return the cost of a trial between the first and the last to end, and in the last tenth."""
    marks = pd.DataFrame(json.loads(row.marks), columns=["trials", "wall", "cpu", "memory"])
    first, late, last = marks.iloc[0], marks.iloc[-3], marks.iloc[-1]
    after = json.loads(row.after)
    each = (last - first) / (last["trials"] - first["trials"])
    return {
        "wall": each["wall"],
        "cpu": each["cpu"],
        "late": (last["cpu"] - late["cpu"]) / (last["trials"] - late["trials"]),
        "closing": after[0] - last["wall"],
        "memory": last["memory"],
        "peak": after[2],
    }


def course_of(row: Any) -> pd.DataFrame:
    """Return the driver's CPU milliseconds per trial in each section of a search."""
    marks = pd.DataFrame(json.loads(row.marks), columns=["trials", "wall", "cpu", "memory"])
    steps = marks.diff().iloc[1:]
    return pd.DataFrame(
        {
            "contender": row.contender,
            "reports": f"{row.reports} report{'s' if row.reports > 1 else ''} a trial",
            "trial": marks["trials"].iloc[1:],
            "cpu": 1000 * steps["cpu"] / steps["trials"],
        }
    )


def plot(workers: pd.DataFrame, driver: pd.DataFrame, path: Path) -> None:
    """Plot efficiency by workers, and the driver's cost per trial along its longest searches."""
    import altair as alt

    color = alt.Color("contender:N", title=None, scale=alt.Scale(domain=list(CONTENDERS)))
    medians = workers.groupby(["contender", "workers"], as_index=False).median(numeric_only=True)
    long = medians.melt(["contender", "workers"], list(SHARES), "counted", "share")
    long["counted"] = long["counted"].map(SHARES)
    efficiency = (
        alt.Chart(long)
        .mark_line()
        .encode(
            x=alt.X("workers:O", axis=alt.Axis(labelAngle=0)),
            y=alt.Y("share:Q", axis=alt.Axis(format="%"), title="efficiency", scale=SHARE),
            color=color,
            strokeDash=alt.StrokeDash("counted:N", title=None),
        )
        .properties(width=260, height=260)
    )
    longest = driver.loc[driver.groupby(["contender", "reports"])["trials"].idxmax()]
    courses = pd.concat([course_of(row) for row in longest.itertuples()])
    cost = (
        alt.Chart(courses)
        .mark_line()
        .encode(
            x=alt.X("trial:Q", title="trials that have ended"),
            y=alt.Y("cpu:Q", title="CPU ms of the driver for a trial", scale=FROM_ZERO),
            color=color,
            strokeDash=alt.StrokeDash("reports:N", title=None),
        )
        .properties(width=320, height=260)
    )
    alt.hconcat(efficiency, cost).resolve_scale(strokeDash="independent").save(path, ppi=150)
    print(path)


SHARES = {"efficiency": "while workers are there", "efficiency_of_all": "start-up and end included"}
FROM_ZERO, SHARE = {"domainMin": 0}, {"domain": [0, 1]}


def as_markdown(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join([f"{title}:", "", *(f"| {' | '.join(line)} |" for line in lines)])


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


if __name__ == "__main__":
    main()
