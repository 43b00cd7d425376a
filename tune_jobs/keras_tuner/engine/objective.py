"""As KerasTuner's module of this name."""

from tune_jobs.keras_tuner.objective import Objective

__all__ = ["Objective"]
