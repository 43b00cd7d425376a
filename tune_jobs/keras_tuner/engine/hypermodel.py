"""As KerasTuner's module of this name."""

from tune_jobs.keras_tuner.hypermodel import HyperModel

__all__ = ["HyperModel"]
