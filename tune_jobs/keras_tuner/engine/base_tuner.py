"""As KerasTuner's module of this name."""

from tune_jobs.keras_tuner.tuner import Tuner as BaseTuner

__all__ = ["BaseTuner"]
