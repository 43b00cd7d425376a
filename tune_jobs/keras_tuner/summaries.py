"""What a program prints of a search: its space, and its best trials."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tune_jobs.engine.terminal import write
from tune_jobs.keras_tuner.declarations import describe

if TYPE_CHECKING:
    from tune_jobs.keras_tuner.hyperparameters import HyperParameters
    from tune_jobs.keras_tuner.oracle import Oracle
    from tune_jobs.keras_tuner.trials import Trial

# An objective that is the same fewer times than this may be so by chance.
FEWEST_VALUES = 3


def print_space(hp: HyperParameters) -> None:
    """Print each hyperparameter with its facts."""
    write("Search space summary")
    write(f"Default search space size: {len(hp.space)}")
    for each in hp.space:
        facts = describe(each)["config"]
        write(f"{each.name} ({type(each).__name__})")
        write({name: fact for name, fact in facts.items() if name != "name"})


def print_results(place: str, oracle: Oracle, num_trials: int) -> None:
    """Print the best trials of a search."""
    best = oracle.get_best_trials(num_trials)
    write("Results summary")
    write(f"Results in {place}")
    write(f"Showing {len(best)} best trials")
    write(oracle.objective)
    if warning := find_constant(oracle.trials.values(), oracle.objective.name):
        write(f"Warning: {warning}")
    for trial in best:
        write("")
        trial.summary()


def find_constant(trials: Iterable[Trial], name: str) -> str | None:
    """Return a warning if an objective has one value in all epochs of several trials, else None."""
    curves = [trial.metrics.curves[name] for trial in trials if name in trial.metrics.curves]
    values = [value for curve in curves for _, value in curve]
    if len(curves) < 2 or len(values) < FEWEST_VALUES or len(set(values)) > 1:
        return None
    return (
        f"every trial has {name} {values[0]:g} in all its epochs, so that the search cannot tell "
        "good trials from bad ones: check that the metric and the loss fit the targets and the "
        "last layer"
    )
