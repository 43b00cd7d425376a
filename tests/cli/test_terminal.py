"""What is printed: text that anyone may have made up shows, and acts on no terminal."""

import io
import json
import logging
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from tune_jobs.cli.main import main
from tune_jobs.cli.output import JsonLines
from tune_jobs.engine.experiments.history.records import Epoch, TrialEnd, TrialStart
from tune_jobs.engine.experiments.history.segments import SegmentWriter
from tune_jobs.engine.goal import Goal
from tune_jobs.engine.storage.folder import open_folder
from tune_jobs.engine.terminal import VisibleLines, write
from tune_jobs.engine.views.board import Board
from tune_jobs.engine.views.live import LineView, as_text

ROOT = Path(__file__).parents[2]

# Sets the title, clears the screen, rings; NUL, C1, colours of old terminals, directions, tags.
EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\x85\u202eevil\u2066\u200f\U000e0041\r\x7f\x08[red]"
ACTS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200f\U000e0041\udcff]")

HOSTILE_JOB = """
from tune_jobs.engine import Job
from ray import tune
def train(config, data): ...
JOB = Job(train, {EVIL: tune.choice([EVIL, "x"]), "y": tune.uniform(0, 1)}, metric=EVIL)
"""


def invoke(*arguments: str):
    return CliRunner().invoke(main, list(arguments), catch_exceptions=False)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """An experiment whose texts are hostile, with its name in the storage, and a job like it."""
    monkeypatch.chdir(tmp_path)
    found = tmp_path / "results" / f"a{EVIL}b".replace("\r", "")
    found.mkdir(parents=True)
    writer = SegmentWriter(open_folder(found))
    for number, failure in ((1, None), (2, f"Traceback\nValueError: {EVIL}"), (3, EVIL)):
        writer.append(TrialStart(number, {EVIL: EVIL, "x": {EVIL: number}}, by=EVIL))
        writer.append(Epoch(number, 0, 1, 0.1, {EVIL: float(number)}))
        state = "failed" if failure else "complete"
        writer.append(TrialEnd(number, state, "configuration" if failure else None, failure))
    writer.flush()
    write_json(found / "experiment.json", {"metric": EVIL, "mode": "min", "space": {EVIL: EVIL}})
    summary = {
        "outcome": "some trials failed",
        "metric": EVIL,
        "best": {"trial": 1, "epoch": 1, "value": 1.0, "config": {EVIL: EVIL}},
        "trials": {"complete": 1, "failed": 2},
        "warnings": [EVIL],
        "ended_because": EVIL,
        "no_winner": EVIL,
        "test": {EVIL: 0.5},
    }
    write_json(found / "summary.json", summary)
    Path("hostile.py").write_text(f"EVIL = {EVIL!r}\n{HOSTILE_JOB}")
    Path(f"{EVIL[:5]}.py").write_text(f"raise ValueError({EVIL!r})")
    return found


def write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content))


def test_nothing_printed_acts_on_a_terminal(folder) -> None:
    name = str(folder)
    commands = [
        *(["show", name], ["show", name, "--json"], ["ls"], ["ls", "--json"], ["clean"]),
        *(["compare", name, name], ["report", name], ["export", name, f"{EVIL}.keras"]),
        *(["ls", "--expect", EVIL, "--within", "1h"], ["ls", EVIL], ["show", EVIL]),
        *(["check", "hostile.py"], ["check", f"{EVIL[:5]}.py"], ["check", EVIL]),
        *(["run", EVIL, "--name", EVIL], ["run", "hostile.py", "--name", "x", "--set", EVIL]),
        *(["retest", EVIL], ["retest", name], [EVIL], ["show", f"--{EVIL}"], ["show", name, EVIL]),
        *(["ls", "--storage", EVIL], ["cluster", "lint", EVIL], ["predict", name, EVIL, EVIL]),
    ]
    found = {" ".join(command): invoke(*command).output for command in commands}

    said = {command: found[command] for command in found if "owned" in found[command]}
    assert len(said) > 12, found  # the texts are shown
    assert {command: text for command, text in found.items() if ACTS.search(text)} == {}


def test_the_traceback_of_a_bug_acts_on_no_terminal(monkeypatch, capsys) -> None:
    def fail() -> None:
        raise KeyError(f"a bug {EVIL}") from ValueError(EVIL)

    monkeypatch.setattr("tune_jobs.engine.job.modules.list_jobs", fail)
    monkeypatch.setattr("sys.argv", ["tune-jobs", "list"])
    with pytest.raises(SystemExit) as ended:
        main()

    said = capsys.readouterr().err
    assert ended.value.code == 1
    assert "Traceback" in said
    assert "owned" in said
    assert not ACTS.search(said)


def test_credentials_in_a_log_are_hidden() -> None:
    record = logging.LogRecord("x", logging.WARNING, "x", 1, "%s", ("http://u:pw@h?sas=pw",), None)
    for formatter in (VisibleLines("%(message)s"), JsonLines()):
        assert "pw" not in formatter.format(record)
        assert "http://***@h?sas=***" in formatter.format(record)


def test_views_show_what_would_act(folder) -> None:
    stream, board = io.StringIO(), Board(3, 1, Goal(EVIL, "min"))
    view = LineView(board, stream)
    view(TrialStart(1, {EVIL: EVIL}))
    view(TrialEnd(1, "failed", "configuration", f"ValueError: {EVIL}"))

    assert "owned" in stream.getvalue()
    assert not ACTS.search(stream.getvalue() + as_text(board))


def test_a_terminal_that_knows_few_letters_gets_others_replaced() -> None:
    bytes_ = io.BytesIO()
    stream = io.TextIOWrapper(bytes_, encoding="ascii", write_through=True)
    write("€ 3 caf\udce9", stream)

    assert bytes_.getvalue() == b"? 3 caf?\n"


def test_all_that_is_printed_is_printed_by_one_function() -> None:
    prints = re.compile(r"(?<!\.)(?<!def )\bprint\(|click\.echo\(|std(out|err)\.write\(")
    files = [*(ROOT / "tune_jobs").rglob("*.py")]
    found = {p.relative_to(ROOT / "tune_jobs"): prints.findall(p.read_text()) for p in files}

    allowed = {"engine/terminal.py"}
    assert [str(path) for path, hits in found.items() if hits and str(path) not in allowed] == []
