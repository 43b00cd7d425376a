"""The views of a running search: a live one, one line per event, or JSON for machines."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TextIO

from tune_jobs.engine.experiments.files import FINALISTS
from tune_jobs.engine.experiments.history.records import (
    Challenger,
    Chosen,
    Dropped,
    Epoch,
    Event,
    FinalsStart,
    Finish,
    Listener,
    SavedCheckpoint,
    SearchStart,
    TrialEnd,
    TrialStart,
)
from tune_jobs.engine.experiments.history.segments import to_json
from tune_jobs.engine.formatting import visible
from tune_jobs.engine.goal import Goal
from tune_jobs.engine.plain import plain
from tune_jobs.engine.terminal import write
from tune_jobs.engine.views.board import Board
from tune_jobs.engine.views.lines import cut, end_line, finals_line, headline, race_line, view_lines

if TYPE_CHECKING:
    from IPython.display import DisplayHandle
    from rich.console import Group
    from rich.live import Live

# The last line of a live view.
SAFE = "Ctrl-C is safe: what was found is kept, and the run can be continued"

# Decisions of the finals.
RACE = (Dropped, Chosen, Challenger)

# Events that machines get; the history has more.
PRINTED = (SearchStart, FinalsStart, TrialStart, Epoch, SavedCheckpoint, TrialEnd, Finish, *RACE)


def choose_view(num_trials: int, max_epochs: int, goal: Goal, *, as_json: bool = False) -> Listener:
    """Choose the view that suits the output: standard error, or a notebook's cell."""
    board = Board(num_trials, max_epochs, goal)
    if as_json:
        return JsonView(sys.stderr)
    if _in_notebook():
        return NotebookView(board)
    if sys.stderr.isatty():
        return LiveView(board)
    return LineView(board, sys.stderr)


class JsonView:
    """Prints one JSON object per event; those of the finals say so."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_in_finals = False

    def __call__(self, event: Event | None) -> None:
        """Print an event."""
        if not isinstance(event, PRINTED):
            return
        if isinstance(event, SearchStart | FinalsStart):
            self._is_in_finals = isinstance(event, FinalsStart)
        facts = to_json(event) | ({"stage": FINALISTS} if self._is_in_finals else {})
        write(json.dumps(plain(stamped(facts))), self._stream)

    def __getstate__(self) -> dict[str, object]:
        """Leave the stream out of what Ray pickles of its callbacks."""
        return {}


def stamped(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Add the time in UTC to an event, as logs have it."""
    return {**facts, "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}


class LineView:
    """Prints a line with the time for each trial that ended."""

    def __init__(self, board: Board, stream: TextIO) -> None:
        self._board, self._stream = board, stream

    def __call__(self, event: Event | None) -> None:
        """Print a line if a trial ended, a search started or the finals decided something."""
        if event is None:
            return
        self._board.update(event)
        match event:
            case SearchStart():
                number = event.imported
                known = f", {number} results of other searches known" if number else ""
                self._print(f"{event.name}: {headline(self._board)}{known}, starting workers")
            case FinalsStart():
                self._print(finals_line(event))
            case Dropped() | Chosen() | Challenger():
                self._print(race_line(event))
            case TrialEnd():
                self._print(end_line(self._board, event))

    def _print(self, text: str) -> None:
        write(f"{time.strftime('%H:%M:%S')}  {text}", self._stream)

    def __getstate__(self) -> dict[str, object]:
        """Leave the stream out of what Ray pickles of its callbacks."""
        return {"_board": self._board}


class LiveView:
    """A view that redraws itself in place; failures stay above it."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._live: Live | None = None
        self._drawn = 0.0

    def __call__(self, event: Event | None) -> None:
        """Take in an event, and redraw at most four times a second."""
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        if self._live is None:
            self._live = Live(console=Console(stderr=True), auto_refresh=False, transient=True)
            self._live.start()
        if event is not None:
            self._board.update(event)
        if isinstance(event, TrialEnd) and event.state == "failed":
            self._live.console.print(Text(visible(end_line(self._board, event))))
        elif isinstance(event, RACE):
            self._live.console.print(Text(race_line(event)))
        elif isinstance(event, FinalsStart):
            self._live.console.print(Text(finals_line(event)))
        if time.monotonic() - self._drawn > 0.25:
            self._drawn = time.monotonic()
            self._live.update(draw(self._board, self._live.console.width), refresh=True)
        if isinstance(event, Finish):
            self._live.stop()
            self._live = None

    def __getstate__(self) -> dict[str, object]:
        """Leave the terminal out of what Ray pickles of its callbacks."""
        return {"_board": self._board}


class NotebookView:
    """A view that replaces itself in a notebook's cell."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._handle: DisplayHandle | None = None
        self._drawn = 0.0

    def __call__(self, event: Event | None) -> None:
        """Take in an event, and redraw at most once a second."""
        if event is not None:
            self._board.update(event)
        if not isinstance(event, Finish) and time.monotonic() - self._drawn < 1.0:
            return
        self._drawn = time.monotonic()
        from IPython import display

        content = display.Pretty(as_text(self._board))
        if self._handle is None:
            self._handle = display.display(content, display_id=True)
        else:
            self._handle.update(content)

    def __getstate__(self) -> dict[str, object]:
        """Leave the cell out of what Ray pickles of its callbacks."""
        return {"_board": self._board}


def draw(board: Board, width: int = 80) -> Group:
    """Draw the live view: progress, the best so far, and the trials that run."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    done = Table.grid()
    done.add_row(ProgressBar(total=board.num_trials, completed=board.ended, width=min(60, width)))
    first, best, *running = [Text(cut(visible(line), width)) for line in view_lines(board)]
    best.stylize("bold")
    return Group(first, done, best, *running, Text(cut(SAFE, width), style="dim"))


def as_text(board: Board) -> str:
    """Write the live view as plain text."""
    return "\n".join(view_lines(board))


def _in_notebook() -> bool:
    shell = sys.modules.get("IPython")
    return bool(shell and type(shell.get_ipython()).__name__ == "ZMQInteractiveShell")
