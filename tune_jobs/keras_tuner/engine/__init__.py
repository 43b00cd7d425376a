"""The modules of KerasTuner's engine that programs import names from."""

from tune_jobs.keras_tuner.engine import (
    base_tuner,
    hypermodel,
    hyperparameters,
    objective,
    oracle,
    trial,
    tuner,
)

__all__ = ["base_tuner", "hypermodel", "hyperparameters", "objective", "oracle", "trial", "tuner"]
