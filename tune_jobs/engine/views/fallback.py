"""A warning about trials that could not be compiled and therefore train more slowly."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from tune_jobs.engine.experiments.history.records import Event, Work
from tune_jobs.engine.formatting import count

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

MEANING = "could not be compiled and ran model.fit, which is slower"


class FallbackWarning:
    """Logs the reason for the first fallback of a run, and no other; a listener like any view."""

    def __init__(self) -> None:
        self._is_silent = False

    def __call__(self, event: Event | None) -> None:
        """Take in a record, and warn if it is the first with a fallback."""
        if isinstance(event, Work) and event.fallback and not self._is_silent:
            self._is_silent = True
            logger.warning(f"trial {event.trial} {MEANING}: {event.fallback}")

    def __getstate__(self) -> dict[str, object]:
        """Leave the state out of what Ray pickles of its callbacks."""
        return {}


def describe_fallbacks(trials: pd.DataFrame) -> list[str]:
    """Return one line that counts the trials that fell back, with their most common reason."""
    reasons = trials["fallback"].dropna()
    if reasons.empty:
        return []
    found = reasons.value_counts()
    others = f" (and {count(len(found) - 1, 'other reason')})" if len(found) > 1 else ""
    return [f"{len(reasons)} of {count(len(trials), 'trial')} {MEANING}: {found.index[0]}{others}"]
