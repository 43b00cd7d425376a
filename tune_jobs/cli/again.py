"""Complete a command line that continues an earlier one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.experiments.experiment import Experiment, open_experiment
from tune_jobs.engine.experiments.files import DESCRIPTION
from tune_jobs.engine.job.trust import list_files, refuse_stored
from tune_jobs.engine.serialization import WORDS
from tune_jobs.engine.storage.folder import Folder, open_folder

# What an experiment notes of its command, with the type of each.
KINDS = {
    **dict.fromkeys(("num_samples", "max_epochs", "seed", "finalists"), int),
    **dict.fromkeys(("job", "cwd", "data", "target", "sets", "profile", "searcher"), str),
    **dict.fromkeys(("ignore", "ids", "class_weight", "metric", "mode"), str),
    **dict.fromkeys(("ensemble", "stop_when_done", "drop_missing_target"), bool),
}

LISTS = ("sets", "ignore", "ids")  # options that can be repeated


def command_of(job: str | None, options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the job and the options of a command line, taking missing ones from the experiment.

    Raises:
        JobError: if neither a job nor an experiment to take it from is given.
    """
    from tune_jobs.engine.job.profile import load_profile

    if job is not None:
        if options["resume"] or options["extend"]:
            check_given(job)
        return job, options
    if not options["name"] or not (options["resume"] or options["extend"]):
        lacking = "--resume or --extend" if options["name"] else "--name"
        raise JobError(
            f"give a JOB (see tune-jobs list), or add {lacking} to continue an experiment: "
            "tune-jobs run --name NAME --resume"
        )
    storage = options["storage"] or load_profile(options["profile"] or "laptop").storage
    experiment = open_experiment(options["name"], storage)
    command = experiment.description.command
    if command.get("retest_of"):
        raise JobError(
            f"{options['name']} is a retest; continue it with: "
            f"tune-jobs retest {command['retest_of']} --name {options['name']} --resume"
        )
    if not command.get("job"):
        raise JobError(f"experiment {options['name']!r} does not record its job; give JOB")
    original = original_of(experiment)
    check_original(experiment, original, options, open_folder(storage))
    return str(original.pop("job")), fill_in(options, original)


def original_of(experiment: Experiment) -> dict[str, Any]:
    """Return the job and the options that began an experiment, those that define its search.

    The file of a job is the one in the folder where the command was given, if that is still there.

    Raises:
        JobError: if one is of another type than the command line gives.
    """
    command = experiment.description.command
    found = {name: command[name] for name in KINDS if command.get(name) is not None}
    for name, value in found.items():
        parts = value if name in LISTS and isinstance(value, list) else [value]
        if not all(type(part) is KINDS[name] for part in parts):
            raise JobError(
                f"{experiment.folder.uri} is damaged: its {DESCRIPTION} has command.{name} "
                f"{value!r}, but must be {WORDS[KINDS[name]]}"
            )
    begun = Path(found.pop("cwd", ""), found.get("job", ""))
    return {**found, "job": str(begun)} if begun.suffix == ".py" and begun.is_file() else found


def check_original(
    experiment: Experiment,
    original: Mapping[str, Any],
    options: Mapping[str, Any],
    storage: Folder,
) -> None:
    """Refuse a job or a profile that came with results, those of an experiment or others.

    Args:
        experiment: the one that is continued or retested.
        original: the job and the options that began it.
        options: of the command line, which the user has given.
        storage: the folder of the experiments.

    Raises:
        JobError: naming it.
    """
    from tune_jobs.engine.job.profile import find_profile

    storages = (storage.local_path, experiment.folder.parent.local_path)
    if options.get("job"):
        check_given(options["job"])
    else:
        job = str(original.get("job"))
        refuse_stored(f"the job of {experiment.name}", job, list_files(job), storages, DESCRIPTION)
    if not options.get("profile") and original.get("profile"):
        profile = str(original["profile"])
        files = [find_profile(profile)]
        refuse_stored(f"the profile of {experiment.name}", profile, files, storages, DESCRIPTION)


def check_given(job: str) -> None:
    """Refuse to continue an experiment with a job that came with results.

    The storage may be the working directory, so a job that the user names may lie in it.

    Raises:
        JobError: if it lies in the folder of an experiment.
    """
    refuse_stored("named in the command", job, list_files(job), (), DESCRIPTION)


def describe_original(job: str) -> str:
    """Return the file of a job that the experiment names, which a command is about to run."""
    return str((list_files(job) or [Path(job)])[-1].absolute())


def check_named(options: Mapping[str, Any], default: str, storage: str) -> None:
    """Refuse to continue an experiment that is not named: the default name is always a new one.

    Args:
        options: of the command line.
        default: the default name without the start time.
        storage: the folder or URI of the experiments.

    Raises:
        JobError: naming the latest experiment with the default name, if there is one.
    """
    if options["name"] or options["slot"]:
        return
    rules = {"resume": "continue or start", "extend": "extend"}
    for option in [each for each in rules if options.get(each)]:
        begun = re.compile(rf"{re.escape(default)}-\d{{8}}-\d{{6}}")
        known = [name for name in open_folder(storage).folders() if begun.fullmatch(name)]
        hint = f"; the latest with the default name is {max(known)}" if known else ""
        raise JobError(f"--{option} needs --name, the experiment to {rules[option]}{hint}")


def fill_in(options: Mapping[str, Any], original: Mapping[str, Any]) -> dict[str, Any]:
    """Complete command-line options, taking missing ones from the original command."""
    given = {name: value for name, value in options.items() if _is_given(value)}
    return {**options, **original, **given}


def _is_given(value: Any) -> bool:
    """Tell a given option from a missing one; 0 is given, a flag that is off is not."""
    return value is not None and value is not False and value not in ((), [])
