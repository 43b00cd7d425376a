"""Recipes that build Ray's schedulers for each run, with the job's epoch budget."""

from __future__ import annotations

from dataclasses import dataclass

from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    HyperBandScheduler,
    MedianStoppingRule,
    TrialScheduler,
)

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.ray_internals import rungs_of

EPOCH = "training_iteration"  # Ray counts reports, unless a report says its epoch itself.


@dataclass(frozen=True)
class ASHA:
    """Asynchronous successive halving (Li et al. 2020).

    At rungs of ``grace_period``, ``grace_period * reduction_factor``, ... epochs a trial
    continues only if it is among the best ``1 / reduction_factor`` seen there.
    """

    grace_period: int = 1
    reduction_factor: float = 3
    brackets: int = 1

    def __call__(self, max_epochs: int) -> TrialScheduler:
        """Build the scheduler, refusing a grace period that no trial could reach."""
        _check_grace_period(self.grace_period, max_epochs)
        _check_reduction_factor(self.reduction_factor)
        return AsyncHyperBandScheduler(
            time_attr=EPOCH,
            max_t=max_epochs,
            grace_period=self.grace_period,
            reduction_factor=self.reduction_factor,
            brackets=self.brackets,
        )

    def rungs(self, max_epochs: int) -> list[int]:
        """Return the epochs at which trials are compared; between them they need not report."""
        return rungs_of(self(max_epochs))


@dataclass(frozen=True)
class Hyperband:
    """Synchronous Hyperband (Li et al. 2018): rungs wait for each other, trials pause between."""

    reduction_factor: float = 3

    def __call__(self, max_epochs: int) -> TrialScheduler:
        """Build the scheduler."""
        _check_reduction_factor(self.reduction_factor)
        return HyperBandScheduler(
            time_attr=EPOCH, max_t=max_epochs, reduction_factor=self.reduction_factor
        )


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
