"""A stage of a search that goes from coarse to fine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tune_jobs.engine.errors import JobError, check_whole_number


@dataclass(frozen=True)
class Stage:
    """A part of a search, with its own number of trials and maximum epochs.

    All stages are one search: a later one continues with the searcher, the scheduler and the best
    trials of the earlier ones.

    Attributes:
        num_samples: trials of this stage (per point of a grid).
        max_epochs: ceiling of epochs; None for the job's.
        zoom: the share of the best trials so far that the narrower space of this stage has to
            hold (:func:`~tune_jobs.engine.analysis.narrow_space.narrow`); None for the whole space.

    Raises:
        JobError: for a field that is not as it must be.
    """

    num_samples: int
    max_epochs: int | None = None
    zoom: float | None = None

    def __post_init__(self) -> None:
        check_whole_number("Stage: num_samples", self.num_samples, 1)
        if self.max_epochs is not None:
            check_whole_number("Stage: max_epochs", self.max_epochs, 1)
        if self.zoom is not None and not 0 < self.zoom < 1:
            raise JobError(f"Stage: zoom is {self.zoom!r}, but must be a fraction between 0 and 1")


def check_stages(stages: Sequence[Stage], max_epochs: int) -> None:
    """Refuse stages that do not lead from coarse to fine.

    Args:
        stages: a job's, in order.
        max_epochs: the job's own ceiling.

    Raises:
        JobError: saying which.
    """
    ceiling = 0
    for number, stage in enumerate(stages, 1):
        epochs = stage.max_epochs or max_epochs
        if epochs > max_epochs:
            raise JobError(
                f"stage {number} has max_epochs {epochs}, more than the job's {max_epochs}"
            )
        if epochs < ceiling:
            raise JobError(
                f"stage {number} has max_epochs {epochs}, less than the {ceiling} of the stage "
                "before it"
            )
        ceiling = epochs
    if stages and stages[0].zoom is not None:
        raise JobError("stage 1 has a zoom, but there are no earlier trials to narrow the space by")
