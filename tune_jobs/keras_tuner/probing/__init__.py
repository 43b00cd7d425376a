"""Find what a ``build`` declares by calling it: hyperparameters, their conditions, unread ones."""

from tune_jobs.keras_tuner.probing.exploration import find_space

__all__ = ["find_space"]
