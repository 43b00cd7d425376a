"""A search as an estimator of scikit-learn: ``SearchCV``."""

from tune_jobs.sklearn.search_cv import SearchCV

__all__ = ["SearchCV"]
