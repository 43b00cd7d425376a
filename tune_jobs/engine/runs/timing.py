"""The time of a run, and the shares of it that search and export may use."""

from __future__ import annotations

from dataclasses import dataclass

from tune_jobs.engine.deadline import Deadline

# The share of a run's time that its search may use; the rest is kept for the finals.
SEARCH_SHARE = 0.75

# The export gets at least so many seconds, even if the deadline is nearer or past.
EXPORT_SECONDS = 120.0


@dataclass(frozen=True)
class Timing:
    """When a run began, and when it has to end.

    Attributes:
        began: in seconds since 1970.
        deadline: the run's, which is also that of its finals.
        spent: the workers' seconds in earlier runs of the experiment.
    """

    began: float
    deadline: Deadline
    spent: float = 0.0

    def search_deadline(self, *, has_finals: bool) -> Deadline:
        """Return when the search has to end, so that finals have time left."""
        return self.deadline.share(SEARCH_SHARE, self.began) if has_finals else self.deadline

    @property
    def export_deadline(self) -> Deadline:
        """When the winner's model has to be made, if that starts now."""
        return self.deadline.at_least(EXPORT_SECONDS)
