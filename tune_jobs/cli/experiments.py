"""The commands about existing experiments: show, report, predict, retest, ls and others."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tune_jobs.cli.options import FACTS, fact_options, load, log_options, slot_options, storage_of
from tune_jobs.cli.output import (
    broken_off_by_sigterm,
    prepare_log,
    print_result,
    tensorflow_silenced,
    wants_json_events,
    watched,
)

if TYPE_CHECKING:
    from tune_jobs.engine.experiments.experiment import Experiment
    from tune_jobs.engine.runs.retest import Challenge


def storage_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that say where experiments lie, the same for all that look at several."""
    for option in (
        click.option("--storage", help="Folder or URI of the experiments; default: results."),
        click.option("--profile", help="The profile whose storage it is."),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("experiment")
@fact_options
@slot_options
@log_options
@click.option("--job", help="The job, where it is no longer the one that the experiment names.")
@click.option("--name", help="Name of the retest; default: the experiment's and the time.")
@click.option("--resume", is_flag=True, help="Go on with a retest that was cut off.")
@click.option("--max-hours", type=float, help="End the retest after so long, and go on later.")
@click.option("--allow-changed", is_flag=True, help="Go on although data or code have changed.")
@click.option("--num-samples", "samples", type=int, help="Configs to try; default: 20.")
@click.option("--finalists", type=int, help="How many challenge the incumbent; default: 4.")
@click.option("--scores", type=int, help="Fresh scores that choose; as many judge. Default: 8.")
@click.option("--level", type=float, help="Of the interval of the gain; default: 0.95.")
@click.option("--min-gain", "least_gain", type=float, help="What a change has to bring at least.")
@click.option("--only-incumbent", is_flag=True, help="Only look whether it is as good as it was.")
@click.option("--promote", is_flag=True, help="After 'replace', retest the challenger next time.")
@click.option(
    "--exit-verdict", is_flag=True, help="Exit with 11 for replace, 12 for inconclusive, 13: alarm."
)
def retest(experiment: str, **options: Any) -> None:
    """Is the configuration that EXPERIMENT chose still the one to use, on today's data?

    Its neighbours and a small search challenge it, on the same seeds and folds. The answer is keep,
    replace or inconclusive.
    """
    from tune_jobs.engine.outcome import VERDICT_CODES

    prepare_log(as_json=options["log_format"] == "json")
    called = experiment.partition("?")[0].rstrip("/").rpartition("/")[2]
    series = f"{called}-retest{'-{slot}' if options['slot'] else ''}"
    named = {**options, "name": options["name"] or series}
    with broken_off_by_sigterm(), watched("", named) as tell_change:
        found = _retest(experiment, options)
        tell_change(found)
    print_result(found, as_json=options["as_json"], short=True)
    if options["exit_verdict"] and found.retest:
        sys.exit(VERDICT_CODES[found.retest["answer"]])
    sys.exit(found.exit_code)


def _retest(name: str, options: dict[str, Any]) -> Experiment:
    from tune_jobs.engine.errors import JobError
    from tune_jobs.engine.experiments.experiment import open_experiment
    from tune_jobs.engine.job.job import Job
    from tune_jobs.engine.runs.retest import retest as run_retest
    from tune_jobs.engine.views.live import choose_view

    earlier, challenge = open_experiment(name, storage_of(options)), _challenge_of(options)
    asked = _asked_of(earlier, options)
    found, profile = load(asked["job"], asked)
    if not isinstance(found.job, Job):
        raise JobError(f"{found.name} builds its own tuner: nothing is known of its configs")
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
        command={key: asked[key] for key in ("job", *FACTS)},
        allow_changed=options["allow_changed"],
        listeners=[view],
        import_paths=found.import_paths,
        **{key: options[key] for key in passed},
    )


def _challenge_of(options: dict[str, Any]) -> Challenge:
    from dataclasses import fields

    from tune_jobs.engine.runs.retest import Challenge

    given = {entry.name: options[entry.name] for entry in fields(Challenge)}
    return Challenge(**{key: value for key, value in given.items() if value is not None})


def _asked_of(earlier: Experiment, options: dict[str, Any]) -> dict[str, Any]:
    """The options of the experiment's own command, where others are not given."""
    from tune_jobs.cli.again import fill_in
    from tune_jobs.engine.errors import JobError

    begun = dict(earlier.description.get("command") or {})
    asked = fill_in(options, {key: begun.get(key) for key in FACTS})
    asked |= {"job": options["job"] or begun.get("job")}
    if asked["job"] is None:
        raise JobError(f"{earlier.name} does not say its job; name it with --job")
    return asked | {"num_samples": None, "finalists": None, "ensemble": False}


@click.command()
@click.argument("one", metavar="A")
@click.argument("other", metavar="B")
@storage_options
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def compare(one: str, other: str, as_json: bool, **place: Any) -> None:
    """Show two experiments side by side: results, intervals, cost, and what differs."""
    from tune_jobs.engine.experiments.experiment import open_experiment
    from tune_jobs.engine.report.differences import as_dict, lines

    both = [open_experiment(each, storage_of(place)) for each in (one, other)]
    click.echo(json.dumps(as_dict(*both)) if as_json else "\n".join(lines(*both)))


@click.command("ls")
@click.argument("pattern", default="*")
@storage_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--expect", metavar="NAME", help="Exit with 14 unless a run of NAME has come ...")
@click.option("--within", metavar="DURATION", help="... to a good end in this time, such as 26h.")
def list_experiments(
    pattern: str, as_json: bool, expect: str | None, within: str | None, **place: Any
) -> None:
    """List the experiments, the latest first: state, age, trials, best, verdict, cost.

    A series' name (nightly of nightly-2026-11-28) or a pattern may be expected within a time.
    """
    from dataclasses import asdict

    from tune_jobs.engine.errors import JobError
    from tune_jobs.engine.experiments.listing import find_in_time, lines
    from tune_jobs.engine.experiments.listing import list_experiments as find_entries
    from tune_jobs.engine.formatting import parse_duration
    from tune_jobs.engine.outcome import OVERDUE
    from tune_jobs.engine.storage.folder import open_folder

    if bool(expect) != bool(within):
        raise JobError("--expect and --within belong together: --expect nightly --within 26h")
    entries = find_entries(open_folder(storage_of(place)), pattern)
    if expect and within:
        came, said = find_in_time(expect, entries, parse_duration(within))
        click.echo(said)
        sys.exit(0 if came else OVERDUE)
    if as_json:
        for entry in entries:
            click.echo(json.dumps(asdict(entry)))
    elif entries:
        click.echo("\n".join(lines(entries)))
    else:
        click.echo(f"no experiment {pattern!r} in {storage_of(place)}", err=True)


@click.command()
@storage_options
@click.option(
    "--keep-last",
    type=click.IntRange(0),
    default=10,
    show_default=True,
    help="So many of the latest of each series stay as they are.",
)
@click.option("--older-than", metavar="DURATION", help="Only what is older, such as 30d.")
@click.option("--yes", is_flag=True, help="Delete; without it nothing is.")
def clean(keep_last: int, older_than: str | None, yes: bool, **place: Any) -> None:
    """Free space: checkpoints of old experiments, and those that found nothing.

    Never what is being written, what a verdict refers to, or a best model.
    """
    from tune_jobs.engine.experiments.cleaning import find_removable, remove
    from tune_jobs.engine.formatting import parse_duration, size
    from tune_jobs.engine.storage.folder import open_folder

    storage = open_folder(storage_of(place))
    seconds = parse_duration(older_than) if older_than else None
    waste = find_removable(storage, keep_last=keep_last, older_than=seconds)
    freed = 0
    for each in waste:
        was_held = yes and not remove(storage, each)
        freed += 0 if was_held else each.size
        note = ", left alone: a run has begun" if was_held else ""
        click.echo(f"{each.name}  {size(each.size)}: {each.what}{note}")
    how = "freed" if yes else "to free; nothing was deleted, add --yes"
    click.echo(f"{size(freed)} {how}" if waste else "nothing to free")


@click.command()
@click.argument("experiment")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def show(experiment: str, as_json: bool) -> None:
    """Show an experiment: its best, its trials, its failures; while it runs, too."""
    from tune_jobs.engine.experiments.experiment import open_experiment

    print_result(open_experiment(experiment), as_json=as_json, short=False)


@click.command()
@click.argument("experiments", nargs=-1, required=True, metavar="EXPERIMENT...")
def report(experiments: tuple[str, ...]) -> None:
    """Write report.html and report.png into the folder of the EXPERIMENT.

    Several experiments are one page, side by side, called by their names, in the first's folder.
    """
    from tune_jobs.engine.experiments.experiment import open_experiment
    from tune_jobs.engine.report import write_report

    found = [open_experiment(each) for each in experiments]
    names = [experiment.name for experiment in found[1:]]
    for place in write_report(found, name="-".join(["report", *(f"with-{n}" for n in names)])):
        click.echo(place)


@click.command()
@click.argument("experiment")
@click.argument("source")
@click.argument("target")
def predict(experiment: str, source: str, target: str) -> None:
    """Predict each row of SOURCE with the best model; write TARGET (.parquet or .csv)."""
    from tune_jobs.engine.experiments.experiment import open_experiment
    from tune_jobs.engine.runs.predict import predict as predict_rows

    with tensorflow_silenced():
        rows = predict_rows(open_experiment(experiment), source, target)
    click.echo(f"{rows:,} predictions in {target}")


@click.command()
@click.argument("experiment")
@click.argument("target")
def export(experiment: str, target: str) -> None:
    """Write the winner's model to TARGET, a .keras file that takes raw columns.

    Where no winner was chosen it is the best trial's, from its checkpoint.
    """
    from tune_jobs.engine.errors import JobError
    from tune_jobs.engine.experiments.experiment import open_experiment
    from tune_jobs.engine.experiments.files import MODEL
    from tune_jobs.engine.finals.export import export_file, recipe_of

    if not target.endswith(".keras"):
        raise JobError(f"a model goes to a .keras file, not to {target!r}")
    if not Path(target).absolute().parent.is_dir():
        raise JobError(f"the folder of {target!r} does not exist")
    found = open_experiment(experiment)
    if found.folder.exists(MODEL):
        Path(target).write_bytes(found.folder.read(MODEL))
    else:
        with tensorflow_silenced():
            export_file(recipe_of(found), target)
    click.echo(target)
