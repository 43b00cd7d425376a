"""Run KerasTuner programs on this engine: ``import tune_jobs.keras_tuner as kt``."""

from typing import Any

from tune_jobs.keras_tuner import engine, errors, oracles, tuners
from tune_jobs.keras_tuner.hypermodel import HyperModel
from tune_jobs.keras_tuner.hyperparameters import HyperParameters
from tune_jobs.keras_tuner.objective import Objective
from tune_jobs.keras_tuner.oracle import Oracle
from tune_jobs.keras_tuner.tuner import Tuner
from tune_jobs.keras_tuner.tuners import BayesianOptimization, GridSearch, Hyperband, RandomSearch

BaseTuner = Tuner

__all__ = [
    "BaseTuner",
    "BayesianOptimization",
    "GridSearch",
    "HyperModel",
    "HyperParameters",
    "Hyperband",
    "Objective",
    "Oracle",
    "RandomSearch",
    "Tuner",
    "engine",
    "errors",
    "oracles",
    "tuners",
]

# What KerasTuner has and this has not, and what to do instead.
ABSENT = {
    "applications": "write a build(hp) that returns a model of keras.applications",
    "SklearnTuner": "use SearchCV of tune_jobs.sklearn",
    "CloudLogger": "the engine logs to trackers: tune-jobs run --track",
    "distribute": "give profile=, which runs the search on a cluster",
}


def __getattr__(name: str) -> Any:
    if name in ABSENT:
        raise AttributeError(f"keras_tuner.{name} is not there; {ABSENT[name]}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
