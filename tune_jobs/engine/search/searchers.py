"""Recipes that build a searcher for each run: a searcher serves one experiment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from tune_jobs.engine.errors import JobError

if TYPE_CHECKING:
    from ray.tune.search import Searcher

    from tune_jobs.engine.search.space_searcher import SpaceSearcher


# Builds a searcher from a seed.
MakeSearcher: TypeAlias = "Callable[[int], Searcher]"


@dataclass(frozen=True)
class RandomSearch:
    """Independent draws from the space; with ``as_grid``, the points of the grid in order."""

    def __call__(self, seed: int) -> SpaceSearcher:
        """Build a searcher, which Tune then gives the space."""
        from tune_jobs.engine.search.space_searcher import RandomDraws

        return RandomDraws(seed)


@dataclass(frozen=True)
class InOrder:
    """The configurations of a finite space, one after another, conditions expanded."""

    def __call__(self, seed: int) -> SpaceSearcher:  # noqa: ARG002  # nothing is drawn
        """Build a searcher, which Tune then gives the space."""
        from tune_jobs.engine.search.space_searcher import OrderedPoints

        return OrderedPoints()


@dataclass(frozen=True)
class Auto:
    """The Gaussian process in searches of up to 1,000 trials, TPE after that.

    Random configurations come first, until ``n_initial_points`` have a loss or failed.
    """

    n_initial_points: int = 8

    def __post_init__(self) -> None:
        _check_initial_points(self)

    def __call__(self, seed: int) -> SpaceSearcher:
        """Build a searcher, which Tune then gives the space."""
        from tune_jobs.engine.search.auto import AutoModel
        from tune_jobs.engine.search.model_searcher import ModelSearcher

        return ModelSearcher(AutoModel(), seed, self.n_initial_points)


@dataclass(frozen=True)
class TPE:
    """A tree-structured Parzen estimator with one joint kernel (Watanabe 2023).

    Random configurations come first, until ``n_initial_points`` have a loss or failed; then
    configurations are drawn where the best ``gamma`` of those seen are denser than the rest. A
    branch's hyperparameters are modelled among the trials that have them, and the n-th layer is one
    hyperparameter in networks of any depth. In a space with branches, every fourth suggestion or so
    visits one of them by lot. Configurations like those that failed are avoided.
    """

    n_initial_points: int = 10
    gamma: float = 0.15

    def __post_init__(self) -> None:
        _check_initial_points(self)
        _check_gamma(self)

    def __call__(self, seed: int) -> SpaceSearcher:
        """Build a searcher, which Tune then gives the space."""
        from tune_jobs.engine.search.model_searcher import ModelSearcher
        from tune_jobs.engine.search.tpe import JointTPE

        return ModelSearcher(JointTPE(self.gamma), seed, self.n_initial_points)


@dataclass(frozen=True)
class GaussianProcess:
    """Bayesian optimisation with a Gaussian process over configs and epochs.

    It reads every epoch of every trial, predicts the loss at ``max_epochs`` and chooses the config
    with the largest expected improvement. Random configurations come first, until
    ``n_initial_points`` have a loss or failed.
    If trials have several epochs and the space has branches, every fourth suggestion or so visits
    one of them by lot: few of its trials may have been trained long enough to speak for it.
    """

    n_initial_points: int = 8

    def __post_init__(self) -> None:
        _check_initial_points(self)

    def __call__(self, seed: int) -> SpaceSearcher:
        """Build a searcher, which Tune then gives the space."""
        from tune_jobs.engine.search.gaussian.curve_model import CurveModel
        from tune_jobs.engine.search.model_searcher import ModelSearcher

        return ModelSearcher(CurveModel(), seed, self.n_initial_points)


@dataclass(frozen=True)
class HyperOptTPE:
    """The tree-structured Parzen estimator of HyperOpt (Bergstra et al. 2011).

    ``n_initial_points`` random configurations come first; then each hyperparameter is drawn by
    itself, where the best ``gamma`` of the trials that have it are denser than the rest.
    """

    n_initial_points: int = 10
    gamma: float = 0.25

    def __post_init__(self) -> None:
        _check_initial_points(self)
        _check_gamma(self)

    def __call__(self, seed: int) -> SpaceSearcher:
        """Build a searcher, which Tune then gives the space."""
        from tune_jobs.engine.search.hyperopt_searcher import HyperOptSearcher

        return HyperOptSearcher(seed, n_initial_points=self.n_initial_points, gamma=self.gamma)


def make_recipe(name: str) -> MakeSearcher:
    """Return the recipe that the command line calls so, with its defaults."""
    return RECIPES[name]()


def _check_initial_points(recipe: Auto | TPE | GaussianProcess | HyperOptTPE) -> None:
    if recipe.n_initial_points < 1:
        raise JobError(
            f"{type(recipe).__name__}: n_initial_points is {recipe.n_initial_points}, "
            "but must be >= 1"
        )


def _check_gamma(recipe: TPE | HyperOptTPE) -> None:
    if not 0 < recipe.gamma < 1:
        name = type(recipe).__name__
        raise JobError(f"{name}: gamma is {recipe.gamma}, but must be between 0 and 1")


RECIPES: Mapping[str, Callable[[], MakeSearcher]] = {
    "auto": Auto,
    "tpe": TPE,
    "gp": GaussianProcess,
    "random": RandomSearch,
    "hyperopt": HyperOptTPE,
}
