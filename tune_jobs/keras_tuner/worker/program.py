"""What search and training need of a tuner, which a program may derive from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from tune_jobs.keras_tuner.hypermodel import HyperModel
    from tune_jobs.keras_tuner.hyperparameters import HyperParameters
    from tune_jobs.keras_tuner.trials import Trial


class Program(Protocol):
    """A tuner.

    Attributes:
        oracle: the settings of the search; on a worker, what notes metrics.
        hypermodel: builds the models, None if ``run_trial`` does.
        worker: the training of the present trial, None but on a worker.
        executions_per_trial: how often each configuration is trained.
        max_model_size: the most parameters of a model, None for no limit.
        cv: how many folds there are, None for one validation set.
        finalists: how the winner is chosen, None for the best score.
    """

    oracle: Any
    hypermodel: HyperModel | None
    worker: Any
    executions_per_trial: int
    max_model_size: int | None
    cv: int | None
    finalists: Any

    @property
    def is_free(self) -> bool:
        """True if the program trains in a way of its own."""

    @property
    def runs_own_trials(self) -> bool:
        """True if the program has a ``run_trial`` of its own."""

    @property
    def program(self) -> Any:
        """What the program has written: a function, or a class."""

    def run_trial(self, trial: Trial, *args: Any, **kwargs: Any) -> Any:
        """Build and train the models of a trial."""

    def build_model(self, hp: HyperParameters) -> Any:
        """Build a model."""

    def fit_model(self, hp: HyperParameters, model: Any, *args: Any, **kwargs: Any) -> Any:
        """Train a model."""
