"""The command that checks whether a chosen configuration is still the best: retest."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tune_jobs.cli.help import Command, Option
from tune_jobs.cli.loading import load, storage_of
from tune_jobs.cli.options import (
    ALLOW_CHANGED,
    MAX_EPOCHS,
    PROFILE,
    REMEMBERED,
    SEED,
    SETS,
    STORAGE,
    add_options,
    data_options,
    in_experiment,
    in_limits,
    in_output,
    in_search,
    log_options,
    slot_options,
)
from tune_jobs.cli.output import (
    end,
    last_words,
    notifying,
    prepare_log,
    print_result,
    say,
    signals_as_ctrl_c,
    wants_json_events,
)

if TYPE_CHECKING:
    from tune_jobs.engine.experiments.experiment import Experiment
    from tune_jobs.engine.runs.ends import Ends
    from tune_jobs.engine.runs.retest import Challenge

in_challenge = partial(click.option, cls=Option, section="Challenge")


@click.command(
    cls=Command,
    examples=[
        "retest nightly-2026-11-28",
        "retest nightly-2026-11-28 --data today.parquet --only-incumbent",
    ],
)
@click.argument("experiment")
@in_challenge(
    "--num-samples",
    "samples",
    metavar="N",
    type=int,
    help="Configurations of the new search.",
    show_default="20",
)
@in_challenge(
    "--finalists",
    metavar="N",
    type=int,
    help="Configurations that challenge the current one in the finals.",
    show_default="4",
)
@in_challenge(
    "--scores",
    metavar="N",
    type=int,
    help="Fresh scores per finalist to choose the challenger; the same number again decides.",
    show_default="8",
)
@in_challenge(
    "--level",
    type=float,
    help="Confidence level of the interval of the gain.",
    show_default="0.95",
)
@in_challenge(
    "--min-gain",
    "least_gain",
    type=float,
    help="Smallest gain that justifies a replacement, in units of the metric.",
    show_default="0",
)
@in_challenge(
    "--only-incumbent",
    is_flag=True,
    help="Only test whether the configuration is still as good as it was; the verdict is keep or "
    "alarm.",
)
@in_challenge(
    "--promote",
    is_flag=True,
    help="If the verdict is replace, let later retests test the challenger.",
)
@data_options
@in_search(
    "--job",
    metavar="JOB",
    help="Job to retest with, if it is no longer the one that the experiment records.",
)
@add_options(MAX_EPOCHS, SEED, SETS)
@in_experiment(
    "--name", help="Name of the retest.", show_default="EXPERIMENT-retest and the start time"
)
@add_options(PROFILE, STORAGE)
@in_experiment("--resume", is_flag=True, help="Continue the retest --name if it exists.")
@in_limits(
    "--max-hours",
    metavar="HOURS",
    type=float,
    help="Stop the retest after this time; --resume continues it.",
)
@ALLOW_CHANGED
@slot_options
@log_options
@in_output(
    "--exit-verdict",
    is_flag=True,
    help="Exit with 11 if the verdict is replace, 12 if inconclusive, 13 if alarm.",
)
def retest(experiment: str, **options: Any) -> None:
    """Test whether a chosen configuration is still the best.

    The configuration is the winner of EXPERIMENT. On today's data, similar configurations and a
    small new search challenge it, with the same seeds and folds for all. The verdict is keep,
    replace or inconclusive.
    """
    from tune_jobs.engine.outcome import VERDICT_CODES

    prepare_log(as_json=options["log_format"] == "json")
    called = experiment.partition("?")[0].rstrip("/").rpartition("/")[2]
    series = f"{called}-retest{'-{slot}' if options['slot'] else ''}"
    named = {**options, "name": options["name"] or series}
    with signals_as_ctrl_c(), last_words() as ends:
        notify_change = ends.enter_context(notifying("", named))
        found = _retest(experiment, options, ends)
        notify_change(found)
    print_result(found, as_json=options["as_json"], short=True)
    if options["exit_verdict"] and found.retest:
        end(VERDICT_CODES[found.retest.answer])
    end(found.exit_code)


def _retest(name: str, options: dict[str, Any], ends: Ends) -> Experiment:
    from tune_jobs.cli.again import check_named, describe_original
    from tune_jobs.engine.errors import JobError
    from tune_jobs.engine.experiments.experiment import open_experiment
    from tune_jobs.engine.job.job import Job
    from tune_jobs.engine.runs.retest import retest as run_retest
    from tune_jobs.engine.views.live import choose_view

    earlier, challenge = open_experiment(name, storage_of(options)), _challenge_of(options)
    asked = _asked_of(earlier, options)
    if not options["job"]:
        say(click.get_current_context(), "job", describe_original(asked["job"]))
    found, profile = load(asked["job"], asked)
    if not isinstance(found.job, Job):
        raise JobError(f"{found.name} cannot be retested: it builds its own tuner")
    check_named(options, f"{earlier.name}-retest", profile.storage)
    view = choose_view(
        challenge.trials,
        found.job.max_epochs,
        found.job.goal,
        as_json=wants_json_events(options),
    )
    passed = ("name", "promote", "slot", "time_zone", "on_overlap", "max_hours", "resume")
    return run_retest(
        earlier,
        found.job,
        challenge,
        profile=profile,
        command={"cwd": str(Path.cwd()), **{key: asked[key] for key in ("job", *REMEMBERED)}},
        allow_changed=options["allow_changed"],
        listeners=[view],
        import_paths=found.import_paths,
        ends=ends,
        **{key: options[key] for key in passed},
    )


def _challenge_of(options: dict[str, Any]) -> Challenge:
    from dataclasses import fields

    from tune_jobs.engine.runs.retest import Challenge

    given = {entry.name: options[entry.name] for entry in fields(Challenge)}
    return Challenge(**{key: value for key, value in given.items() if value is not None})


def _asked_of(earlier: Experiment, options: dict[str, Any]) -> dict[str, Any]:
    """Take the options that are not given from the experiment's original command."""
    from tune_jobs.cli.again import LISTS, check_original, fill_in, original_of
    from tune_jobs.engine.errors import JobError
    from tune_jobs.engine.storage.folder import open_folder

    begun = original_of(earlier)
    unnamed = {**dict.fromkeys(REMEMBERED), **dict.fromkeys(LISTS, ())}
    asked = fill_in(unnamed | options, {key: begun[key] for key in REMEMBERED if key in begun})
    asked |= {"job": options["job"] or begun.get("job")}
    if asked["job"] is None:
        raise JobError(f"{earlier.name} does not record its job; name it with --job")
    check_original(earlier, begun, options, open_folder(storage_of(options)))
    fixed = {"num_samples": None, "finalists": None, "ensemble": False, "stop_when_done": False}
    return asked | fixed
