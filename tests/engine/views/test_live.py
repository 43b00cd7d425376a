"""What one sees of a search, from the records of its history."""

import io
import json
import math
import pickle
from dataclasses import replace

import pytest
from rich.console import Console

from tune_jobs.engine.experiments.failures import cause
from tune_jobs.engine.experiments.history.records import (
    Chosen,
    Continued,
    Dropped,
    Epoch,
    FinalsStart,
    Finish,
    Paused,
    Progress,
    SavedCheckpoint,
    SearchStart,
    TrialEnd,
    TrialStart,
)
from tune_jobs.engine.formatting import brief
from tune_jobs.engine.goal import Goal
from tune_jobs.engine.views.board import Board
from tune_jobs.engine.views.lines import cut, finals_line, headline
from tune_jobs.engine.views.live import SAFE, JsonView, LineView, as_text, draw

CONFIG = {
    "layers": [{"units": 64, "dropout": 0.1}, {"units": 32, "dropout": 0.0}],
    "optimizer": {"name": "adam", "learning_rate": 0.0012345},
    "decay": {"name": "none"},
    "<script>": "[bold]x",
}
RECORDS = [
    SearchStart("mine", "results/mine", target=None),
    TrialStart(1, CONFIG),
    TrialStart(2, CONFIG),
    *(Epoch(1, 0, 1, 0.1, {"val_loss": 0.5}), Progress(1, 1, 0.5)),
    *(Epoch(1, 0, 2, 0.1, {"val_loss": 0.7}), Progress(1, 2, 0.7)),
    *(Epoch(2, 0, 1, 0.1, {"val_loss": math.nan}), Progress(2, 1, math.nan)),
    SavedCheckpoint(1, 2, "x"),
    TrialEnd(1, "stopped", None, None),
    TrialEnd(2, "failed", "configuration", "Traceback\nValueError: too wide"),
    Finish(),
]
FINALS = [
    FinalsStart(
        "mine",
        "results/mine",
        target=8,
        trials=[3, 9],
        has_incumbent=False,
        fits_at_once=4,
        seconds=90.0,
    ),
    TrialStart(1, {}, of=3, batch=0),
    *(Epoch(1, 0, 1, 0.1, {"loss": 0.5}), Progress(1, 1, 0.5)),
    TrialEnd(1, "complete", None, None),
    Dropped(9, scores=4),
    Chosen(3),
]


@pytest.fixture
def board() -> Board:
    return Board(40, 27, Goal("val_loss"))


def test_elsewhere_there_is_one_line_for_each_trial(board) -> None:
    stream = io.StringIO()
    view = LineView(board, stream)
    for record in [None, *RECORDS, None]:
        view(record)

    started, first, second = stream.getvalue().splitlines()
    assert "mine: 0 of 40 trials" in started
    assert "trial 1 of 40 stopped: val_loss 0.5 at epoch 1 (best 0.5, trial 1)" in first
    assert second.endswith("trial 2 of 40 failed: ValueError: too wide")


def test_machines_get_one_json_object_for_each_record() -> None:
    stream = io.StringIO()
    view = JsonView(stream)
    for record in [None, *RECORDS]:
        view(record)

    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    kinds = [record.kind for record in RECORDS if not isinstance(record, Progress)]
    assert [line["kind"] for line in lines] == kinds
    assert lines[1]["config"] == CONFIG


def test_machines_see_which_events_are_of_the_finals() -> None:
    stream = io.StringIO()
    view = JsonView(stream)
    for record in [RECORDS[0], Finish(), *FINALS, Finish(), RECORDS[0]]:
        view(record)

    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    expected = [None, None, *["finalists"] * (len(lines) - 3), None]
    assert [line.get("stage") for line in lines] == expected
    assert {key: lines[4][key] for key in ("kind", "trial", "replica", "metrics")} == {
        "kind": "epoch",
        "trial": 1,
        "replica": 0,
        "metrics": {"loss": 0.5},
    }


def test_the_live_view_shows_progress_the_best_and_what_runs(board) -> None:
    for record in RECORDS[:9]:
        board.update(record)
    stream = io.StringIO()
    Console(file=stream, width=100).print(draw(board))

    for shown in (stream.getvalue(), as_text(board)):
        assert "0 of 40 trials" in shown
        assert "best val_loss 0.5  trial 1, epoch 1: layers=[64/0.1 32/0]" in shown
        assert "trial 2" in shown
    assert "epoch 2/27" in stream.getvalue()


def test_the_best_follows_the_mode() -> None:
    rising = Board(40, 27, Goal("val_loss", "max"))
    for record in RECORDS:
        rising.update(record)
    assert rising.best.value == 0.7
    assert rising.states == {"stopped": 1, "failed": 1}
    assert rising.running == {}


def test_views_can_be_pickled_with_rays_callbacks(board) -> None:
    pickle.loads(pickle.dumps(LineView(board, io.StringIO())))


def test_a_config_is_one_short_line() -> None:
    assert brief(CONFIG) == (
        "layers=[64/0.1 32/0], optimizer=adam(learning_rate=0.001234), decay=none, <script>=[bold]x"
    )


@pytest.mark.parametrize(
    ("traceback", "said"),
    [
        ("Traceback ...\n  File x\nValueError: units is -3", "ValueError: units is -3"),
        ("a\nray.exceptions.RayTaskError(ValueError): x\nKeyError: 'u'\n", "KeyError: 'u'"),
        ("tensorflow.errors.ResourceExhaustedError: OOM", "ResourceExhaustedError: OOM"),
        ("MemoryError", "MemoryError"),
        ("just words", "just words"),
        ("", "unknown"),
    ],
)
def test_a_traceback_is_told_by_its_last_exception(traceback, said) -> None:
    assert cause(traceback) == said


@pytest.mark.parametrize(
    ("trials", "has_incumbent", "who"),
    [
        ([3], False, "trial 3"),
        ([3, 9, 4], False, "trial 3, trial 9 and trial 4"),
        ([0], True, "the incumbent (trial 0)"),
        ([0, 3], True, "the incumbent (trial 0) and trial 3"),
    ],
)
def test_the_plan_of_the_finals_names_the_finalists(trials, has_incumbent, who) -> None:
    start = FinalsStart("mine", "results/mine", 8, trials, has_incumbent, 4)

    said = finals_line(start)
    assert said == f"finals: retraining {who} with fresh seeds and folds, at most 32 fits"


def test_the_finals_are_told_by_their_decisions() -> None:
    stream = io.StringIO()
    view = LineView(Board(40, 9, Goal("loss")), stream)
    for event in FINALS:
        view(event)

    lines = [line.split("  ", 1)[1] for line in stream.getvalue().splitlines()]
    begins = "finals: retraining trial 3 and trial 9 with fresh seeds and folds"
    assert lines == [
        f"{begins}, at most 32 fits or about 90 s",
        "finals: 4 of at most 32 fits: fits 1-4 of trial 3 complete: loss 0.5 at epoch 1",
        "trial 9 is eliminated after 4 fresh scores",
        "trial 3 wins; retraining it to estimate its score",
    ]


def test_the_live_view_of_the_finals_counts_fits_and_ranks_finalists() -> None:
    board = Board(40, 9, Goal("loss"))
    for event in (
        replace(FINALS[0], fits_at_once=1),
        *(TrialStart(1, {"x": 1}, of=3, batch=0), Progress(1, 1, 0.5), Progress(1, 2, 0.25)),
        *(TrialStart(2, {"x": 2}, of=9, batch=0), Progress(2, 1, 0.2)),
        *(TrialEnd(1, "complete", None, None), TrialEnd(2, "complete", None, None)),
        *(TrialStart(3, {"x": 1}, of=3, batch=1), Progress(3, 1, 0.1)),
    ):
        board.update(event)

    first, standings, row = as_text(board).splitlines()

    assert first.startswith("finals: 2 of at most 8 fits (2 complete)  0:00, at most ")
    assert standings == "loss so far  trial 9 0.2, trial 3 0.25"
    assert row == "fit 3 of trial 3  epoch 1/9  loss 0.1  x=1"


def test_the_time_left_follows_from_the_trials_of_this_run(board, monkeypatch) -> None:
    now = 100.0
    monkeypatch.setattr("tune_jobs.engine.views.board.time.monotonic", lambda: now)
    board.update(SearchStart("mine", "results/mine", target=20, states={"complete": 10}))
    now = 200.0  # workers have started
    board.update(TrialStart(11, CONFIG))
    board.update(TrialStart(12, CONFIG))
    now = 230.0
    board.update(TrialEnd(11, "complete", None, None))
    assert board.seconds_left is None  # one trial says little
    board.update(TrialEnd(12, "stopped", None, None))

    assert board.seconds_left == pytest.approx(30 / 2 * 8)
    assert headline(board).endswith(", about 2 min left")
    assert f"{board.seconds_left:.0f}" == "120"


def test_no_line_of_the_live_view_is_cut_in_the_middle_of_a_word(board) -> None:
    for record in RECORDS[:9]:
        board.update(record)
    words = set(as_text(board).replace("(", " ").split()) | set(SAFE.split())
    for width in (80, 60, 43, 20):
        stream = io.StringIO()
        Console(file=stream, width=width).print(draw(board, width))
        lines = stream.getvalue().splitlines()

        assert len(lines) == 6  # none has wrapped
        shown = [word for line in lines for word in line.replace("(", " ").split()]
        assert {word for word in shown if "\u2501" not in word} <= words | {"..."}
    assert "Ctrl-C is safe" in stream.getvalue()


@pytest.mark.parametrize(
    ("line", "width", "short"),
    [
        ("one two three", 13, "one two three"),
        ("one two three", 12, "one two ..."),
        ("one two three", 11, "one two ..."),
        ("one two three", 10, "one ..."),
        ("unbreakable", 8, "unbr ..."),
        ("one two three", 2, " ..."),
    ],
)
def test_a_line_is_cut_after_a_whole_word(line, width, short) -> None:
    assert cut(line, width) == short


def test_a_trial_that_is_paused_is_counted_and_not_shown_as_running(board) -> None:
    board.update(TrialStart(41, CONFIG))
    board.update(Progress(41, 1, 0.5))
    board.update(Paused(41))
    assert (sorted(board.paused), 41 in board.running) == ([41], False)
    assert "1 paused" in headline(board)
    assert "trial 41 " not in as_text(board).split("\n", 2)[-1]

    board.update(Continued(41))
    assert (board.paused, board.running[41].epoch) == ({}, 1)
    board.update(Paused(41))
    board.update(TrialEnd(41, "stopped", None, None))
    assert (board.paused, "paused" in headline(board)) == ({}, False)


def test_a_trial_that_continues_after_its_end_counts_once(board) -> None:
    board.update(TrialStart(41, CONFIG))
    board.update(TrialEnd(41, "stopped", None, None))
    ended = board.ended
    board.update(Continued(41, was_stopped=True))
    board.update(TrialStart(41, CONFIG))
    board.update(TrialEnd(41, "complete", None, None))
    assert board.ended == ended
