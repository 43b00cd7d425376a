"""The pulse of a run: how far it is, in its lease, so that looking on needs no history."""

from __future__ import annotations

from typing import Any

from tune_jobs.engine.experiments.lease import Lease
from tune_jobs.engine.experiments.segments import Record
from tune_jobs.engine.views.board import Board


class Pulse:
    """Tells a lease how far its run is; a listener like any view.

    Args:
        lease: what is told.
        board: of the run's job.
    """

    def __init__(self, lease: Lease, board: Board) -> None:
        self._lease, self._board = lease, board

    def __call__(self, record: Record | None) -> None:
        """Take a record in."""
        if record is None:
            return
        board = self._board
        board.update(record)
        self._lease.facts = {
            "states": dict(board.states),
            "target": board.num_trials,
            "in_finals": board.in_finals,
            "best": board.best["value"] if board.best else None,
        }

    def __getstate__(self) -> dict[str, Any]:
        """A lease stays where it is when Ray pickles its callbacks."""
        return {}
