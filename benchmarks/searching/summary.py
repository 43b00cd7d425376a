"""The results of ``benchmarks.searchers`` as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks import report
from benchmarks.searching import curves
from benchmarks.searching.problem import CURVES, Problem

ORDER = (
    *("random", "tpe", "gp", "auto", "hyperopt", "optuna", "optuna-grouped", "optuna-gp"),
    *("optuna-hyperband", "one-epoch"),
)
RESAMPLES = 1000

# Kinds of problems are ranked at the last marks only.
LATE_MARKS = 2

INTRO = """\
# Searchers

Regret of the config that looks best, median over {seeds} seeds: 0 is the best config. On tables and
curves, 1 is the median config; on functions it is the loss itself. Bold: the best of its row, ties
included. Workers are simulated. `python -m benchmarks.searchers` measures this. "Held back" is the
half of the problems on which nothing was to be tuned; `tpe` and `gp` were, with a look at `layers`
and `rate-batch`.

`tpe`, `gp` and `auto` are this project's; `hyperopt` is HyperOpt's TPE in this project; `optuna` is
its TPE by default, `optuna-grouped` with `multivariate=True, group=True`. Optuna knows the order of
ordered choices, and failures as failures.
"""
ABSENT = {
    "auto": "`auto` asks `gp` up to 1,000 trials: its rows would be those of `gp`.",
    "optuna-gp": "Optuna's Gaussian process needs torch, which is not installed here.",
    "smac": "SMAC3 does not install here: its random forest, pyrfr, has no wheel.",
}
ON_CURVES = """\
8 workers, ASHA's rungs at 1, 3, 9 epochs of 27, of LCBench at 1, 3, 9, 27 of 52. The regret is that
of the best of 3 finalists, trained to the end: those that this project's finals choose, whatever
searched. Their epochs are not counted. `optuna-hyperband` prunes by itself, and `one-epoch` trains
all for one epoch, so that only the finalists are trained further (after Egele et al. 2024).

`curves-optimizers` and `curves-layers` are formulas with noise, where 0 is the best of 4,000
random configs. The other `curves-*` are FCNet's 62,208 trained Keras networks: their losses are
real, and the way to them is a formula, since the package has no curves. `keras-*` are curves of
real Keras networks: {tables}. A suggestion there stands for the nearest config that was not tried,
so that long searches of a small table end near its best whatever the searcher.
`python -m benchmarks.searching.curves` makes larger tables. `lcbench-*` are data sets of LCBench by
their number at OpenML, as YAHPO Gym's surrogate predicts their curves: smooth, and without the luck
of a seed.
"""


def describe(frame: pd.DataFrame, problems: Mapping[str, Problem]) -> str:
    """Return all tables of results."""
    frame = common_seeds(frame[frame["problem"].isin(problems)])
    kinds = {name: problem.kind for name, problem in problems.items()}
    held_back = {name: problem.held_back for name, problem in problems.items()}
    frame = frame.assign(
        kind=frame["problem"].map(kinds), held_back=frame["problem"].map(held_back)
    )
    is_curve = frame["kind"].isin(CURVES)
    blocks = [
        INTRO.format(seeds=_count_seeds(frame)),
        "\n".join(why for name, why in ABSENT.items() if name not in set(frame["searcher"])),
        *_describe_trials(frame[~is_curve]),
        *_describe_curves(frame[is_curve]),
        *_describe_failures(frame),
        _name_machines(frame),
        report.versions(),
    ]
    return "\n\n".join(block.strip() for block in blocks) + "\n"


def _name_machines(frame: pd.DataFrame) -> str:
    """Return where the searches ran."""
    if "machine" not in frame:
        return report.machine()
    return "\n\n".join(sorted(frame["machine"].dropna().unique()))


def common_seeds(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the seeds that all searchers have of a problem."""
    case = ["problem", "workers"]
    searchers = frame.groupby(case)["searcher"].transform("nunique")
    return frame[frame.groupby([*case, "seed"])["searcher"].transform("nunique") == searchers]


def mean_ranks(frame: pd.DataFrame) -> pd.DataFrame:
    """Return each searcher's mean rank over problems, with a 95 % band over seeds.

    Only seeds that all searchers of the frame have of a problem count; ties share their ranks.
    """
    wide = frame.pivot_table(index=["problem", "seed"], columns="searcher", values="regret")
    ranks = wide.dropna().rank(axis=1)
    if ranks.empty:
        return pd.DataFrame(columns=["mean", "low", "high"])
    by_seed = ranks.groupby("seed").mean()
    low, high = np.percentile(_resample(by_seed.to_numpy()), [2.5, 97.5], axis=0)
    return pd.DataFrame({"mean": ranks.mean(), "low": low, "high": high})


def share_ahead(frame: pd.DataFrame) -> pd.Series:
    """Return in which share of the pairs of problem and seed each searcher is ahead of random.

    A tie counts half.
    """
    wide = frame.pivot_table(index=["problem", "seed"], columns="searcher", values="regret")
    if "random" not in wide:
        return pd.Series(dtype=float)
    others = wide.drop(columns="random")
    ahead = others.lt(wide["random"], axis=0) + 0.5 * others.eq(wide["random"], axis=0)
    return ahead.where(others.notna() & wide[["random"]].notna().to_numpy()).mean()


def _count_seeds(frame: pd.DataFrame) -> str:
    counts = frame.groupby(["problem", "workers"])["seed"].nunique()
    least, most = counts.min(), counts.max()
    return str(most) if least == most else f"{least} to {most}"


def _resample(by_seed: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return means over seeds that are drawn with replacement."""
    random = np.random.default_rng(0)
    drawn = random.integers(len(by_seed), size=(RESAMPLES, len(by_seed)))
    means: NDArray[np.float64] = by_seed[drawn].mean(axis=1)
    return means


def _describe_trials(frame: pd.DataFrame) -> Iterator[str]:
    if frame.empty:
        return
    yield "## Mean ranks by trials, with 95 % bands"
    yield _rank_table(frame, "trials")
    yield "## CPU milliseconds a suggestion"
    yield _cost_table(frame)
    for title, part in _splits(frame):
        for workers, runs in part.groupby("workers"):
            yield f"## Median regret, {title}, {workers} in flight"
            yield _regret_table(runs, "trials")


def _describe_curves(frame: pd.DataFrame) -> Iterator[str]:
    if frame.empty:
        return
    yield "## Learning curves under early stopping"
    yield ON_CURVES.format(tables=curves.describe_tables())
    for title, part in _splits(frame):
        yield f"### Median regret by epochs, {title}"
        yield _regret_table(part, "epochs")
    yield "### Share of pairs ahead of random, and mean ranks"
    yield _share_table(frame)
    yield _rank_table(frame, "epochs")
    yield _cost_table(frame)


def _describe_failures(frame: pd.DataFrame) -> Iterator[str]:
    failures = frame[frame["kind"] == "failures"]
    if not failures.empty:
        yield "## Suggestions 41 to 80 that fail"
        shares = failures.drop_duplicates(["problem", "searcher", "workers", "seed"])
        yield _table(
            ["problem", "in flight"],
            shares.pivot_table(
                index=["problem", "workers"], columns="searcher", values="failing", sort=False
            ),
            lambda value: f"{value:.0%}",
            marks_best=False,
        )
    finite = frame[frame["kind"] == "finite"].drop_duplicates(["searcher", "workers", "seed"])
    if not finite.empty:
        yield "## Seeds in which the best of 192 points was found within 60 trials"
        solved = finite.assign(solved=finite["solved"] <= 60)
        yield _table(
            ["in flight"],
            solved.pivot_table(index="workers", columns="searcher", values="solved"),
            lambda value: f"{value:.0%}",
            marks_best=False,
        )


def _splits(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    for title, is_held_back in (("tuned on", False), ("held back", True)):
        part = frame[frame["held_back"] == is_held_back]
        if not part.empty:
            yield title, part


def _regret_table(frame: pd.DataFrame, unit: str) -> str:
    medians = frame.pivot_table(
        index=["problem", "mark"], columns="searcher", values="regret", aggfunc="median", sort=False
    )
    return _table(["problem", unit], medians, _number)


def _rank_table(frame: pd.DataFrame, unit: str) -> str:
    header = ["problems", "in flight", unit, *_searchers(frame)]
    late = frame[frame["mark"].isin(sorted(set(frame["mark"]))[-LATE_MARKS:])]
    rows = []
    for title, part in [*_splits(frame), *_kinds(late)]:
        for (workers, mark), runs in part.groupby(["workers", "mark"]):
            ranks = mean_ranks(runs)
            cells = [_rank(ranks, searcher) for searcher in header[3:]]
            rows.append([title, workers, mark, *_bold_least(cells, ranks, header[3:])])
    return _markdown(header, rows)


def _kinds(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    for kind, part in frame.groupby("kind", sort=False):
        if part["problem"].nunique() > 1:
            yield str(kind), part


def _rank(ranks: pd.DataFrame, searcher: str) -> str:
    if searcher not in ranks.index:
        return ""
    mean, low, high = ranks.loc[searcher, ["mean", "low", "high"]]
    return f"{mean:.1f} ({low:.1f}-{high:.1f})"


def _bold_least(cells: list[str], ranks: pd.DataFrame, searchers: Sequence[str]) -> list[str]:
    least = ranks["mean"].min() + 1e-9
    return [
        f"**{cell}**" if cell and ranks["mean"][searcher] <= least else cell
        for cell, searcher in zip(cells, searchers, strict=True)
    ]


def _share_table(frame: pd.DataFrame) -> str:
    rows = {}
    for title, part in [*_splits(frame), *_kinds(frame), ("all", frame)]:
        for mark, runs in part.groupby("mark"):
            rows[title, mark] = share_ahead(runs)
    shares = pd.DataFrame(rows).T
    return _table(["problems", "epochs"], shares, lambda value: f"{value:.0%}", marks_best=False)


def _cost_table(frame: pd.DataFrame) -> str:
    runs = frame.drop_duplicates(["problem", "searcher", "workers", "seed"])
    costs = runs.pivot_table(index="workers", columns="searcher", values="cpu_ms")
    return _table(["in flight"], costs, lambda value: f"{value:.1f}", marks_best=False)


def _table(
    names: Sequence[str], wide: pd.DataFrame, show: Callable[[float], str], marks_best: bool = True
) -> str:
    searchers = [name for name in ORDER if name in wide]
    rows = []
    for index, values in wide[searchers].iterrows():
        cells = ["" if np.isnan(value) else show(value) for value in values]
        least = values.min()
        rows.append(
            [
                *(index if isinstance(index, tuple) else [index]),
                *(
                    f"**{cell}**" if marks_best and value == least else cell
                    for cell, value in zip(cells, values, strict=True)
                ),
            ]
        )
    return _markdown([*names, *searchers], rows)


def _searchers(frame: pd.DataFrame) -> list[str]:
    there = set(frame["searcher"])
    return [name for name in ORDER if name in there]


def _number(value: float) -> str:
    return f"{value:.2g}" if abs(value) < 100 else f"{value:.0f}"


def _markdown(header: Sequence[object], rows: Sequence[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
