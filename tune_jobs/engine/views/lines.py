"""The lines in which a running search is described."""

from __future__ import annotations

import time

from tune_jobs.engine.experiments.failures import cause
from tune_jobs.engine.experiments.history.records import (
    Challenger,
    Chosen,
    Dropped,
    FinalsStart,
    TrialEnd,
)
from tune_jobs.engine.formatting import brief, columns, columns_of, duration, listed, shortened
from tune_jobs.engine.views.board import Board

LONGEST = 500  # characters of an error that are shown
MORE = " ..."  # at the end of a line that was cut


def end_line(board: Board, end: TrialEnd) -> str:
    """Describe how a trial ended, in a line."""
    number = end.trial
    head = f"{board.name(number)} of {board.num_trials} {end.state}"
    if board.in_finals:
        head = f"{_count_fits(board)}: {board.name(number)} {end.state}"
    if end.state == "failed":
        return f"{head}: {shortened(cause(end.error or ''), LONGEST)}"
    if number not in board.values:
        if end.state == "unfinished":
            return f"{head}: the run ended before its first epoch"
        return f"{head}: no finite {board.goal.metric}"
    value, epoch = board.values[number]
    text = f"{head}: {board.say(value, board.errors.get(number))} at epoch {epoch}"
    if board.best is not None and not board.in_finals:
        text += f" (best {board.best.value:.5g}, trial {board.best.trial})"
    return text


def finals_line(start: FinalsStart) -> str:
    """Describe the plan of the finals, in a line."""
    trials = [f"trial {number}" for number in start.trials]
    if start.has_incumbent:
        trials[0] = f"the incumbent ({trials[0]})"
    fits = start.target * start.fits_at_once
    time = (
        f" or about {duration(max(1, round(start.seconds)))}" if start.seconds is not None else ""
    )
    return (
        f"finals: retraining {listed(trials)} with fresh seeds and folds, at most {fits} fits{time}"
    )


def race_line(decision: Dropped | Chosen | Challenger) -> str:
    """Describe a decision of the finals, in a line."""
    who = f"trial {decision.of}"
    if isinstance(decision, Dropped):
        return f"{who} is eliminated after {decision.scores} fresh scores"
    if isinstance(decision, Challenger):
        return f"{who} challenges the incumbent on more fresh seeds and folds"
    return f"{who} wins; retraining it to estimate its score"


def view_lines(board: Board) -> list[str]:
    """Return the progress, the best so far, and the trials that run, one line each."""
    rows = [
        [
            board.name(number),
            f"epoch {trial.epoch}/{board.max_epochs}",
            board.say(trial.value, trial.error) if trial.epoch else "starting",
            brief(trial.config),
        ]
        for number, trial in sorted(board.running.items())
    ]
    return [headline(board), best_line(board), *(columns(rows) if rows else [])]


def cut(line: str, width: int) -> str:
    """Cut a line after a whole word, if it is longer than a terminal is wide."""
    if columns_of(line) <= width:
        return line
    room = max(0, width - len(MORE))
    short = line[:room]
    while columns_of(short) > room:
        short = short[:-1]
    return (short if line[len(short)] == " " else short.rpartition(" ")[0] or short).rstrip() + MORE


def _count_fits(board: Board) -> str:
    size = board.fits_at_once
    return f"finals: {board.ended * size} of at most {board.num_trials * size} fits"


def headline(board: Board) -> str:
    """Describe the progress of the search, in a line."""
    counts = {**board.states, **({"paused": len(board.paused)} if board.paused else {})}
    states = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()) if count)
    seconds = int(time.monotonic() - board.started)
    progress = f"{board.ended} of {board.num_trials} trials"
    if board.in_finals:
        progress = _count_fits(board)
    left = board.seconds_left
    most = "at most" if board.in_finals else "about"
    said = "" if left is None else f", {most} {duration(round(left))} left"
    return f"{progress}{f' ({states})' if states else ''}  {seconds // 60}:{seconds % 60:02d}{said}"


def best_line(board: Board) -> str:
    """Describe the best trial so far, in the finals how the finalists stand, in a line."""
    if board.in_finals:
        standings = [f"trial {trial} {mean:.4g}" for trial, mean in board.standings]
        said = ", ".join(standings) or "training"
        return f"{board.goal.short} so far  {said}"
    if board.best is None:
        return "starting workers"
    best = board.best
    place = f"trial {best.trial}, epoch {best.epoch}"
    said = board.say(best.value, board.errors.get(best.trial))
    return f"best {said}  {place}: {brief(best.config)}"
