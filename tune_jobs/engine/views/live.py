"""The views of a running search: a live one, one line per event, or JSON for machines."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TextIO

from tune_jobs.engine.experiments.failures import cause
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
from tune_jobs.engine.formatting import brief, listed, shortened, visible
from tune_jobs.engine.goal import Goal
from tune_jobs.engine.plain import plain
from tune_jobs.engine.terminal import write
from tune_jobs.engine.views.board import Board

if TYPE_CHECKING:
    from IPython.display import DisplayHandle
    from rich.console import Group
    from rich.live import Live

# Characters of an error that are shown.
LONGEST = 500

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
            case TrialEnd() if not self._board.in_finals:
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
        if time.monotonic() - self._drawn > 0.25:
            self._drawn = time.monotonic()
            self._live.update(draw(self._board), refresh=True)
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


def end_line(board: Board, end: TrialEnd) -> str:
    """Describe how a trial ended, in a line."""
    number = end.trial
    head = f"{board.noun} {number} of {board.num_trials} {end.state}"
    if end.state == "failed":
        return f"{head}: {shortened(cause(end.error or ''), LONGEST)}"
    if number not in board.values:
        if end.state == "unfinished":
            return f"{head}: the run ended before its first epoch"
        return f"{head}: no finite {board.goal.metric}"
    value, epoch = board.values[number]
    text = f"{head}: {board.goal.metric} {value:.5g} at epoch {epoch}"
    if board.best is not None:
        text += f" (best {board.best.value:.5g}, trial {board.best.trial})"
    return text


def finals_line(start: FinalsStart) -> str:
    """Describe the plan of the finals, in a line."""
    trials = [f"trial {number}" for number in start.trials]
    if start.has_incumbent:
        trials[0] = f"the incumbent ({trials[0]})"
    fits = start.target * start.fits_at_once
    return f"finals: retraining {listed(trials)} with fresh seeds and folds, at most {fits} fits"


def race_line(decision: Dropped | Chosen | Challenger) -> str:
    """Describe a decision of the finals, in a line."""
    who = f"trial {decision.of}"
    if isinstance(decision, Dropped):
        return f"{who} is eliminated after {decision.scores} fresh scores"
    if isinstance(decision, Challenger):
        return f"{who} challenges the incumbent on more fresh seeds and folds"
    return f"{who} wins; retraining it to estimate its score"


def draw(board: Board) -> Group:
    """Draw the live view: progress, the best so far, and the trials that run."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    done = Table.grid()
    done.add_row(ProgressBar(total=board.num_trials, completed=board.ended, width=60))
    table, metric = Table.grid(padding=(0, 2)), visible(board.goal.metric)
    for number, trial in sorted(board.running.items()):
        table.add_row(
            f"{board.noun} {number}",
            f"epoch {trial.epoch}/{board.max_epochs}",
            Text(f"{metric} {trial.value:.5g}" if trial.epoch else "starting"),
            Text(visible(brief(trial.config)), overflow="ellipsis", no_wrap=True, style="dim"),
        )
    return Group(
        Text(headline(board)),
        done,
        Text(visible(best_line(board)), style="bold", overflow="ellipsis", no_wrap=True),
        table,
    )


def as_text(board: Board) -> str:
    """Write the live view as plain text."""
    running = [
        f"{board.noun} {number}  epoch {trial.epoch}/{board.max_epochs}  "
        f"{board.goal.metric} {trial.value:.5g}"
        for number, trial in sorted(board.running.items())
    ]
    return visible("\n".join([headline(board), best_line(board), *running]))


def headline(board: Board) -> str:
    """Describe the progress of the search, in a line."""
    counts = {**board.states, **({"paused": len(board.paused)} if board.paused else {})}
    states = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()) if count)
    seconds = int(time.monotonic() - board.started)
    progress = f"{board.ended} of {board.num_trials} trials"
    if board.in_finals:
        size = board.fits_at_once
        progress = f"finals: {board.ended * size} of at most {board.num_trials * size} fits"
    return f"{progress}{f' ({states})' if states else ''}  {seconds // 60}:{seconds % 60:02d}"


def best_line(board: Board) -> str:
    """Describe the best trial so far, in a line."""
    if board.best is None:
        return "starting workers"
    best = board.best
    place = f"trial {best.trial}, epoch {best.epoch}"
    return f"best {board.goal.metric} {best.value:.5g}  {place}: {brief(best.config)}"


def _in_notebook() -> bool:
    shell = sys.modules.get("IPython")
    return bool(shell and type(shell.get_ipython()).__name__ == "ZMQInteractiveShell")
