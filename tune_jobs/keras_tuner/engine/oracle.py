"""As KerasTuner's module of this name."""

from tune_jobs.keras_tuner.oracle import Oracle

__all__ = ["Oracle"]
