"""The command line. Heavy imports happen inside the commands, so that ``--help`` answers at once.

Results go to standard output, everything else to standard error.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from tune_jobs.cli.cluster import cluster, doctor, logs, status, stop, submit
from tune_jobs.cli.experiments import (
    clean,
    compare,
    export,
    list_experiments,
    predict,
    report,
    retest,
    show,
)
from tune_jobs.cli.output import JSON_LOG, say
from tune_jobs.cli.run import check, run
from tune_jobs.cli.schedule import schedule

INTERRUPTED = 7  # that of engine.outcome, which is imported where it is needed


class Group(click.Group):
    """A group in which what was foreseen is one line on standard error and an exit code."""

    def main(self, args: Sequence[str] | None = None, *rest: Any, **options: Any) -> Any:
        """Be the program: one that was interrupted ends at once.

        Threads that are in the middle of something would let Python's own end crash now and then.
        """
        try:
            return super().main(args, *rest, **options)
        except SystemExit as ended:
            if args is None and ended.code == INTERRUPTED:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(INTERRUPTED)
            raise

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        from tune_jobs.engine.errors import JobError

        try:
            return super().invoke(ctx)
        except JobError as error:
            say(ctx, error.word, str(error))
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            goes_on = JSON_LOG in ctx.meta  # it is a run
            say(ctx, "interrupted", "the same line goes on, or begins" if goes_on else "")
            ctx.exit(INTERRUPTED)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tune-jobs")
def main() -> None:
    """Search the hyperparameters of Keras models on Ray Tune.

    A JOB is the name of a module in tune_jobs, a dotted module name, or the path of a Python file.
    An EXPERIMENT is the folder of a run, or its name in ./results.
    """


@main.command("list")
def list_command() -> None:
    """List the jobs with the first lines of their docstrings."""
    from tune_jobs.engine.job.modules import list_jobs

    jobs = list_jobs()
    for name, line in jobs.items():
        click.echo(f"{name:{max(map(len, jobs))}}  {line}")


for command in (
    *(run, check, show, report, predict, export),
    *(retest, compare, list_experiments, clean, schedule),
    *(submit, status, logs, stop, doctor, cluster),
):
    main.add_command(command)
