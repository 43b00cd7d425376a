"""The commands about existing experiments: show, report, predict, export, compare, ls, clean."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tune_jobs.cli.help import Command
from tune_jobs.cli.loading import storage_of
from tune_jobs.cli.options import AS_JSON, AS_JSON_LINES, storage_options
from tune_jobs.cli.output import (
    echo,
    end,
    print_result,
    tensorflow_silenced,
    terminal_width,
)

if TYPE_CHECKING:
    from tune_jobs.engine.experiments.experiment import Experiment


def open_with_code(place: str, job: str | None, storage: str) -> Experiment:
    """Open an experiment, and import the job that may read its model, if the user names one."""
    from tune_jobs.engine.experiments.experiment import open_experiment
    from tune_jobs.engine.experiments.files import DESCRIPTION
    from tune_jobs.engine.job.modules import import_module
    from tune_jobs.engine.job.trust import list_files, refuse_stored

    found = open_experiment(place, storage)
    if job is None:
        return found
    folders = [found.folder.local_path]
    around = found.folder.parent.local_path
    if around is not None and not Path.cwd().is_relative_to(around.resolve()):
        folders.append(around)  # else it may be the working directory, which jobs lie in
    refuse_stored("named with --trust", job, list_files(job), folders, DESCRIPTION)
    return open_experiment(place, storage, code=import_module(job).module)


@click.command(cls=Command, examples=["show june", "show june --json"])
@click.argument("experiment")
@storage_options
@AS_JSON
def show(experiment: str, as_json: bool, **place: Any) -> None:
    """Show the results of an experiment, finished or running."""
    from tune_jobs.engine.experiments.experiment import open_experiment

    found = open_experiment(experiment, storage_of(place))
    print_result(found, as_json=as_json, short=False)


@click.command(cls=Command, examples=["report june", "report june july", "report june --serve"])
@click.argument("experiments", nargs=-1, required=True, metavar="EXPERIMENT...")
@storage_options
@click.option(
    "--serve", is_flag=True, help="Serve the page to this machine's browser instead, until Ctrl-C."
)
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=8321,
    show_default=True,
    metavar="N",
    help="Port of --serve on 127.0.0.1; 0 for a free one.",
)
def report(experiments: tuple[str, ...], serve: bool, port: int, **place: Any) -> None:
    """Write report.html and report.png to the experiment's folder.

    Several experiments are compared on one page, which is written to the folder of the first and
    named after all of them. The page of a run that has not ended reloads itself.
    """
    from tune_jobs.cli.serving import serve as serve_page
    from tune_jobs.engine.experiments.experiment import open_experiment
    from tune_jobs.engine.report import make_page, write_report

    storage = storage_of(place)
    found = [open_experiment(each, storage) for each in experiments]
    if serve:  # the page is read anew on request, since a run may write meanwhile
        read = partial(open_experiment, storage=storage)
        serve_page(lambda: make_page([read(each) for each in experiments]), port)
        return
    names = [experiment.name for experiment in found[1:]]
    for path in write_report(found, name="-".join(["report", *(f"with-{n}" for n in names)])):
        echo(path)


TRUST = click.option(
    "--trust",
    metavar="JOB",
    help="Job whose own code may read the model: its functions, and the layers that it registers. "
    "Without it, no code runs because results name it.",
)


@click.command(
    cls=Command,
    examples=["predict june new.csv out.csv", "predict june new.csv out.csv --keep name,zip"],
)
@click.argument("experiment")
@click.argument("source")
@click.argument("target")
@click.option(
    "--keep",
    multiple=True,
    metavar="A,B",
    help="Columns of SOURCE to write beside the predictions; all for every one (repeatable).",
)
@click.option("--force", is_flag=True, help="Overwrite TARGET if it exists.")
@storage_options
@TRUST
def predict(
    experiment: str,
    source: str,
    target: str,
    keep: tuple[str, ...],
    force: bool,
    trust: str | None,
    **place: Any,
) -> None:
    """Predict every row of a table with the best model.

    Reads SOURCE, a table with the same columns as the training data, and writes the predictions to
    TARGET (.parquet, .csv or .tsv): the prediction, the probability of each class, and any
    identifiers. A .csv file has the separator and the decimal mark of SOURCE.
    """
    from tune_jobs.engine.runs.predict import predict as predict_rows

    with tensorflow_silenced():
        found = open_with_code(experiment, trust, storage_of(place))
        columns = [column for each in keep for column in each.split(",")]
        rows = predict_rows(found, source, target, keep=columns, force=force)
    echo(f"{rows:,} predictions in {target}")


@click.command(cls=Command, examples=["export june june.keras"])
@click.argument("experiment")
@click.argument("target")
@storage_options
@TRUST
def export(experiment: str, target: str, trust: str | None, **place: Any) -> None:
    """Export the winning model to TARGET, a .keras file.

    The model takes the columns of the table as they are. If no winner was chosen, the best trial is
    exported from its checkpoint.
    """
    from tune_jobs.engine.errors import JobError
    from tune_jobs.engine.experiments.files import MODEL
    from tune_jobs.engine.finals.export import recipe_of
    from tune_jobs.engine.finals.making import export_file

    if not target.endswith(".keras"):
        raise JobError(f"TARGET must end in .keras, got {target!r}")
    if not Path(target).absolute().parent.is_dir():
        raise JobError(f"cannot write {target!r}: its folder does not exist")
    found = open_with_code(experiment, trust, storage_of(place))
    if found.folder.exists(MODEL):
        Path(target).write_bytes(found.read_model())
    else:
        with tensorflow_silenced():
            export_file(recipe_of(found), target)
    echo(target)


@click.command(cls=Command, examples=["compare june july"])
@click.argument("one", metavar="A")
@click.argument("other", metavar="B")
@storage_options
@AS_JSON
def compare(one: str, other: str, as_json: bool, **place: Any) -> None:
    """Compare the results, cost and settings of two experiments."""
    from tune_jobs.engine.experiments.experiment import open_experiment
    from tune_jobs.engine.report.side_by_side import as_dict, lines

    both = [open_experiment(each, storage_of(place)) for each in (one, other)]
    echo(json.dumps(as_dict(*both)) if as_json else "\n".join(lines(*both)))


@click.command(
    "ls",
    cls=Command,
    examples=["ls nightly", "ls --expect nightly --within 26h"],
)
@click.argument("pattern", default="*")
@storage_options
@AS_JSON_LINES
@click.option(
    "--expect",
    metavar="NAME",
    help="Exit with 14 unless a run of NAME succeeded within the time --within.",
)
@click.option("--within", metavar="DURATION", help="Time for --expect: 45s, 90m, 26h or 30d.")
def list_experiments(
    pattern: str, as_json: bool, expect: str | None, within: str | None, **place: Any
) -> None:
    """List experiments with their state and results, latest first.

    PATTERN is the name of an experiment or of a series (nightly for nightly-2026-11-28), or a glob
    pattern such as 'night*'. The best value of a search is optimistic; fresh scores are not.
    A narrow terminal shows fewer columns; --json has everything.
    """
    from dataclasses import asdict

    from tune_jobs.engine.errors import JobError
    from tune_jobs.engine.experiments.listing import find_in_time, lines
    from tune_jobs.engine.experiments.listing import list_experiments as find_entries
    from tune_jobs.engine.formatting import parse_duration
    from tune_jobs.engine.outcome import OVERDUE
    from tune_jobs.engine.plain import finite
    from tune_jobs.engine.storage.folder import open_folder

    if bool(expect) != bool(within):
        raise JobError("--expect and --within need each other: --expect nightly --within 26h")
    entries = find_entries(open_folder(storage_of(place)), pattern)
    if expect and within:
        came, said = find_in_time(expect, entries, parse_duration(within))
        echo(said)
        end(0 if came else OVERDUE)
    if as_json:
        for entry in entries:
            echo(json.dumps(finite(asdict(entry))))
    elif entries:
        echo("\n".join(lines(entries, terminal_width())))
    else:
        echo(f"no experiments match {pattern!r} in {storage_of(place)}", err=True)


@click.command(cls=Command, examples=["clean --older-than 30d", "clean --older-than 30d --yes"])
@storage_options
@click.option(
    "--keep-last",
    type=click.IntRange(0),
    default=10,
    show_default=True,
    metavar="N",
    help="Keep the latest N of each series.",
)
@click.option(
    "--older-than", metavar="DURATION", help="Only delete from older experiments, e.g. 30d."
)
@click.option(
    "--yes", is_flag=True, help="Really delete; by default, only list what would be deleted."
)
def clean(keep_last: int, older_than: str | None, yes: bool, **place: Any) -> None:
    """Delete what old experiments no longer need.

    That is checkpoints of experiments whose model was exported, and experiments without results.
    Never deletes active runs, best models, or anything a verdict refers to.
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
        note = ", kept: a run has started" if was_held else ""
        echo(f"{each.name}  {size(each.size)}: {each.what}{note}")
    how = "freed" if yes else "can be freed; add --yes to delete"
    echo(f"{size(freed)} {how}" if waste else "nothing to free")
