"""A search as an estimator of scikit-learn."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import ClassifierTags, RegressorTags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from tune_jobs.engine.data.splitting import Array
from tune_jobs.engine.names import nearest
from tune_jobs.sklearn.targets import Task

if TYPE_CHECKING:
    from tune_jobs.engine.experiments.experiment import Experiment
    from tune_jobs.engine.job.profile import Profile


class SearchCV(BaseEstimator):  # type: ignore[misc]
    """Search the hyperparameters of a Keras model by cross-validation, and fit the best.

    Args:
        build: returns a compiled model for a config, a dict of the space's hyperparameters and of
            ``input_shape``, ``outputs``, ``task`` and ``rows`` of the data.
        space: the hyperparameters, as a job has them.
        searcher: chooses configs; the default is the engine's.
        scheduler: stops configs early, None to train all of them.
        n_iter: how many configs are tried.
        cv: the folds, as for ``GridSearchCV``.
        scoring: the scorers, as for ``GridSearchCV``; the default is accuracy or R2.
        refit: whether to train the best config on all rows; with several scorers the name of the
            one that decides, or a function that chooses from ``cv_results_``.
        epochs: the most epochs of a fit. The epoch at which the mean score of the folds is best
            counts, and the final model is trained for as many epochs.
        patience: how many epochs without a better score a fold trains on, None for all.
        callbacks: of Keras, given to each fit.
        task: ``classification`` or ``regression``; None to find it from the target.
        error_score: the score of a config whose fit fails, or ``"raise"``.
        random_state: what all seeds derive from.
        profile: where the fits run; the default is this machine.
        name: what the names of experiments begin with.
        verbose: above 0, a live view of the search is shown.
    """

    def __new__(cls, *_: Any, **named: Any) -> SearchCV:
        """Refuse an unknown setting.

        Raises:
            TypeError: naming it, and the nearest known one.
        """
        known = cls._get_param_names()
        for name in named:
            if name not in known and cls.__init__ is SearchCV.__init__:
                raise TypeError(f"{cls.__name__} has no setting {name!r}{nearest(name, known)}")
        made: SearchCV = super().__new__(cls)
        return made

    def __init__(
        self,
        build: Callable[[dict[str, Any]], Any],
        space: dict[str, Any],
        *,
        searcher: Any = None,
        scheduler: Any = None,
        n_iter: int = 10,
        cv: Any = 5,
        scoring: Any = None,
        refit: Any = True,
        epochs: int = 10,
        patience: int | None = None,
        callbacks: Sequence[Any] = (),
        task: Task | None = None,
        error_score: float | str = math.nan,
        random_state: Any = None,
        profile: Profile | None = None,
        name: str = "search_cv",
        verbose: int = 0,
    ) -> None:
        self.build = build
        self.space = space
        self.searcher = searcher
        self.scheduler = scheduler
        self.n_iter = n_iter
        self.cv = cv
        self.scoring = scoring
        self.refit = refit
        self.epochs = epochs
        self.patience = patience
        self.callbacks = callbacks
        self.task = task
        self.error_score = error_score
        self.random_state = random_state
        self.profile = profile
        self.name = name
        self.verbose = verbose

    def set_params(self, **params: Any) -> SearchCV:
        """Change settings.

        Raises:
            ValueError: for an unknown one, naming it and the nearest known one.
        """
        known = self._get_param_names()
        for name in params:
            if name.partition("__")[0] not in known:
                raise ValueError(
                    f"{type(self).__name__} has no setting {name!r}{nearest(name, known)}"
                )
        super().set_params(**params)
        return self

    def fit(self, X: Any, y: Any = None, **params: Any) -> SearchCV:  # noqa: N803
        """Search, and fit the best config to all rows.

        Args:
            X: the features.
            y: the target.
            **params: ``sample_weight`` and ``groups``, a value per row.

        Raises:
            ValueError: for data or settings that cannot be searched.
        """
        from tune_jobs.sklearn.fit import fit_search

        fit_search(self, X, y, params)
        return self

    # What ``set_fit_request`` knows, since ``fit`` names no argument.
    __metadata_request__fit: ClassVar[dict[str, Any]] = {"sample_weight": None}

    def get_metadata_routing(self) -> Any:
        """Return who gets what ``fit`` is given, for scikit-learn's metadata routing."""
        from tune_jobs.sklearn.scoring import find_scorers
        from tune_jobs.sklearn.settings import make_router

        scorers = {} if self.scoring is None else find_scorers(self.scoring, "accuracy")
        return make_router(self, scorers)

    def predict(self, X: Any) -> Array:  # noqa: N803
        """Predict by the best config's model."""
        return np.asarray(self._fitted("predict").predict(self._check(X)))

    def _is_classifier(self) -> bool:
        """Return whether the target is classes, or may be."""
        if getattr(self, "task_", self.task) == "regression":
            raise AttributeError("a regressor has no probabilities")
        return True

    @available_if(_is_classifier)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> Array:  # noqa: N803
        """Return the probability of each class by the best config's model."""
        return np.asarray(self._fitted("predict_proba").predict_proba(self._check(X)))

    @available_if(_is_classifier)  # type: ignore[untyped-decorator]
    def decision_function(self, X: Any) -> Array:  # noqa: N803
        """Return the log-odds of each class by the best config's model."""
        return np.asarray(self._fitted("decision_function").decision_function(self._check(X)))

    def score(self, X: Any, y: Any = None, **params: Any) -> float:  # noqa: N803
        """Score the best config's model by the scorer that has chosen it, else by the first."""
        self._fitted("score")
        scorer = self.scorer_
        if isinstance(scorer, dict):
            scorer = scorer[self.refit if isinstance(self.refit, str) else next(iter(scorer))]
        return float(scorer(self, X, y, **params))

    @property
    def classes_(self) -> Any:
        """The classes in the order of their probabilities."""
        return self._fitted("classes_").classes_

    @property
    def experiment_(self) -> Experiment:
        """The search as an experiment: its history, its trials and its report."""
        from tune_jobs.engine.experiments.experiment import open_experiment

        check_is_fitted(self, "cv_results_")
        return open_experiment(self.experiment_path_)

    def _fitted(self, name: str) -> Any:
        """Return the best config's estimator.

        Raises:
            NotFittedError: before a fit.
            AttributeError: after one with ``refit=False``.
        """
        check_is_fitted(self, "cv_results_")
        if not hasattr(self, "best_estimator_"):
            raise AttributeError(
                f"{name} needs the best config trained on all rows, but refit is {self.refit!r}"
            )
        return self.best_estimator_

    def _check(self, X: Any) -> Any:  # noqa: N803
        from tune_jobs.sklearn.inputs import read_features

        return read_features(self, X, reset=False)

    def __sklearn_tags__(self) -> Any:
        """Say what the estimator is: a classifier or a regressor by its target."""
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.multi_output = False
        task = getattr(self, "task_", self.task)
        if task == "classification":
            tags.estimator_type = "classifier"
            tags.classifier_tags = ClassifierTags()
        elif task == "regression":
            tags.estimator_type = "regressor"
            tags.regressor_tags = RegressorTags()
        return tags


# What scikit-learn and editors read of a class is its ``__init__``, not its ``__new__``.
SearchCV.__new__.__signature__ = inspect.signature(SearchCV.__init__)  # type: ignore[attr-defined]
