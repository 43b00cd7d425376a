"""Measure which estimators find what mattered in a search, with a known truth.

    python -m benchmarks.importance --sweeps 100

Searches of 60 trials under asynchronous successive halving are simulated: a loss is the sum of four
effects whose shares of its variance are known, of chance, and of a learning curve; four more
hyperparameters have no effect. The estimators: tune-jobs; Optuna's fANOVA and scikit-learn's
permutation importance on the completed trials, as their users run them; and fANOVA on the data that
tune-jobs uses, all trials at the first rung.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import report
from tune_jobs.engine.analysis.importance import measure_importance
from tune_jobs.engine.experiments.history.frames import parse_configs, with_hyperparameters
from tune_jobs.engine.goal import Goal

RUNGS = (1, 3, 9, 27)
TRIALS = 60
SHARES = {"rate": 0.40, "units": 0.20, "activation": 0.10, "dropout": 0.05}
# What matters at the end of the search "late" matters not at all after the first epoch.
LATE = {"rate": 0.10, "units": 0.20, "activation": 0.05, "dropout": 0.40}
NOISE = ("noise_float", "noise_int", "noise_choice", "noise_flag")
CHANCE = 1 - sum(SHARES.values())

COLUMNS = (
    *("estimator", "dominant first", "mean error of a share", "any noise called real"),
    *("dominant called real", "seconds"),
)

Shares = dict[str, float]


@dataclass(frozen=True)
class Sweep:
    """One simulated search: for each trial a config, and a curve that ends where it was stopped."""

    configs: list[dict[str, Any]]
    curves: list[list[float]]

    @property
    def completed(self) -> list[int]:
        """The indices of the trials that ran to the end."""
        return [place for place, curve in enumerate(self.curves) if len(curve) == RUNGS[-1]]


def space() -> dict[str, Any]:
    """Return a space of four hyperparameters with an effect and four without."""
    from ray import tune

    return {
        "rate": tune.uniform(0, 1),
        "units": tune.uniform(0, 1),
        "activation": tune.choice(["relu", "gelu", "tanh"]),
        "dropout": tune.uniform(0, 1),
        "noise_float": tune.uniform(0, 1),
        "noise_int": tune.randint(1, 9),
        "noise_choice": tune.choice(["a", "b", "c", "d"]),
        "noise_flag": tune.choice([False, True]),
    }


def effects_of(config: dict[str, Any]) -> Shares:
    """Return the effects, each with mean 0 and variance 1 over random configs."""
    return {
        "rate": ((config["rate"] - 0.6) ** 2 - 0.0933) / 0.0955,
        "units": (0.5 - config["units"]) * 12**0.5,
        "activation": (["relu", "gelu", "tanh"].index(config["activation"]) - 1) * 1.5**0.5,
        "dropout": (abs(config["dropout"] - 0.3) - 0.29) / 0.1966,
    }


def train(config: dict[str, Any], scenario: str, random: np.random.Generator) -> list[float]:
    """Return the whole learning curve of a config."""
    effects = effects_of(config)
    epochs = np.arange(1, RUNGS[-1] + 1)
    early, late = (
        sum(shares[name] ** 0.5 * effect for name, effect in effects.items())
        for shares in (SHARES, LATE if scenario == "late" else SHARES)
    )
    age = (epochs - 1) / (RUNGS[-1] - 1)
    chance = CHANCE**0.5 * random.normal() + 0.1 * random.normal(size=len(epochs))
    curve = early * (1 - age) + late * age + chance + 2 / epochs**0.5
    if scenario == "diverging":
        curve = 10**curve
        if config["rate"] > 0.95 or random.random() < 0.05:
            curve[:] = 1e30
    return [float(value) for value in curve]


def search(scenario: str, seed: int) -> Sweep:
    """Simulate a search, one trial after the other."""
    random = np.random.default_rng(seed)
    ask, tell = _searcher("TPE" if scenario == "TPE" else "random", seed)
    seen: dict[int, list[float]] = {rung: [] for rung in RUNGS}
    sweep = Sweep([], [])
    for number in range(TRIALS):
        config = ask(number)
        curve = train(config, scenario, random)
        stop = next(
            (rung for rung in RUNGS if not _goes_on(seen[rung], curve[rung - 1])), RUNGS[-1]
        )
        sweep.configs.append(config)
        sweep.curves.append(curve[:stop])
        tell(number, curve[stop - 1])
    return sweep


def _goes_on(seen: list[float], value: float) -> bool:
    """Return whether ASHA continues a trial: if it is in the best third seen at the rung."""
    seen.append(value)
    return value <= np.quantile(seen, 1 / 3)


def _searcher(kind: str, seed: int) -> tuple[Callable[[int], Any], Callable[[int, float], None]]:
    if kind == "random":
        from ray.tune.search.variant_generator import generate_variants

        state, domains = np.random.RandomState(seed), space()
        return (
            lambda _: next(generate_variants(domains, random_state=state))[1],
            lambda _, __: None,
        )
    from tune_jobs.engine import TPE

    tpe = TPE()(seed)
    tpe.set_search_properties("loss", "min", space())
    return (
        lambda number: tpe.suggest(str(number)),
        lambda number, value: tpe.on_trial_complete(str(number), {"loss": value}),
    )


def measure_ours(sweep: Sweep) -> tuple[Shares, set[str] | None]:
    """Measure with tune-jobs on all trials at the first rung, in their order."""
    trials = pd.DataFrame(
        {
            "trial": range(len(sweep.configs)),
            "state": ["complete" if len(c) == RUNGS[-1] else "stopped" for c in sweep.curves],
            "config": [json.dumps(config) for config in sweep.configs],
        }
    )
    epochs = pd.DataFrame(
        [
            {"trial": trial, "replica": 0, "epoch": epoch, "loss": value}
            for trial, curve in enumerate(sweep.curves)
            for epoch, value in enumerate(curve, 1)
        ]
    )
    found = measure_importance(
        with_hyperparameters(trials, parse_configs(trials)), epochs, goal=Goal("loss"), rungs=RUNGS
    ).effects
    return {e.name: e.share for e in found}, {e.name for e in found if not e.is_noise}


def measure_ours_shuffled(sweep: Sweep) -> tuple[Shares, set[str] | None]:
    """Measure the same while ignoring the order of the trials."""
    order = np.random.default_rng(0).permutation(len(sweep.configs))
    return measure_ours(Sweep([sweep.configs[i] for i in order], [sweep.curves[i] for i in order]))


def measure_fanova(sweep: Sweep) -> tuple[Shares, set[str] | None]:
    """Measure with Optuna's fANOVA on the completed trials."""
    places = sweep.completed
    return _fanova([sweep.configs[i] for i in places], [sweep.curves[i][-1] for i in places]), None


def measure_fanova_of_rung(sweep: Sweep) -> tuple[Shares, set[str] | None]:
    """Measure with Optuna's fANOVA on all trials at the first rung."""
    return _fanova(sweep.configs, [curve[0] for curve in sweep.curves]), None


def _fanova(configs: list[dict[str, Any]], losses: list[float]) -> Shares:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for config, loss in zip(configs, losses, strict=True):
        study.add_trial(
            optuna.create_trial(params=config, distributions=_distributions(), value=loss)
        )
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return dict(optuna.importance.get_param_importances(study, evaluator=evaluator))


def _distributions() -> dict[str, Any]:
    from optuna import distributions

    return {
        name: distributions.CategoricalDistribution(domain.categories)
        if hasattr(domain, "categories")
        else distributions.IntDistribution(domain.lower, domain.upper - 1)
        if name == "noise_int"
        else distributions.FloatDistribution(domain.lower, domain.upper)
        for name, domain in space().items()
    }


def measure_permutation(sweep: Sweep) -> tuple[Shares, set[str] | None]:
    """Measure with permutation importance of scikit-learn's forest on the completed trials."""
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance

    places = sweep.completed
    inputs = pd.DataFrame([sweep.configs[i] for i in places])
    for name in ("activation", "noise_choice"):
        inputs[name] = inputs[name].astype("category").cat.codes
    losses = np.array([sweep.curves[i][-1] for i in places])
    forest = RandomForestRegressor(random_state=0).fit(inputs, losses)
    found = permutation_importance(forest, inputs, losses, random_state=0).importances_mean
    return dict(zip(inputs.columns, np.maximum(found, 0).tolist(), strict=True)), None


ESTIMATORS: dict[str, Callable[[Sweep], tuple[Shares, set[str] | None]]] = {
    "tune-jobs": measure_ours,
    "tune-jobs, trials shuffled": measure_ours_shuffled,
    "fANOVA, completed trials": measure_fanova,
    "permutation importance, completed trials": measure_permutation,
    "fANOVA, all trials at the first rung": measure_fanova_of_rung,
}
SCENARIOS = {
    "steady": "random search; what matters is the same at every epoch",
    "diverging": "the same with losses over 6 orders of magnitude, and a tenth at 1e30",
    "TPE": "the first, searched by TPE",
    "late": "what matters changes until the last epoch, by which it is judged",
}


def judge(scenario: str, estimator: str, seed: int, sweep: Sweep) -> dict[str, Any]:
    """Compare an estimator with the truth about one search."""
    truth = LATE if scenario == "late" else SHARES
    began = time.perf_counter()
    found, real = ESTIMATORS[estimator](sweep)
    seconds = time.perf_counter() - began
    names = [*truth, *NOISE]
    whole = sum(found.values()) or 1.0
    errors = [
        abs(found.get(name, 0) / whole - truth.get(name, 0) / sum(truth.values())) for name in names
    ]
    return {
        "scenario": scenario,
        "estimator": estimator,
        "seed": seed,
        "completed": len(sweep.completed),
        "first": max(found, key=lambda name: found[name]) == max(truth, key=lambda n: truth[n]),
        "error": float(np.mean(errors)),
        "noise_real": None if real is None else bool(real & set(NOISE)),
        "dominant_real": None if real is None else max(truth, key=lambda n: truth[n]) in real,
        "seconds": seconds,
    }


def time_growth() -> str:
    """Time large searches, with all hyperparameters active or each in 70 % of the trials."""
    seconds = {}
    for share in (1.0, 0.7):
        random = np.random.default_rng(0)
        values = np.where(random.random((1000, 30)) < share, random.random((1000, 30)), np.nan)
        columns = {f"config.part_{n}.x": values[:, n] for n in range(30)}
        trials = pd.DataFrame({"trial": range(1000), "state": "complete", **columns})
        epochs = pd.DataFrame({"trial": range(1000), "replica": 0, "epoch": 1})
        epochs["loss"] = random.random(1000)
        began = time.perf_counter()
        measure_importance(trials, epochs, goal=Goal("loss"), rungs=None)
        seconds[share] = time.perf_counter() - began
    return (
        f"1,000 trials x 30 hyperparameters: {seconds[1.0]:.2f} s; "
        f"{seconds[0.7]:.2f} s where each is conditional."
    )


def table(frame: pd.DataFrame) -> str:
    """Return the results as a Markdown table per scenario."""
    parts = []
    for scenario, about in SCENARIOS.items():
        runs = frame[frame["scenario"] == scenario]
        if runs.empty:
            continue
        count, completed = runs["seed"].nunique(), runs["completed"].mean()
        parts += [
            f"**{scenario}**: {about}. {count} searches; {completed:.1f} of {TRIALS} complete."
        ]
        parts += ["", f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
        for name, rows in runs.groupby("estimator", sort=False):
            cells = [name, f"{rows['first'].mean():.0%}", f"{rows['error'].mean():.3f}"]
            cells += [_percent(rows[column]) for column in ("noise_real", "dominant_real")]
            parts.append(f"| {' | '.join(cells)} | {rows['seconds'].median():.2f} |")
        parts.append("")
    return "\n".join(parts)


def _percent(column: pd.Series) -> str:
    return "no test" if column.isna().any() else f"{column.astype(bool).mean():.0%}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sweeps", type=int, default=100)
    parser.add_argument("--scenarios", nargs="*", choices=SCENARIOS, default=list(SCENARIOS))
    parser.add_argument(
        "--out",
        type=Path,
        metavar="PARQUET",
        help="a table is written beside it; other scenarios in it are kept",
    )
    options = parser.parse_args()
    rows = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna calls its evaluators experimental.
        for scenario in options.scenarios:
            for seed in range(options.sweeps):
                sweep = search(scenario, seed)
                rows += [judge(scenario, name, seed, sweep) for name in ESTIMATORS]
    frame = pd.DataFrame(rows)
    if options.out and options.out.exists():
        before = pd.read_parquet(options.out).drop(columns=["machine", "versions"])
        frame = pd.concat([before[~before["scenario"].isin(options.scenarios)], frame])
    text = f"{table(frame)}\n{time_growth()}\n"
    print(text)
    if options.out:
        report.save(frame, options.out)
        options.out.with_suffix(".md").write_text(text, encoding="utf-8")
    report.state()


if __name__ == "__main__":
    main()
