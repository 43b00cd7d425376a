"""The pulse of a run: its progress, kept in its lease, so that `ls` need not read the history."""

from __future__ import annotations

from tune_jobs.engine.experiments.history.records import Event
from tune_jobs.engine.experiments.lease import Lease
from tune_jobs.engine.views.board import Board


class Pulse:
    """Keeps the progress of a run in its lease; a listener like any view.

    Args:
        lease: of the run.
        board: of the run's job.
    """

    def __init__(self, lease: Lease, board: Board) -> None:
        self._lease, self._board = lease, board

    def __call__(self, event: Event | None) -> None:
        """Take in a record or an event."""
        if event is None:
            return
        board = self._board
        board.update(event)
        self._lease.facts = {
            "states": dict(board.states),
            "target": board.num_trials,
            "in_finals": board.in_finals,
            "left": board.seconds_left,
            "best": board.best.value if board.best else None,
        }

    def __getstate__(self) -> dict[str, object]:
        """Leave the lease out of what Ray pickles of its callbacks."""
        return {}
