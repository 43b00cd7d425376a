"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import click

from tune_jobs.cli.help import Option

Command = Callable[..., Any]

# Options that define the search; an experiment remembers them.
REMEMBERED = (
    *("num_samples", "max_epochs", "seed", "data", "target", "sets", "profile"),
    *("metric", "mode"),
    *("ignore", "ids", "drop_missing_target", "class_weight"),
    *("searcher", "finalists", "ensemble", "stop_when_done"),
)

in_data = partial(click.option, cls=Option, section="Data")
in_search = partial(click.option, cls=Option, section="Search")
in_experiment = partial(click.option, cls=Option, section="Experiment")
in_limits = partial(click.option, cls=Option, section="Limits")
in_history = partial(click.option, cls=Option, section="Earlier results")
in_slots = partial(click.option, cls=Option, section="Scheduled runs")
in_output = partial(click.option, cls=Option, section="Output")

NAME = in_experiment(
    "--name", help="Name of the experiment.", show_default="job name and start time"
)
PROFILE = in_experiment(
    "--profile",
    metavar="PROFILE",
    help="Machines to run on: the name of a profile or a .yaml file.",
    show_default="laptop",
)
STORAGE = in_experiment(
    "--storage",
    metavar="FOLDER",
    help="Folder or URI of the experiments.",
    show_default="the profile's",
)
ALLOW_CHANGED = in_history(
    "--allow-changed", is_flag=True, help="Continue although the data or the code has changed."
)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
AS_JSON_LINES = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object per line."
)


def add_options(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Combine options into one decorator; the help lists them in this order."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


# Options that say what is learned from.
data_options = add_options(
    in_data(
        "--data",
        metavar="PATH",
        help="Data set: a table (.parquet, .csv or a folder of .parquet files) or images (.npz).",
    ),
    in_data("--target", metavar="COLUMN", help="Column to predict; A,B for several."),
    in_data(
        "--ignore",
        multiple=True,
        metavar="A,B",
        help="Columns to leave out, in addition to the job's (repeatable).",
    ),
    in_data(
        "--id",
        "ids",
        multiple=True,
        metavar="COLUMN",
        help="Identifier: kept out of training, and written beside the predictions (repeatable).",
    ),
    in_data(
        "--drop-missing-target", is_flag=True, help="Leave out rows that have no target value."
    ),
    in_data(
        "--class-weight",
        type=click.Choice(["balanced", "none"]),
        help="Weight of the classes in the training loss; balanced gives rare ones more.",
    ),
)

MAX_EPOCHS = in_search("--max-epochs", metavar="N", type=int, help="Maximum epochs per trial.")
SEED = in_search(
    "--seed", metavar="N", type=int, help="Seed of the run; all other seeds derive from it."
)
SETS = in_search(
    "--set",
    "sets",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Override any field of the job, e.g. scheduler.grace_period=3 (repeatable).",
)

job_options = add_options(
    data_options,
    in_search(
        "--num-samples",
        metavar="N",
        type=int,
        help="Number of trials; in a grid search, trials per grid point.",
    ),
    MAX_EPOCHS,
    in_search(
        "--metric",
        metavar="NAME",
        help="What to optimise: a scikit-learn scorer such as average_precision, or a metric that "
        "the model reports.",
        show_default="the job's",
    ),
    in_search(
        "--mode",
        type=click.Choice(["min", "max"]),
        help="Whether low or high values of --metric are good.",
        show_default="inferred",
    ),
    in_search(
        "--finalists",
        metavar="N",
        type=click.IntRange(0),
        help="Number of best trials to retrain when choosing the winner; 0 for none.",
    ),
    in_search("--ensemble", is_flag=True, help="Also export the average of the finalists."),
    in_search(
        "--searcher",
        type=click.Choice(["auto", "tpe", "gp", "random", "hyperopt"]),
        help="How configurations are chosen.",
        show_default="the job's",
    ),
    in_search(
        "--stop-when-done",
        is_flag=True,
        help="End the search early once more trials are expected to improve the metric by less "
        "than its noise.",
    ),
    SEED,
    SETS,
)

slot_options = add_options(
    in_slots(
        "--slot",
        metavar="SLOT",
        help="Run once per hourly, daily, weekly or monthly slot (daily@02:00 sets its start), or "
        "for a slot by name (2026-11-28). Within a slot, the same command continues its run or "
        "reports that it is finished. A --name must contain {slot}.",
    ),
    in_slots(
        "--time-zone",
        default="UTC",
        show_default=True,
        metavar="ZONE",
        help="Time zone of the slots; hourly slots are in UTC.",
    ),
    in_slots(
        "--on-overlap",
        type=click.Choice(["fail", "skip", "wait"]),
        default="fail",
        show_default=True,
        help="What to do if another run of this experiment or series is active.",
    ),
)

TRACK = in_output(
    "--track",
    multiple=True,
    metavar="TRACKER",
    help="Also log every epoch to tensorboard, mlflow=URI or wandb=PROJECT (repeatable).",
)

log_options = add_options(
    in_output(
        "--notify",
        multiple=True,
        envvar="TUNE_JOBS_NOTIFY",
        show_envvar=True,
        metavar="URL",
        help="Send a notification when the outcome changes: a webhook or any URL that Apprise "
        "supports (repeatable).",
    ),
    in_output(
        "--log-format",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="Format of the log on standard error; json writes one object per line.",
    ),
    in_output("--json", "as_json", is_flag=True, help="Print the progress and the result as JSON."),
)

# Options of the commands that read experiments.
storage_options = add_options(
    click.option(
        "--storage",
        cls=Option,
        metavar="FOLDER",
        help="Folder or URI of the experiments.",
        show_default="the profile's",
    ),
    click.option(
        "--profile",
        cls=Option,
        metavar="PROFILE",
        help="Profile whose storage to use.",
        show_default="laptop",
    ),
)
