"""What one sees while a search runs: a live view, a line an event, or JSON for machines."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any, TextIO

from tune_jobs.engine.experiments.failures import cause
from tune_jobs.engine.experiments.segments import Record
from tune_jobs.engine.formatting import brief
from tune_jobs.engine.goal import Goal
from tune_jobs.engine.views.board import EVENTS, RACE, Board

if TYPE_CHECKING:
    from rich.console import Group

    from tune_jobs.engine.experiments.segments import Listener


def choose_view(num_trials: int, max_epochs: int, goal: Goal, *, as_json: bool = False) -> Listener:
    """The view that suits where the output goes: standard error, or a notebook's cell."""
    board = Board(num_trials, max_epochs, goal)
    if as_json:
        return JsonView(sys.stderr)
    if _in_notebook():
        return NotebookView(board)
    if sys.stderr.isatty():
        return LiveView(board)
    return LineView(board, sys.stderr)


class JsonView:
    """One JSON object an event."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, record: Record | None) -> None:
        """Print a record."""
        if record is not None and record["kind"] in EVENTS:
            from tune_jobs.engine.plain import plain

            print(json.dumps(plain(stamped(record))), file=self._stream, flush=True)

    def __getstate__(self) -> dict[str, Any]:
        """Streams stay where they are when Ray pickles its callbacks."""
        return {}


def stamped(record: Record) -> Record:
    """An event with the time in UTC, as logs have it."""
    return {**record, "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}


class LineView:
    """One line with the time for each trial that ended."""

    def __init__(self, board: Board, stream: TextIO) -> None:
        self._board, self._stream = board, stream

    def __call__(self, record: Record | None) -> None:
        """Print a line where a trial ended."""
        if record is None:
            return
        self._board.update(record)
        if record["kind"] == "start" and self._board.in_finals:
            self._print(finals_line(record))
        elif record["kind"] == "start":
            told = record.get("told")
            known = f", {told} results of other searches known" if told else ""
            self._print(f"{record['name']}: {headline(self._board)}{known}, starting the workers")
        elif record["kind"] in RACE:
            self._print(race_line(record))
        elif record["kind"] == "end" and not self._board.in_finals:
            self._print(end_line(self._board, record))

    def _print(self, text: str) -> None:
        print(f"{time.strftime('%H:%M:%S')}  {text}", file=self._stream, flush=True)

    def __getstate__(self) -> dict[str, Any]:
        """Streams stay where they are when Ray pickles its callbacks."""
        return {"_board": self._board}


class LiveView:
    """A view that redraws itself in place; failures stay above it."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._live: Any = None
        self._drawn = 0.0

    def __call__(self, record: Record | None) -> None:
        """Take a record in, and redraw at most four times a second."""
        from rich.console import Console
        from rich.live import Live

        if self._live is None:
            self._live = Live(console=Console(stderr=True), auto_refresh=False, transient=True)
            self._live.start()
        if record is not None:
            self._board.update(record)
            if record["kind"] == "end" and record["state"] == "failed":
                self._live.console.print(end_line(self._board, record), markup=False)
            elif record["kind"] in RACE:
                self._live.console.print(race_line(record), markup=False)
        if time.monotonic() - self._drawn > 0.25:
            self._drawn = time.monotonic()
            self._live.update(draw(self._board), refresh=True)
        if record is not None and record["kind"] == "finish":
            self._live.stop()
            self._live = None

    def __getstate__(self) -> dict[str, Any]:
        """A terminal stays where it is when Ray pickles its callbacks."""
        return {"_board": self._board}


class NotebookView:
    """A view that replaces itself in a notebook's cell."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._handle: Any = None
        self._drawn = 0.0

    def __call__(self, record: Record | None) -> None:
        """Take a record in, and redraw at most once a second."""
        if record is not None:
            self._board.update(record)
        done = record is not None and record["kind"] == "finish"
        if not done and time.monotonic() - self._drawn < 1.0:
            return
        self._drawn = time.monotonic()
        from IPython import display

        content = display.Pretty(as_text(self._board))
        if self._handle is None:
            self._handle = display.display(content, display_id=True)
        else:
            self._handle.update(content)

    def __getstate__(self) -> dict[str, Any]:
        """A cell stays where it is when Ray pickles its callbacks."""
        return {"_board": self._board}


def end_line(board: Board, record: Record) -> str:
    """What became of one trial, in a line."""
    number = record["trial"]
    head = f"{board.noun} {number} of {board.num_trials} {record['state']}"
    if record["state"] == "failed":
        return f"{head}: {cause(record['error'])}"
    if number not in board.values:
        if record["state"] == "unfinished":
            return f"{head}: the run ended before its first epoch"
        return f"{head}: no finite {board.goal.metric}"
    value, epoch = board.values[number]
    text = f"{head}: {board.goal.metric} {value:.5g} at epoch {epoch}"
    if board.best is not None:
        text += f" (best {board.best['value']:.5g}, trial {board.best['trial']})"
    return text


def finals_line(record: Record) -> str:
    """What the finals are about to do, in a line."""
    trials = [str(number) for number in record["trials"]]
    who = f"the best {len(trials)} trials ({', '.join(trials)}) are" if trials[1:] else "it is"
    if record.get("has_incumbent"):
        others = f" and the best {len(trials) - 1} others ({', '.join(trials[1:])}) are"
        who = f"the incumbent (trial {trials[0]}){others if trials[1:] else ' is'}"
    fits = record["target"] * record["fits_at_once"]
    return f"finalists: {who} trained again on fresh seeds and folds, {fits} fits at most"


def race_line(record: Record) -> str:
    """What was decided in the finals, in a line."""
    if record["kind"] == "out":
        return f"trial {record['of']} is out: clearly behind after {record['scores']} fresh scores"
    if record["kind"] == "challenger":
        return f"trial {record['of']} challenges the incumbent on more fresh seeds and folds"
    return f"trial {record['of']} is chosen; more fresh scores are to say how good it is"


def draw(board: Board) -> Group:
    """The live view: progress, the best so far, and the trials that run."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    done = Table.grid()
    done.add_row(ProgressBar(total=board.num_trials, completed=board.ended, width=60))
    table = Table.grid(padding=(0, 2))
    for number, trial in sorted(board.running.items()):
        table.add_row(
            f"{board.noun} {number}",
            f"epoch {trial['epoch']}/{board.max_epochs}",
            f"{board.goal.metric} {trial['value']:.5g}" if trial["epoch"] else "starting",
            Text(brief(trial["config"]), overflow="ellipsis", no_wrap=True, style="dim"),
        )
    return Group(
        Text(headline(board)),
        done,
        Text(best_line(board), style="bold", overflow="ellipsis", no_wrap=True),
        table,
    )


def as_text(board: Board) -> str:
    """The live view as plain text."""
    running = [
        f"{board.noun} {number}  epoch {trial['epoch']}/{board.max_epochs}  "
        f"{board.goal.metric} {trial['value']:.5g}"
        for number, trial in sorted(board.running.items())
    ]
    return "\n".join([headline(board), best_line(board), *running])


def headline(board: Board) -> str:
    """How far the search is."""
    states = ", ".join(f"{count} {state}" for state, count in sorted(board.states.items()))
    seconds = int(time.monotonic() - board.started)
    progress = f"{board.ended} of {board.num_trials} trials"
    if board.in_finals:
        size = board.fits_at_once
        progress = f"finalists: {board.ended * size} of at most {board.num_trials * size} fits"
    return f"{progress}{f' ({states})' if states else ''}  {seconds // 60}:{seconds % 60:02d}"


def best_line(board: Board) -> str:
    """The best so far."""
    if board.best is None:
        return "starting the workers"
    best = board.best
    place = f"trial {best['trial']}, epoch {best['epoch']}"
    return f"best {board.goal.metric} {best['value']:.5g}  {place}: {brief(best['config'])}"


def _in_notebook() -> bool:
    shell = sys.modules.get("IPython")
    return bool(shell and type(shell.get_ipython()).__name__ == "ZMQInteractiveShell")
