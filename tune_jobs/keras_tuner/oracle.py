"""What chooses the configurations of a search, and what a program reads of their trials."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tune_jobs.engine.errors import JobError, check_whole_number
from tune_jobs.engine.job.job import MakeScheduler
from tune_jobs.engine.names import nearest, refuse_unknown
from tune_jobs.engine.search.schedulers import Hyperband as HyperbandScheduler
from tune_jobs.engine.search.searchers import Auto, InOrder, MakeSearcher, RandomSearch
from tune_jobs.keras_tuner.hyperparameters import HyperParameters
from tune_jobs.keras_tuner.objective import Objective, make_objective
from tune_jobs.keras_tuner.trials import Trial, rank

if TYPE_CHECKING:
    from tune_jobs.engine.space.domains import Space

logger = logging.getLogger(__name__)

# What KerasTuner's Gaussian process is given unless a program says otherwise.
ALPHA, BETA = 1e-4, 2.6


@dataclass(frozen=True)
class Plan:
    """How the engine searches a space.

    Attributes:
        searcher: what chooses.
        scheduler: what stops trials early, None for nothing.
        trials: how many there are.
        max_epochs: of each trial, None for those that ``search`` is given.
    """

    searcher: MakeSearcher
    trials: int
    scheduler: MakeScheduler | None = None
    max_epochs: int | None = None


class Oracle:
    """The settings of a search, and its trials.

    Attributes:
        values_of_ranges: how many values a range without a step has, None for all.
        objective: the metric that decides.
        max_trials: how many configurations are tried, None for all.
        hyperparameters: what the program has declared in advance.
        seed: all other seeds derive from it.
        joined: the defaults of hyperparameters that joined the space in mid-search.
    """

    values_of_ranges: int | None = None

    def __init__(
        self,
        objective: Any = None,
        max_trials: int | None = None,
        hyperparameters: HyperParameters | None = None,
        allow_new_entries: bool = True,
        tune_new_entries: bool = True,
        seed: int | None = None,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int | None = 3,
        **unknown: Any,
    ) -> None:
        for name in unknown:
            raise JobError(f"unknown argument {name!r}{nearest(name, arguments_of(type(self)))}")
        self.objective: Objective = make_objective(objective)
        if max_trials is not None:
            check_whole_number("max_trials", max_trials, 1)
        check_whole_number("max_retries_per_trial", max_retries_per_trial, 0)
        if max_consecutive_failed_trials is not None:
            check_whole_number("max_consecutive_failed_trials", max_consecutive_failed_trials, 1)
        if seed is not None:
            check_whole_number("seed", seed, 0)
        if hyperparameters is not None and not isinstance(hyperparameters, HyperParameters):
            raise JobError(f"hyperparameters is {hyperparameters!r}, but must be HyperParameters")
        if not tune_new_entries and not allow_new_entries and hyperparameters is None:
            raise JobError("allow_new_entries is False, but hyperparameters declares nothing")
        self.max_trials = max_trials
        self.hyperparameters = hyperparameters or HyperParameters()
        self.allow_new_entries = allow_new_entries
        self.tune_new_entries = tune_new_entries
        self.seed = seed
        self.max_retries_per_trial = max_retries_per_trial
        self.max_consecutive_failed_trials = max_consecutive_failed_trials
        self.joined: dict[str, Any] = {}
        self.read: Callable[[], dict[str, Trial]] = dict

    def plan(self, space: Space) -> Plan:  # noqa: ARG002
        """Return how the engine searches a space: at random, unless a subclass says otherwise."""
        return Plan(RandomSearch(), self.max_trials or 10)

    @property
    def trials(self) -> dict[str, Trial]:
        """All trials by their ids."""
        return self.read()

    def get_trial(self, trial_id: str) -> Trial:
        """Return the trial with an id."""
        return self.trials[trial_id]

    @refuse_unknown("oracle")
    def get_best_trials(self, num_trials: int = 1) -> list[Trial]:
        """Return the trials with the best scores, the best first."""
        return rank(list(self.trials.values()), self.objective)[:num_trials]

    def get_space(self) -> HyperParameters:
        """Return a copy of the hyperparameters."""
        return self.hyperparameters.copy()

    def update_space(self, hyperparameters: HyperParameters) -> None:
        """Add hyperparameters, if new ones are allowed.

        Raises:
            RuntimeError: if they are not, and there are new ones.
        """
        known = {each.name for each in self.hyperparameters.space}
        new = [each for each in hyperparameters.space if each.name not in known]
        if new and not self.allow_new_entries:
            raise RuntimeError(
                f"allow_new_entries is False, but {new[0].name!r} is not in hyperparameters"
            )
        if self.tune_new_entries:
            self.hyperparameters.merge(new)

    def __getstate__(self) -> dict[str, Any]:
        """Leave what reads results out of what travels to workers."""
        return {name: value for name, value in vars(self).items() if name != "read"}


def arguments_of(made: type) -> list[str]:
    """Return the names of what a tuner or an oracle takes, and the classes that it derives from."""
    inits = [vars(each)["__init__"] for each in made.__mro__[:-1] if "__init__" in vars(each)]
    taken = [each for own in inits for each in inspect.signature(own).parameters.values()]
    is_any = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    names = [each.name for each in taken if each.kind not in is_any]
    return [name for name in dict.fromkeys(names) if name not in ("self", "oracle")]


class RandomSearchOracle(Oracle):
    """Draws each configuration at random."""


class BayesianOptimizationOracle(Oracle):
    """Chooses with the engine's Gaussian process over configurations and epochs.

    Attributes:
        num_initial_points: how many random configurations come first, None for the engine's number.
    """

    def __init__(
        self,
        objective: Any = None,
        max_trials: int | None = 10,
        num_initial_points: int | None = None,
        alpha: float = ALPHA,
        beta: float = BETA,
        **kwargs: Any,
    ) -> None:
        super().__init__(objective, max_trials, **kwargs)
        if num_initial_points is not None:
            check_whole_number("num_initial_points", num_initial_points, 1)
        self.num_initial_points = num_initial_points
        self.alpha, self.beta = alpha, beta
        if (alpha, beta) != (ALPHA, BETA):
            logger.warning(
                "alpha and beta have no effect: the engine's Gaussian process fits its noise, and "
                "chooses by expected improvement"
            )

    def plan(self, space: Space) -> Plan:  # noqa: ARG002
        """Return the engine's choice of a model."""
        points = self.num_initial_points
        searcher = Auto() if points is None else Auto(points)
        return Plan(searcher, self.max_trials or 10)


class HyperbandOracle(Oracle):
    """Begins with many configurations of few epochs, and trains the better ones further.

    Attributes:
        max_epochs: of the configurations that are trained to the end.
        factor: one in this many is trained further, to this many times the epochs.
        hyperband_iterations: how often all brackets are run.
    """

    def __init__(
        self,
        objective: Any = None,
        max_epochs: int = 100,
        factor: int = 3,
        hyperband_iterations: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(objective, **kwargs)
        check_whole_number("max_epochs", max_epochs, 1)
        check_whole_number("factor", factor, 2)
        if not isinstance(hyperband_iterations, int | float) or hyperband_iterations <= 0:
            raise JobError(
                f"hyperband_iterations is {hyperband_iterations!r}, but must be a number > 0"
            )
        self.max_epochs, self.factor = max_epochs, factor
        self.hyperband_iterations = hyperband_iterations

    def plan(self, space: Space) -> Plan:  # noqa: ARG002
        """Return the engine's Hyperband, whose brackets continue where they paused."""
        scheduler = HyperbandScheduler(self.factor, resume=True)
        count = sum(scheduler.sizes(self.max_epochs))
        trials = max(1, round(count * self.hyperband_iterations))
        return Plan(RandomSearch(), trials, scheduler, self.max_epochs)


class GridSearchOracle(Oracle):
    """Tries all configurations in their order; of a range without a step ten values."""

    values_of_ranges = 10

    def plan(self, space: Space) -> Plan:
        """Return the order of the configurations."""
        from tune_jobs.engine.space.grid import count_points

        count = count_points(space)
        return Plan(InOrder(), count if self.max_trials is None else min(self.max_trials, count))


class WorkerOracle:
    """What a program's ``run_trial`` finds as its tuner's oracle on a worker."""

    def __init__(self, oracle: Oracle, note: Callable[[Mapping[str, Any]], None]) -> None:
        self.objective, self._note = oracle.objective, note

    def update_trial(self, trial_id: str, metrics: Mapping[str, Any], step: int = 0) -> str:  # noqa: ARG002
        """Note the metrics of a trial."""
        self._note(metrics)
        return "RUNNING"
