"""What the command line prints and whom it tells: text, JSON lines, notifications."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from tune_jobs.engine.experiment import Experiment
    from tune_jobs.engine.storage import Folder

JSON_LOG = "tune_jobs.json_log"  # a key of click's own notes on a call


class JsonLines(logging.Formatter):
    """A JSON object for each thing that is logged."""

    def format(self, record: logging.LogRecord) -> str:
        """The object's line."""
        return _line("log", record.getMessage(), level=record.levelname.lower())


def prepare_log(*, as_json: bool) -> None:
    """Show what the engine logs on standard error, as text or as JSON lines."""
    handler = logging.StreamHandler()
    handler.setFormatter(
        JsonLines() if as_json else logging.Formatter("%(levelname)s: %(message)s")
    )
    logging.getLogger("tune_jobs").addHandler(handler)
    click.get_current_context().meta[JSON_LOG] = as_json


def say(context: click.Context, word: str, message: str = "") -> None:
    """Say how a call ended, in a line of standard error."""
    if context.meta.get(JSON_LOG):
        print(_line(word, message), file=sys.stderr)
    else:
        print(": ".join(filter(None, [word, message])), file=sys.stderr)


def print_result(experiment: Experiment, *, as_json: bool, short: bool) -> None:
    """Print what there is to say of an experiment, on standard output."""
    from tune_jobs.engine.tell import as_dict, tell

    if as_json:
        click.echo(json.dumps(as_dict(experiment)))
    else:
        tell(experiment, short=short)


@contextmanager
def watched(job: str, options: Mapping[str, Any]) -> Iterator[Callable[[Experiment], None]]:
    """Tell those who asked for it how a run ends, where that is news; also of what it raises.

    Args:
        job: what runs.
        options: of the command.
    """
    from tune_jobs.engine.notification import telling
    from tune_jobs.engine.tell import headline

    def find_series() -> Folder:
        from tune_jobs._options import storage_of
        from tune_jobs.engine.running import short_name
        from tune_jobs.engine.series import folder_of

        name = options["name"] or ("{job}-{slot}" if options["slot"] else "{job}")
        return folder_of(name, short_name(job), storage_of(options))

    with telling(find_series, options["notify"]) as tell:

        def tell_change(experiment: Experiment) -> None:
            facts = {
                "name": experiment.name,
                "folder": experiment.folder.uri,
                "verdict": experiment.retest.get("answer"),
                "reason": experiment.retest.get("reason"),
            }
            summary = {k: experiment.summary.get(k) for k in ("outcome", "best", "winner")}
            text = facts["reason"] or headline(experiment).removeprefix(f"{experiment.name}: ")
            tell(experiment.exit_code or 0, text, facts | summary)

        yield tell_change


def _line(kind: str, message: str, **more: Any) -> str:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return json.dumps({"kind": kind, "time": now, "message": message, **more})
