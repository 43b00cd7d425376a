"""Measure how often a searcher suggests configs that are known to fail.

    python -m benchmarks.failure_trap --seeds 10

The top third of ``units`` always runs out of memory, and the optimum lies far away. HyperOpt as Ray
uses it, and Optuna's TPE, forget failures, so that region looks least explored to them. Suggestions
41 to 80 of one worker are counted. The peers are asked in a loop, as Ray asks them; tune-jobs
really runs.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks import report

LEAST, MOST = 16, 1024
FAILING = LEAST + 2 * (MOST - LEAST) / 3
TRIALS, EARLY = 80, 40


def loss_of(config: dict[str, Any]) -> float:
    """Return the loss, lowest at 64 units and a rate of 0.01.

    Raises:
        MemoryError: in the top third of ``units``.
    """
    import math

    if config["units"] > FAILING:
        raise MemoryError(f"units is {config['units']}")
    return abs(math.log2(config["units"] / 64)) / 4 + abs(math.log10(config["rate"]) + 2)


def train(config: dict[str, Any], data: object) -> None:
    """Report the loss, or fail."""
    from ray import tune

    tune.report({"loss": loss_of(config)})


def space() -> dict[str, Any]:
    """Return the space of widths and rates."""
    from ray import tune

    return {"units": tune.randint(LEAST, MOST + 1), "rate": tune.loguniform(1e-4, 1)}


def suggest_hyperopt(seed: int) -> list[dict[str, Any]]:
    """Ask Ray's HyperOptSearch, which receives failures as Ray reports them."""
    from ray.tune.search.hyperopt import HyperOptSearch

    return _ask(HyperOptSearch(random_state_seed=seed))


def suggest_optuna(seed: int) -> list[dict[str, Any]]:
    """Ask Ray's OptunaSearch, which receives failures as Ray reports them."""
    import optuna
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return _ask(OptunaSearch(seed=seed))


def search_tune_jobs(seed: int) -> list[dict[str, Any]]:
    """Run a real search with one worker."""
    import json

    from tune_jobs.engine import TPE, Job, Profile, run

    job = Job(
        train, space(), metric="loss", searcher=TPE(), num_samples=TRIALS, seed=seed, finalists=None
    )
    with tempfile.TemporaryDirectory() as folder:
        profile = Profile(storage=folder, max_concurrent_trials=1)
        found = run(job, profile=profile, name="trap", listeners=[]).trials
    return [json.loads(config) for config in found.sort_values("trial")["config"]]


CONTENDERS: dict[str, Callable[[int], list[dict[str, Any]]]] = {
    "tune-jobs": search_tune_jobs,
    "Ray + HyperOpt": suggest_hyperopt,
    "Ray + Optuna": suggest_optuna,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--out", type=Path, metavar="PARQUET")
    options = parser.parse_args()
    rows = []
    for name, suggest in CONTENDERS.items():
        for seed in range(options.seeds):
            configs = suggest(seed)
            late = [config["units"] > FAILING for config in configs[EARLY:]]
            good = [loss_of(config) for config in configs if config["units"] <= FAILING]
            share = sum(late) / len(late)
            rows.append({"contender": name, "seed": seed, "failing": share, "best": min(good)})
    frame = pd.DataFrame(rows)
    shown = [
        [
            name,
            f"{runs['failing'].mean():.0%}",
            f"{runs['failing'].min():.0%} to {runs['failing'].max():.0%}",
            f"{runs['best'].median():.3f}",
        ]
        for name, runs in frame.groupby("contender", sort=False)
    ]
    report.show(
        f"suggestions {EARLY + 1} to {TRIALS} that fail, {options.seeds} seeds",
        ["contender", "mean", "spread", "median best loss"],
        shown,
    )
    if options.out:
        report.save(frame, options.out)
    report.state()


def _ask(searcher: Any) -> list[dict[str, Any]]:
    searcher.set_search_properties("loss", "min", space())
    configs = []
    for number in range(TRIALS):
        config = searcher.suggest(str(number))
        configs.append(config)
        try:
            searcher.on_trial_complete(str(number), {"loss": loss_of(config)})
        except MemoryError:
            searcher.on_trial_complete(str(number), error=True)
    return configs


if __name__ == "__main__":
    main()
