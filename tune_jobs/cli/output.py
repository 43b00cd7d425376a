"""The output of the command line: text, JSON lines, notifications."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from tune_jobs.engine.experiments.experiment import Experiment
    from tune_jobs.engine.experiments.retest_answer import Answer
    from tune_jobs.engine.runs.ends import Ends
    from tune_jobs.engine.storage.folder import Folder

# As in engine.outcome, which is imported only when needed.
MISTAKE, INTERRUPTED, STORAGE_FAILED = 2, 7, 8

# The errors of a file system that cannot be written.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)

LONGEST = 2_000  # characters of an error that are printed
JSON_LOG = "tune_jobs.json_log"  # a key of click's Context.meta


def echo(text: object = "", *, err: bool = False, end: str = "\n") -> None:
    """Print text on standard output or standard error."""
    from tune_jobs.engine.terminal import write

    write(text, sys.stderr if err else sys.stdout, end=end)


def terminal_width() -> int | None:
    """Return the width of standard output; None if it is no terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


class JsonLines(logging.Formatter):
    """Format log records as JSON objects, one per line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        from tune_jobs.engine.credentials import hide_credentials

        message = hide_credentials(record.getMessage())
        return _line("log", message, level=record.levelname.lower())


def prepare_log(*, as_json: bool) -> None:
    """Show what the engine logs on standard error, as text or as JSON lines."""
    from tune_jobs.engine.terminal import VisibleLines

    handler, logger = logging.StreamHandler(), logging.getLogger("tune_jobs")
    handler.setFormatter(JsonLines() if as_json else VisibleLines("%(levelname)s: %(message)s"))
    logger.addHandler(handler)
    context = click.get_current_context()
    context.meta[JSON_LOG] = as_json
    context.call_on_close(lambda: logger.removeHandler(handler))


def wants_json_events(options: Mapping[str, Any]) -> bool:
    """Say if events are printed as JSON: with --json and with --log-format json."""
    return bool(options["as_json"] or options["log_format"] == "json")


@contextmanager
def signals_as_ctrl_c() -> Iterator[None]:
    """Handle SIGTERM and SIGHUP like Ctrl-C within a block; an ignored SIGHUP stays ignored."""
    from tune_jobs.engine.cluster.stderr import find_terminals, leave_terminals

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    terminals = find_terminals()

    def hang_up(*_: object) -> None:
        leave_terminals(terminals)
        raise KeyboardInterrupt

    before = {signal.SIGTERM: signal.signal(signal.SIGTERM, signal.default_int_handler)}
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, hang_up)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def say(context: click.Context, word: str, message: str = "") -> None:
    """Print how a command ended, as one line on standard error."""
    from tune_jobs.engine.formatting import shortened

    message = shortened(" ".join(message.split("\n")), LONGEST)
    if context.meta.get(JSON_LOG):
        echo(_line(word, message), err=True)
    else:
        echo(": ".join(filter(None, [word, message])), err=True)


def conclude(context: click.Context, error: BaseException) -> int:
    """Print a foreseen error as one line; return the exit code that it stands for."""
    from tune_jobs.engine.errors import JobError, mistake_of_exit

    if isinstance(error, SystemExit):  # commands end by `end`, so this is a job's exit
        error = mistake_of_exit(error)
    if isinstance(error, JobError):
        say(context, error.word, str(error))
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        is_run = JSON_LOG in context.meta
        say(context, "interrupted", "run the same command to continue" if is_run else "")
        return INTERRUPTED
    name = f"{error.filename}: " if isinstance(error, OSError) and error.filename else ""
    say(context, "error", f"{name}{getattr(error, 'strerror', None) or error}")
    return STORAGE_FAILED if getattr(error, "errno", None) in FULL else MISTAKE


def end(code: int | None) -> NoReturn:
    """End a command with an exit code; ``sys.exit`` is taken for a mistake in a job."""
    click.get_current_context().exit(code or 0)


def print_result(experiment: Experiment, *, as_json: bool, short: bool) -> None:
    """Print the result of an experiment on standard output."""
    from tune_jobs.engine.views.show import as_dict, print_lines
    from tune_jobs.engine.views.status_line import headline

    if click.get_current_context().meta.get(JSON_LOG):
        answer, summary = experiment.retest, experiment.summary
        facts = {
            "exit_code": experiment.exit_code,
            "answer": answer.answer if answer else None,
            "outcome": summary.outcome if summary else None,
            "folder": experiment.folder.uri,
        }
        echo(_line("ended", headline(experiment), **facts), err=True)
    if as_json:
        echo(json.dumps(as_dict(experiment, short=short)))
    else:
        print_lines(experiment, short=short)


def last_words() -> Ends:
    """Return what a run does at its end; if that ends the process, it says so like a command."""
    from tune_jobs.engine.runs.ends import Ends

    context = click.get_current_context()  # only this thread has it
    return Ends(conclude=lambda error: conclude(context, error))


@contextmanager
def notifying(job: str, options: Mapping[str, Any]) -> Iterator[Callable[[Experiment], None]]:
    """Notify the --notify targets if a run ends otherwise than the one before it, or raises.

    Args:
        job: name of the job.
        options: options of the command.
    """
    from tune_jobs.engine.recurring.notification import telling
    from tune_jobs.engine.views.status_line import headline

    name = options["name"] or ("{job}-{slot}" if options["slot"] else "{job}")

    def find_series() -> Folder:
        from tune_jobs.cli.loading import storage_of
        from tune_jobs.engine.recurring.series import folder_of, short_name

        return folder_of(name, short_name(job), storage_of(options))

    def find_name() -> str:
        from tune_jobs.engine.recurring.series import short_name
        from tune_jobs.engine.recurring.slots import name_of_slot

        slot = name_of_slot(options["slot"], options["time_zone"]) if options["slot"] else ""
        return name.replace("{job}", short_name(job)).replace("{slot}", slot)

    with telling(find_series, options["notify"], find_name) as tell:

        def notify_change(experiment: Experiment) -> None:
            reason = experiment.retest.reason if experiment.retest else None
            known = experiment.summary.to_json() if experiment.summary else {}
            facts = {
                "name": experiment.name,
                "folder": experiment.folder.uri,
                "verdict": _verdict_of(experiment.retest),
                "reason": reason,
                **{name: known.get(name) for name in ("outcome", "best", "winner")},
            }
            text = reason or headline(experiment).removeprefix(f"{experiment.name}: ")
            tell(experiment.exit_code or 0, text, facts)

        yield notify_change


def _verdict_of(answer: Answer | None) -> str | None:
    """Return the verdict of a retest; a keep of a config that has become worse is an alarm."""
    if answer is None:
        return None
    return "alarm" if answer.answer == "keep" and answer.fall.is_worse else answer.answer


def _line(kind: str, message: str, **more: Any) -> str:
    from tune_jobs.engine.views.live import stamped

    return json.dumps(stamped({"kind": kind, "message": message, **more}))


@contextmanager
def tensorflow_silenced() -> Iterator[None]:
    """Keep the messages of TensorFlow's C++ code off the screen."""
    from tune_jobs.engine.cluster.stderr import stderr_aside

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with stderr_aside():
        yield
