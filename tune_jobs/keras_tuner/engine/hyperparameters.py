"""As KerasTuner's module of this name."""

from tune_jobs.keras_tuner.hyperparameters import HyperParameters

__all__ = ["HyperParameters"]
