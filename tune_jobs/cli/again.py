"""Command lines that continue what an earlier one began."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.experiments.experiment import open_experiment


def command_of(job: str | None, options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The job and the options of a command line, those that are not given from the experiment.

    Raises:
        JobError: without a job and without an experiment to take it from.
    """
    from tune_jobs.engine.job.profile import load_profile

    if job is not None:
        return job, options
    if not options["name"] or not (options["resume"] or options["extend"]):
        lacking = "--resume or --extend" if options["name"] else "--name"
        raise JobError(
            f"which JOB? To go on with an experiment's own, give {lacking} too: "
            "tune-jobs run --name NAME --resume"
        )
    storage = options["storage"] or load_profile(options["profile"] or "laptop").storage
    command = dict(open_experiment(options["name"], storage).description.get("command") or {})
    if command.get("retest_of"):
        raise JobError(
            f"{options['name']} is a retest; go on with: tune-jobs retest {command['retest_of']} "
            f"--name {options['name']} --resume"
        )
    if not command.get("job"):
        raise JobError(f"experiment {options['name']!r} does not say its job; name it")
    begun_by: str = command.pop("job")
    return begun_by, fill_in(options, command)


def fill_in(options: Mapping[str, Any], begun: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a command line, those that are not given from the one that began it."""
    given = {name: value for name, value in options.items() if value not in (None, (), [])}
    return {**options, **begun, **given}
