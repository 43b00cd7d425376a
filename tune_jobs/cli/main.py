"""The command line. Commands do heavy imports when they run, so that ``--help`` answers at once.

Results go to standard output, everything else to standard error.
"""

from __future__ import annotations

import atexit
import errno
import gc
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import click

from tune_jobs.cli.cluster import cluster, doctor, logs, status, stop
from tune_jobs.cli.experiments import (
    clean,
    compare,
    export,
    list_experiments,
    predict,
    report,
    show,
)
from tune_jobs.cli.help import Command, as_mistake, write_sections
from tune_jobs.cli.output import INTERRUPTED, conclude, echo
from tune_jobs.cli.retest import retest
from tune_jobs.cli.run import check, new, run
from tune_jobs.cli.schedule import schedule
from tune_jobs.cli.submit import submit

# As in engine.outcome, which is imported only when needed.
UNEXPECTED, UNREACHABLE = 1, 9


class Group(click.Group):
    """A group of commands whose foreseen errors are one line on standard error and an exit code."""

    def main(self, args: Sequence[str] | None = None, *rest: Any, **options: Any) -> Any:
        """Run the program, and exit at once if it was interrupted or has lost its Ray.

        Python's own shutdown crashes now and then if threads are still busy. Before any shutdown it
        searches the heap for garbage, half a second after a search, of what ends with the process.
        """
        if args is None:
            atexit.register(gc.freeze)
        try:
            return super().main(args, *rest, **options)
        except SystemExit as ended:
            if args is None and ended.code in (INTERRUPTED, UNREACHABLE):
                with suppress(OSError):
                    sys.stdout.flush()
                    sys.stderr.flush()
                os._exit(ended.code)
            raise
        except Exception:
            if args is not None:
                raise
            echo(traceback.format_exc(), err=True, end="")
            sys.exit(UNEXPECTED)

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        """Read the command line."""
        with _mistakes_in_one_line():
            return super().make_context(*args, **options)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command, and print a foreseen error as one line."""
        from tune_jobs.engine.errors import JobError

        try:
            with _mistakes_in_one_line():
                return super().invoke(ctx)
        except (JobError, SystemExit, OSError, KeyboardInterrupt) as error:
            if isinstance(error, OSError) and error.errno == errno.EPIPE:
                raise  # click ends the program if nobody reads on
            ctx.exit(conclude(ctx, error))

    def format_commands(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by section."""
        width = formatter.width - 6 - max(map(len, self.commands))
        write_sections(
            formatter,
            [
                (title, (str(command.name), command.get_short_help_str(width)))
                for title, commands in SECTIONS.items()
                for command in commands
            ],
        )


@contextmanager
def _mistakes_in_one_line() -> Iterator[None]:
    """Say what click finds wrong as other errors are said; words of the command line are in it."""
    try:
        yield
    except click.ClickException as error:
        raise as_mistake(error) from None


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tune-jobs")
def main() -> None:
    """Search the hyperparameters of Keras models on Ray Tune.

    A JOB is the name of a module in tune_jobs, a dotted module name, or the path of a Python file.
    An EXPERIMENT is the name of a run in ./results, or the path or URI of its folder.
    """


@click.command("list", cls=Command, examples=["list"])
def list_command() -> None:
    """List the jobs in tune_jobs."""
    from tune_jobs.engine.job.modules import list_jobs

    jobs = list_jobs()
    for name, line in jobs.items():
        echo(f"{name:{max(map(len, jobs))}}  {line}")


SECTIONS = {
    "Start": (list_command, new, check, run),
    "Look": (list_experiments, status, show, report, compare),
    "Use": (predict, export, clean),
    "Cluster": (doctor, submit, logs, stop, cluster),
    "Schedule": (schedule, retest),
}

for section in SECTIONS.values():
    for command in section:
        main.add_command(command)
