"""Present the results of a benchmark: machine and versions, a table, Parquet, a plot."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd

FIGURES = Path(__file__).parent / "figures"
PACKAGES = (
    *("tune-jobs", "ray", "keras-tuner", "optuna", "scikit-learn", "keras", "tensorflow"),
    *("hyperopt", "numpy"),
)


def machine() -> str:
    """Return the CPU model, the cores that this process may use, and the memory."""
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return f"{_cpu_model()}, {cores} cores, {memory:.0f} GiB, {platform.system()}"


def versions() -> str:
    """Return the versions of Python and of the packages that are compared."""
    found = [f"Python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def show(title: str, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table with numbers aligned right."""
    from rich.console import Console
    from rich.table import Table

    table = Table(*header, title=title, title_justify="left", box=None, pad_edge=False)
    for column, cells in zip(table.columns, zip(*rows, strict=True), strict=False):
        is_text = all(isinstance(cell, str) and cell[:1].isalpha() for cell in cells)
        column.justify = "left" if is_text else "right"
        column.no_wrap = True
    for row in rows:
        table.add_row(*map(str, row))
    Console(highlight=False, width=200).print(table)


def state() -> None:
    """Print machine and versions."""
    print(f"\n{machine()}\n{versions()}")


def save(frame: pd.DataFrame, path: Path) -> None:
    """Write the runs, each with its machine and versions; runs of an earlier file keep theirs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for name, here in (("machine", machine()), ("versions", versions())):
        frame = frame.assign(**{name: frame[name].fillna(here) if name in frame else here})
    frame.to_parquet(path, index=False)


def plot_peers(frame: pd.DataFrame, path: Path) -> None:
    """Plot median wall and CPU seconds against the number of trials, both logarithmic."""
    import altair as alt

    keys = ["size", "contender", "trials", "extrapolated"]
    medians = frame.groupby(keys, as_index=False)[["wall", "cpu"]].median()
    long = medians.melt(keys, ["wall", "cpu"], "clock", "seconds")
    long["measured"] = long.pop("extrapolated").map({True: "extrapolated", False: "measured"})
    base = alt.Chart(long).encode(
        x=alt.X("trials:Q", scale=alt.Scale(type="log")),
        y=alt.Y("seconds:Q", scale=alt.Scale(type="log"), title="seconds, whole process"),
        color="contender:N",
    )
    points = base.mark_point(filled=True, size=60).encode(shape="measured:N")
    both = (base.mark_line() + points).properties(width=320, height=320)
    both.facet(column="clock:N", row="size:N").save(path, ppi=150)
    print(path)


def plot_quality(curves: pd.DataFrame, targets: pd.DataFrame, path: Path) -> None:
    """Plot the best validation loss so far against time, with the loss to reach."""
    import altair as alt

    lines = (
        alt.Chart(curves)
        .mark_line(interpolate="step-after", opacity=0.6)
        .encode(
            x=alt.X("seconds:Q", title="seconds since the process was started"),
            y=alt.Y("best:Q", scale=alt.Scale(type="log"), title="best validation loss so far"),
            color="contender:N",
            detail="seed:N",
        )
    )
    wanted = alt.Chart(targets).mark_rule(strokeDash=[4, 4]).encode(y="wanted:Q")
    (lines + wanted).properties(width=480, height=320).save(path, ppi=150)
    print(path)


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()
