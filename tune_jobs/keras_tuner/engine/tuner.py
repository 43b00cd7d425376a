"""As KerasTuner's module of this name."""

from tune_jobs.keras_tuner.tuner import Tuner

__all__ = ["Tuner"]
