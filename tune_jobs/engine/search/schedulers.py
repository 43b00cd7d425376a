"""Recipes that build Ray's schedulers for each run, with the job's epoch budget."""

from __future__ import annotations

from dataclasses import dataclass

from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    HyperBandScheduler,
    MedianStoppingRule,
    PopulationBasedTraining,
    PopulationBasedTrainingReplay,
    TrialScheduler,
)

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.ray_internals import rungs_of
from tune_jobs.engine.search.promotion.brackets import Bracket, Brackets, plan_brackets
from tune_jobs.engine.search.promotion.rungs import Rungs
from tune_jobs.engine.search.promotion.scheduler import PromotingScheduler

EPOCH = "training_iteration"  # Ray counts reports, unless a report says its epoch itself.

# What ASHA does if the job does not say: one trial in so many continues, and the first rung is at
# one epoch for each so many of the budget.
REDUCTION_FACTOR, BUDGET_PER_GRACE = 3, 27


@dataclass(frozen=True)
class ASHA:
    """Asynchronous successive halving (Li et al. 2020).

    At rungs of ``grace_period``, ``grace_period * reduction_factor``, ... epochs a trial
    continues only if it is among the best ``1 / reduction_factor`` seen there.

    If the job does not say, the reduction factor is 3 and the first rung is at ``max_epochs // 27``
    epochs, at least 1: trials are compared after 1, 3 and 9 of 27 epochs, and after 3, 9 and 27
    of 81. A later first rung trains hopeless trials for too long.

    Attributes:
        grace_period: the first rung, None to choose it from the budget.
        reduction_factor: one in this many continues, None for 3.
        brackets: how many sets of rungs there are, each beginning one rung later.
        resume: whether a trial that does not continue waits, its checkpoint kept, and trains
            further once it is among the best because worse ones came in; else it is stopped.
            ``max_checkpoint_gb`` deletes no checkpoint of a trial that waits. The trials that still
            wait when all others have ended are stopped. In a run that is cut off they wait for the
            next one with ``--resume``; those that were stopped are promoted too if more trials come
            and their checkpoints exist.
    """

    grace_period: int | None = None
    reduction_factor: float | None = None
    brackets: int = 1
    resume: bool = False

    def __call__(self, max_epochs: int) -> TrialScheduler:
        """Build the scheduler, refusing a grace period that no trial could reach."""
        stopping = self._stopping(max_epochs)
        if not self.resume:
            return stopping
        if self.brackets != 1:
            raise JobError(f"brackets is {self.brackets}, but must be 1 with resume=True")
        epochs = [rung for rung in rungs_of(stopping) if rung < max_epochs]
        return PromotingScheduler(Rungs(epochs, self._factor), max_epochs)

    def rungs(self, max_epochs: int) -> list[int]:
        """Return the epochs at which trials are compared; between them they need not report."""
        return rungs_of(self._stopping(max_epochs))

    @property
    def _factor(self) -> float:
        return REDUCTION_FACTOR if self.reduction_factor is None else self.reduction_factor

    def _stopping(self, max_epochs: int) -> AsyncHyperBandScheduler:
        grace_period = self.grace_period
        if grace_period is None:
            grace_period = max(1, max_epochs // BUDGET_PER_GRACE)
        _check_grace_period(grace_period, max_epochs)
        _check_reduction_factor(self._factor)
        return AsyncHyperBandScheduler(
            time_attr=EPOCH,
            max_t=max_epochs,
            grace_period=grace_period,
            reduction_factor=self._factor,
            brackets=self.brackets,
        )


@dataclass(frozen=True)
class Hyperband:
    """Synchronous Hyperband (Li et al. 2018): rungs wait for each other, trials pause between.

    Attributes:
        reduction_factor: one in this many trains beyond a rung.
        resume: whether the search can be continued. Its brackets begin with ``reduction_factor``
            times as many trials as the next one (8, 4, 2 and 1 for 8 epochs and a factor of 2), in
            the order of the trials; :meth:`sizes` says how many trials all of them have. Else the
            brackets are those of Ray.
    """

    reduction_factor: float = 3
    resume: bool = False

    def __call__(self, max_epochs: int) -> TrialScheduler:
        """Build the scheduler."""
        _check_reduction_factor(self.reduction_factor)
        if self.resume:
            return PromotingScheduler(Brackets(self._plans(max_epochs)), max_epochs)
        return HyperBandScheduler(
            time_attr=EPOCH, max_t=max_epochs, reduction_factor=self.reduction_factor
        )

    def rungs(self, max_epochs: int) -> list[int] | None:
        """Return the epochs at which trials are compared, None if that may be after any."""
        if not self.resume:
            return None
        return sorted({epoch for plan in self._plans(max_epochs) for epoch in plan.epochs})

    def sizes(self, max_epochs: int) -> list[int]:
        """Return how many trials the brackets begin with."""
        return [plan.sizes[0] for plan in self._plans(max_epochs)]

    def _plans(self, max_epochs: int) -> list[Bracket]:
        return plan_brackets(max_epochs, self.reduction_factor)


@dataclass(frozen=True)
class MedianStopping:
    """Stop a trial whose best is worse than the median of the others' running means.

    Source: Golovin et al. 2017 (Vizier). ``min_samples`` trials must have been seen first.
    """

    grace_period: int = 1
    min_samples: int = 3

    def __call__(self, max_epochs: int) -> TrialScheduler:
        """Build the scheduler, refusing a grace period that no trial could reach."""
        _check_grace_period(self.grace_period, max_epochs)
        return MedianStoppingRule(
            time_attr=EPOCH,
            grace_period=self.grace_period,
            min_samples_required=self.min_samples,
        )


def check_scheduler(scheduler: object) -> None:
    """Refuse what is no scheduler, and one that changes the configs of trials while they train.

    Such a trial copies another one's checkpoint, which may be deleted by then, and its value is not
    that of the config it started with.

    Raises:
        JobError: naming it.
    """
    if not isinstance(scheduler, TrialScheduler):
        raise JobError(
            f"scheduler(max_epochs) returned a {type(scheduler).__name__}, but must return a Ray "
            "Tune TrialScheduler"
        )
    if changes_configs(scheduler):
        raise JobError(
            f"a job cannot use {type(scheduler).__name__}, whose trials copy each other's "
            "checkpoints and change their configs; replace JOB by def tuner(profile, name) in its "
            "module, which returns a ray.tune.Tuner of your own"
        )


def changes_configs(scheduler: object) -> bool:
    """Return whether a scheduler changes the configs of trials while they train."""
    return isinstance(scheduler, PopulationBasedTraining | PopulationBasedTrainingReplay)


def _check_grace_period(grace_period: int, max_epochs: int) -> None:
    if not isinstance(grace_period, int) or grace_period < 1:
        raise JobError(f"grace_period is {grace_period!r}, but must be an integer >= 1")
    if grace_period > max_epochs:
        raise JobError(
            f"grace_period is {grace_period} epochs but max_epochs is {max_epochs}: "
            "no trial would reach the first rung"
        )


def _check_reduction_factor(reduction_factor: float) -> None:
    if not reduction_factor > 1:
        raise JobError(f"reduction_factor is {reduction_factor}, but must be above 1")
