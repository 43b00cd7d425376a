"""Measure how far a search's best score, and the verdict's interval, are from the truth.

    python -m benchmarks.luck search --count 500
    python -m benchmarks.luck folds --count 500
    python -m benchmarks.luck report --out benchmarks/figures/luck.md

``search`` runs real searches by TPE, finals included, of a trainable that is arithmetic plus noise,
so that the true loss of a config is known. They vary how much configs differ. ``folds`` does the
same with scikit-learn's models on 200 rows, where fresh folds share rows with each other and with
the search; the truth is then the loss on fresh rows, averaged over many training sets. Both note
each search when it ends, and continue where they stopped. A real search takes 5 to 8 s on two cores
that are shared.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import report
from tune_jobs.engine.experiments.verdict import Verdict
from tune_jobs.engine.goal import Goal

RUNS = Path(__file__).parents[1] / "results"
LOSS_SD = 90**-0.5  # of (x - 0.5)² + (y - 0.5)², x and y uniform from 0 to 1

# How much true losses of random configs differ, in standard deviations of a fit's noise.
SPREADS = (0.0, 1.0, 3.0, 10.0)
TRIALS, EPOCHS = 30, 3
LEARNING = 0.3  # the loss falls by so much an epoch
EPOCH_NOISE = 0.4  # of a noise with standard deviation 1; the rest is the same at all epochs

ROWS, FOLDS, SCORES = 200, 4, 8
TRUTH_SETS, TRUTH_ROWS = 400, 4000

NORMAL = 1.96  # standard deviations to either side hold 95 % of a normal distribution
AXIS = "reported loss - true loss, in standard deviations of a fit's noise (left: too good)"
KINDS = ("trees", "ridge")
GAPS, RACES = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0), 1000
Row = dict[str, Any]


def true_loss(config: dict[str, Any], epoch: int) -> float:
    """Return the loss of a config without noise."""
    distance = (config["x"] - 0.5) ** 2 + (config["y"] - 0.5) ** 2
    return float(config["spread"] * distance / LOSS_SD + LEARNING * (EPOCHS - epoch))


def train(config: dict[str, Any], data: object) -> None:
    """Report the true loss plus noise of standard deviation 1, by seed and config."""
    import random

    from ray import tune

    draw = random.Random(json.dumps([config["seed"], config["x"], config["y"]]))
    lasting = draw.gauss(0, (1 - EPOCH_NOISE**2) ** 0.5)
    for epoch in range(1, config["max_epochs"] + 1):
        noise = lasting + draw.gauss(0, EPOCH_NOISE)
        tune.report({"loss": true_loss(config, epoch) + noise, "epoch": epoch})


def search(seed: int) -> Row:
    """Run a real search with its finals, and compare its result with the truth."""
    from ray import tune

    from tune_jobs.engine import TPE, Job, Profile, run
    from tune_jobs.engine.experiments.experiment import Experiment

    space = {"x": tune.uniform(0, 1), "y": tune.uniform(0, 1), "spread": SPREADS[seed % 4]}
    job = Job(
        *(train, space),
        metric="loss",
        searcher=TPE(),
        num_samples=TRIALS,
        max_epochs=EPOCHS,
        seed=seed,
    )
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        profile = Profile(storage=folder, max_concurrent_trials=1)
        found = run(job, profile=profile, name="luck", listeners=[])
        seconds = time.perf_counter() - began
        trials, verdict = found.usable, found.verdict
        fits = len(Experiment(found.folder.child("finalists")).usable)
    trials["config"] = trials["config"].map(json.loads)
    best = trials.loc[trials["value"].idxmin()]
    final = {row.trial: true_loss(row.config, EPOCHS) for row in trials.itertuples()}
    configs = dict(zip(trials["trial"], trials["config"], strict=True))
    least = min(final.values())
    return {
        "seed": seed,
        "spread": SPREADS[seed % 4],
        "search": best["value"],
        "search_truth": true_loss(best["config"], best["best_epoch"]),
        "search_regret": final[best["trial"]] - least,
        "regret": final[verdict.trial] - least,
        "any_regret": float(np.mean(list(final.values()))) - least,
        "fits": fits,
        "seconds": seconds,
        **describe(verdict, lambda trial, epoch: true_loss(configs[trial], epoch)),
    }


def describe(verdict: Verdict, truth_of: Callable[[int, int], float], overlap: float = 0.0) -> Row:
    """Return a verdict's values beside the truth."""
    from tune_jobs.engine.analysis.estimates import estimate

    gap = verdict.runner_up
    won, second = verdict.finalist(verdict.trial), verdict.finalist(gap.trial)
    truth = truth_of(won.trial, won.epochs)
    choice = estimate(won.scores, overlap, verdict.level)
    return {
        "truth": truth,
        "fresh": verdict.mean,
        **_ends("fresh", verdict.interval),
        "choice": choice.mean,
        **_ends("choice", [choice.lower, choice.upper]),
        "gap": gap.gap,
        **_ends("gap", gap.interval),
        "gap_truth": truth_of(second.trial, second.epochs) - truth,
    }


def _ends(name: str, interval: Sequence[float]) -> Row:
    return {f"{name}_low": interval[0], f"{name}_high": interval[1]}


def make_models(kind: str) -> list[Any]:
    """Return the configs of a family, the same for all searches."""
    from sklearn.linear_model import Ridge
    from sklearn.tree import DecisionTreeRegressor

    draw = np.random.default_rng(0)
    if kind == "ridge":
        return [Ridge(10 ** draw.uniform(-2, 3)) for _ in range(TRIALS)]
    return [
        DecisionTreeRegressor(
            max_depth=int(draw.integers(3, 9)),
            min_samples_leaf=int(draw.integers(1, 16)),
            max_features=draw.uniform(0.3, 1),
        )
        for _ in range(TRIALS)
    ]


def make_rows(rows: int, seed: Sequence[int]) -> tuple[Any, Any]:
    """Draw rows of Friedman's first problem with ten features that have no effect."""
    from sklearn.datasets import make_friedman1

    state = np.random.RandomState(np.random.SeedSequence(seed).generate_state(1))
    found: tuple[Any, Any] = make_friedman1(rows, 20, noise=1.0, random_state=state)
    return found


def fit(model: Any, seed: int, train: tuple[Any, Any], held: tuple[Any, Any]) -> float:
    """Return the mean squared error on held-out rows."""
    from sklearn.base import clone

    fitted = clone(model)
    if "max_depth" in fitted.get_params():
        fitted.set_params(random_state=seed)
    return float(np.mean((fitted.fit(*train).predict(held[0]) - held[1]) ** 2))


def true_errors(models: Sequence[Any]) -> list[float]:
    """Return each model's expected score when trained on as many rows as a fold leaves."""
    rows = ROWS * (FOLDS - 1) // FOLDS
    sums = np.zeros(len(models))
    for number in range(TRUTH_SETS):
        parts = make_rows(rows, [1, number]), make_rows(TRUTH_ROWS, [2, number])
        sums += [fit(model, number, *parts) for model in models]
    return [float(total) for total in sums / TRUTH_SETS]


def search_rows(models: Sequence[Any], truths: Sequence[float], seed: int) -> Row:
    """Search on one validation set, with finals on fresh folds, as the engine does."""
    from tune_jobs.engine.analysis.estimates import estimate
    from tune_jobs.engine.data.splitting import cut_folds
    from tune_jobs.engine.finals.candidates import Candidate
    from tune_jobs.engine.finals.judging import Cost, give_verdict
    from tune_jobs.engine.finals.race import Race

    x, y = make_rows(ROWS, [0, seed])
    cuts = [cut for n in range(5) for cut in cut_folds(ROWS, FOLDS, 100 * seed + n, None)]

    def score(place: int, number: int) -> float:
        rows, held = cuts[number]
        return fit(models[place], 100 * seed + number, (x[rows], y[rows]), (x[held], y[held]))

    seen = [score(place, 0) for place in range(TRIALS)]
    order = np.argsort(seen)[:5].tolist()
    overlap = 1 / (FOLDS - 1)
    race = Race(len(order), SCORES, SCORES, goal=Goal("loss"), overlap=overlap, level=0.95)
    while task := race.next_task():
        race.add(task, [{1: score(order[task.finalist], FOLDS + task.batch)}])
    candidates = [Candidate(place, {}, seen[place]) for place in order]
    verdict = give_verdict(race, candidates, [Cost()] * len(order))
    pair = [race.fresh_scores(place) for place in race.ranking[:2]]
    bare, bare_gap = estimate(pair[0], 0.0), estimate(pair[1] - pair[0], 0.0)
    fixed = [score(seed % TRIALS, FOLDS + SCORES + batch) for batch in range(SCORES)]
    sure, bare_fixed = estimate(fixed, overlap), estimate(fixed, 0.0)
    return {
        "seed": seed,
        "search": seen[order[0]],
        "search_truth": truths[order[0]],
        "search_regret": truths[order[0]] - min(truths),
        "regret": truths[verdict.trial] - min(truths),
        "any_regret": float(np.mean(truths)) - min(truths),
        **describe(verdict, lambda trial, _: truths[trial], overlap),
        **_ends("bare", [bare.lower, bare.upper]),
        **_ends("bare_gap", [bare_gap.lower, bare_gap.upper]),
        "fixed": sure.mean,
        "fixed_truth": truths[seed % TRIALS],
        "fixed_first": fixed[0],
        **_ends("fixed", [sure.lower, sure.upper]),
        **_ends("bare_fixed", [bare_fixed.lower, bare_fixed.upper]),
    }


def race_pair(gap: float, seed: int) -> Row:
    """Race two finalists whose true losses differ by this gap."""
    from tune_jobs.engine.finals.candidates import Candidate
    from tune_jobs.engine.finals.judging import Cost, give_verdict
    from tune_jobs.engine.finals.race import Race

    draw = np.random.default_rng(seed)
    race = Race(2, SCORES, SCORES, goal=Goal("loss"), overlap=0.0, level=0.95)
    while task := race.next_task():
        race.add(task, [{1: gap * task.finalist + draw.normal()}])
    candidates = [Candidate(place, {}, 0.0) for place in range(2)]
    verdict = give_verdict(race, candidates, [Cost()] * 2)
    return describe(verdict, lambda trial, _: gap * trial)


def run_all(path: Path, one: Callable[[int], Row], seeds: Sequence[int]) -> None:
    """Note each search when it ends, and skip those that are noted already."""
    path.parent.mkdir(parents=True, exist_ok=True)
    done = {row["seed"] for row in read(path)}
    for seed in seeds:
        if seed not in done:
            line = json.dumps(one(seed), default=lambda number: number.item())
            with path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")


def read(path: Path) -> list[Row]:
    """Return the searches that ended, by their seed."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    rows = {row["seed"]: row for row in map(json.loads, lines)}
    return [rows[seed] for seed in sorted(rows)]


def tabulate(runs: pd.DataFrame, folds: dict[str, pd.DataFrame]) -> str:
    """Return the measurements as Markdown."""
    about = (
        f"{len(runs)} searches of {TRIALS} trials by TPE, 5 finalists, {SCORES} + {SCORES} scores. "
        "Losses in standard deviations of one fit's noise; ± is the simulation's standard error."
    )
    about_gap = (
        f"{RACES} races of two finalists, by how much their true losses differ: the interval of "
        "the gap, above 0 where the winner is said to be better than the runner-up."
    )
    about_folds = (
        f"Models of scikit-learn on {ROWS} rows, {FOLDS} folds, {SCORES} scores: how often the "
        "95 % interval covers the truth."
    )
    parts = [
        *(about, *_table(_say_errors, _by_spread(runs)), ""),
        "True loss of the chosen config above that of the search's truly best, and fits.",
        *(*_table(_say_regret, _by_spread(runs)), ""),
        about_gap,
        *(*_table(_say_gap, _by_gap()), ""),
        *(about_folds, *_table(_say_folds, folds), ""),
        "The same searches; errors in standard deviations of one score.",
        *_table(_say_rows, folds),
    ]
    return "\n".join(parts) + "\n"


def _by_spread(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    parts = {f"{spread:g}": rows for spread, rows in runs.groupby("spread")}
    return {f"configs differ by {name}": rows for name, rows in parts.items()} | {"all": runs}


def _by_gap() -> dict[str, pd.DataFrame]:
    races = {gap: [race_pair(gap, seed) for seed in range(RACES)] for gap in GAPS}
    return {f"{gap:g}": pd.DataFrame(rows) for gap, rows in races.items()}


def _table(
    say: Callable[[pd.DataFrame], dict[str, str]], groups: dict[str, pd.DataFrame]
) -> list[str]:
    rows = {name: say(group) for name, group in groups.items()}
    head = ["", *next(iter(rows.values()))]
    lines = ["", f"| {' | '.join(head)} |", "|---" + "|---:" * (len(head) - 1) + "|"]
    return lines + [f"| {name} | {' | '.join(cells.values())} |" for name, cells in rows.items()]


def _say_errors(rows: pd.DataFrame) -> dict[str, str]:
    flattering = rows["search"] - rows["search_truth"]
    return {
        "searches": str(len(rows)),
        "best trial's score - truth": _mean(flattering),
        "better than the truth": _share(flattering < 0),
        "± 1.96 around it covers": _share(flattering.abs() < NORMAL),
        "mean that chose - truth": _mean(rows["choice"] - rows["truth"]),
        "its 95 % interval covers": _covers(rows, "choice"),
        "fresh mean - truth": _mean(rows["fresh"] - rows["truth"]),
        "its 95 % interval covers ": _covers(rows, "fresh"),
        "interval of the gap covers": _covers(rows, "gap", "gap_truth"),
        "interval of the gap is not above 0": _share(rows["gap_low"] <= 0),
    }


def _say_regret(rows: pd.DataFrame) -> dict[str, str]:
    saved = rows["search_regret"] - rows["regret"]
    return {
        "any trial": f"{rows['any_regret'].mean():.2f}",
        "best score of the search": f"{rows['search_regret'].mean():.2f}",
        "winner of the finals": f"{rows['regret'].mean():.2f}",
        "saved by the finals": _mean(saved),
        "fits of the search": str(TRIALS),
        "fits of the finals": f"{rows['fits'].mean():.1f}",
    }


def _say_gap(rows: pd.DataFrame) -> dict[str, str]:
    said, is_better = rows["gap_low"] > 0, rows["gap_truth"] > 0
    return {
        "the truly better one won": _share(is_better),
        "its interval is not above 0": _share(~said),
        "is above 0, and it is better": _share(said & is_better),
        "is above 0, and it is not better": _share(said & ~is_better),
    }


def _say_folds(rows: pd.DataFrame) -> dict[str, str]:
    return {
        "searches": str(len(rows)),
        "config fixed before: corrected": _covers(rows, "fixed", "fixed_truth"),
        "uncorrected": _covers(rows, "bare_fixed", "fixed_truth"),
        "winner: corrected": _covers(rows, "fresh"),
        "uncorrected ": _covers(rows, "bare"),
        "gap to the runner-up: corrected": _covers(rows, "gap", "gap_truth"),
        "uncorrected  ": _covers(rows, "bare_gap", "gap_truth"),
    }


def _say_rows(rows: pd.DataFrame) -> dict[str, str]:
    unit = (rows["fixed_first"] - rows["fixed_truth"]).std()
    return {
        "best trial's score - truth": _mean((rows["search"] - rows["search_truth"]) / unit),
        "better than the truth": _share(rows["search"] < rows["search_truth"]),
        "fresh mean - truth": _mean((rows["fresh"] - rows["truth"]) / unit),
        "the same, config fixed before": _mean((rows["fixed"] - rows["fixed_truth"]) / unit),
        "saved by the finals": _mean((rows["search_regret"] - rows["regret"]) / unit),
    }


def _covers(rows: pd.DataFrame, interval: str, truth: str = "truth") -> str:
    """Return how often an interval contains the truth."""
    return _share(rows[truth].between(rows[f"{interval}_low"], rows[f"{interval}_high"]))


def _share(events: pd.Series) -> str:
    """Return a share and its standard error by Agresti and Coull (1998), which is never 0."""
    count = len(events) + 4
    near = (events.sum() + 2) / count
    return f"{100 * events.mean():.1f} ± {100 * (near * (1 - near) / count) ** 0.5:.1f} %"


def _mean(errors: pd.Series) -> str:
    """Return a mean and its standard error."""
    return f"{errors.mean():+.2f} ± {errors.sem():.2f}"


def plot(runs: pd.DataFrame, path: Path) -> None:
    """Plot how far both scores are from the truth: two histograms on one scale."""
    import altair as alt

    search, fresh = runs["search"] - runs["search_truth"], runs["fresh"] - runs["truth"]
    covered = runs["truth"].between(runs["fresh_low"], runs["fresh_high"])
    said = f"better than the truth in {100 * (search < 0).mean():.0f} % of the searches"
    held = f"its 95 % interval holds the truth in {100 * covered.mean():.1f} % of the searches"
    panels = [
        _histogram(
            *(search, "#c2410c", None, "The best trial's score"),
            f"too good by {-search.mean():.2f} on average; {said}",
        ),
        _histogram(
            *(fresh, "#1d4ed8", AXIS, "The winner's mean over fresh fits, with tune-jobs"),
            f"too good by {-fresh.mean():.2f} on average; {held}",
        ),
    ]
    chart = alt.vconcat(*panels, spacing=16).resolve_scale(y="shared")
    chart = chart.properties(
        title=f"How far the reported loss is from the true one, in {len(runs)} searches",
        padding=20,
        background="white",
    )
    chart = chart.configure_view(stroke=None).configure_concat(spacing=16)
    chart.configure_title(anchor="start", frame="group", fontSize=18, offset=14).save(
        path, scale_factor=2
    )
    print(path)


def _histogram(errors: pd.Series, color: str, about: str | None, name: str, says: str) -> Any:
    """Draw bars of one color with a caption above."""
    import altair as alt

    edges = np.linspace(-4, 2, 31)
    counts = np.histogram(errors.clip(-4, 2), edges)[0]
    bins = pd.DataFrame({"from": edges[:-1], "to": edges[1:], "share": counts / len(errors)})
    labels = {"labels": about is not None, "labelFontSize": 14, "titleFontSize": 14}
    ticks = {"values": list(range(-4, 3)), "format": "d", "grid": False, "labelFlush": False}
    axis = alt.Axis(title=about, titleFontWeight="normal", **labels, **ticks)
    x = alt.X("from:Q", bin="binned", scale=alt.Scale(domain=[-4, 2]), axis=axis)
    bars = alt.Chart(bins).mark_bar(color=color, binSpacing=1)
    bars = bars.encode(x=x, x2="to:Q", y=alt.Y("share:Q", axis=None))
    truth = alt.Chart(pd.DataFrame({"at": [0]})).mark_rule(color="#111", strokeWidth=2)
    words = {"subtitleFontSize": 15, "subtitleColor": color, "color": color}
    title = alt.TitleParams(name, subtitle=says, fontSize=16, offset=4, **words)
    return (bars + truth.encode(x="at:Q")).properties(width=760, height=130, title=title)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", choices=["search", "folds", "report"])
    parser.add_argument("--first", type=int, default=0, metavar="SEED")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--runs", type=Path, default=RUNS, metavar="FOLDER")
    parser.add_argument("--commit", default="", help="commit at which the searches were run")
    parser.add_argument(
        "--out", type=Path, metavar="MARKDOWN", help="Parquet and PNG are written beside it"
    )
    options = parser.parse_args()
    seeds = range(options.first, options.first + options.count)
    if options.stage == "search":
        from tune_jobs.engine import Profile
        from tune_jobs.engine.cluster.connection import ray_of

        with ray_of(Profile(), ()):
            run_all(options.runs / "luck.jsonl", search, seeds)
    if options.stage == "folds":
        for kind in KINDS:
            models = make_models(kind)
            one = partial(search_rows, models, true_errors(models))
            run_all(options.runs / f"luck_{kind}.jsonl", one, seeds)
    if options.stage == "report":
        runs = pd.DataFrame(read(options.runs / "luck.jsonl"))
        folds = {kind: pd.DataFrame(read(options.runs / f"luck_{kind}.jsonl")) for kind in KINDS}
        made = f"Searches made at commit {options.commit}.\n\n" if options.commit else ""
        about = f"{made}{report.machine()}\n\n{report.versions()}\n"
        text = f"{tabulate(runs, folds)}\n{about}"
        print(text)
        if options.out:
            options.out.write_text(text, encoding="utf-8")
            both = pd.concat([rows.assign(models=kind) for kind, rows in folds.items()])
            runs, both = (rows.assign(commit=options.commit) for rows in (runs, both))
            report.save(runs, options.out.with_suffix(".parquet"))
            report.save(both, options.out.with_suffix(".folds.parquet"))
            plot(runs, options.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
