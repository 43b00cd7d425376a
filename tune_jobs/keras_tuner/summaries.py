"""What a program prints of a search: its space, and its best trials."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tune_jobs.engine.terminal import write
from tune_jobs.keras_tuner.declarations import describe

if TYPE_CHECKING:
    from tune_jobs.keras_tuner.hyperparameters import HyperParameters
    from tune_jobs.keras_tuner.oracle import Oracle


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
    for trial in best:
        write("")
        trial.summary()
