"""As KerasTuner's module of this name."""

from tune_jobs.keras_tuner.trials import Trial, TrialStatus

__all__ = ["Trial", "TrialStatus"]
