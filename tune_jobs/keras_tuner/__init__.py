"""Run KerasTuner programs on this engine: ``import tune_jobs.keras_tuner as kt``."""

from tune_jobs.keras_tuner.hyperparameters import HyperParameters

__all__ = ["HyperParameters"]
