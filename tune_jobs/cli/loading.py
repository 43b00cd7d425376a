"""Load the job and the profile that a command names, with its options applied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tune_jobs.engine.goal import Mode
    from tune_jobs.engine.job.job import Job
    from tune_jobs.engine.job.modules import Found
    from tune_jobs.engine.job.profile import Profile

# A grid of more points than this is searched only with --yes.
MOST_GRID_TRIALS = 1000

JOB_OPTIONS = (
    *("num_samples", "max_epochs", "seed", "data", "target", "searcher"),
    *("ignore", "ids", "drop_missing_target", "class_weight", "metric", "mode"),
)

FLAGS = {"sets": "--set", "ids": "--id"}  # of options that have another name in Python

DATA = {"source": "data", "target": "target"}  # fields of a job's data, and their options


def load(name: str, options: Mapping[str, Any]) -> tuple[Found, Profile]:
    """Find a job and its profile, and apply the options of the command line.

    Raises:
        JobError: if either cannot be found, or an option does not fit it.
    """
    from tune_jobs.engine.errors import JobError
    from tune_jobs.engine.job.job import Job
    from tune_jobs.engine.job.modules import find_job
    from tune_jobs.engine.job.profile import load_profile
    from tune_jobs.engine.storage.uris import check_without_secrets, scheme_of

    for source in filter(None, [options["data"], *options.get("warm_start", ())]):
        if scheme_of(source):
            check_without_secrets(source)
    found = find_job(name)
    profile = load_profile(options["profile"] or "laptop")
    if options["storage"]:
        profile = replace(profile, storage=options["storage"])
    if isinstance(found.job, Job):
        return replace(found, job=_with_options(found.job, options)), profile
    for option in (*JOB_OPTIONS, "sets", "stop_when_done"):
        if options.get(option) not in (None, False, (), []):
            raise JobError(f"{_flag(option)} does not apply: {found.name} builds its own tuner")
    return found, profile


def _flag(option: str) -> str:
    return FLAGS.get(option, f"--{option.replace('_', '-')}")


def storage_of(options: Mapping[str, Any]) -> str:
    """Return the folder or URI of the experiments that a command is about."""
    from tune_jobs.engine.job.profile import load_profile

    return options["storage"] or load_profile(options["profile"] or "laptop").storage


def check_grid_size(job: Job, yes: bool) -> None:
    """Refuse a large grid unless --yes was given.

    Raises:
        JobError: if the grid has more than 1,000 points and ``yes`` is False.
    """
    from tune_jobs.engine.errors import JobError

    points = job.num_trials // job.num_samples
    if points > MOST_GRID_TRIALS and not yes:
        raise JobError(
            f"the grid has {points:,} points, more than {MOST_GRID_TRIALS:,}; "
            "add --yes to search all of them, or write choices and use Auto()"
        )


def _with_options(job: Job, options: Mapping[str, Any]) -> Job:
    """Apply options to a job, --set last."""
    from tune_jobs.cli.overrides import override
    from tune_jobs.engine.search.searchers import make_recipe

    given = {key: options[key] for key in ("num_samples", "max_epochs", "seed")}
    job = replace(job, **{key: value for key, value in given.items() if value is not None})
    if options["searcher"]:
        job = replace(job, searcher=make_recipe(options["searcher"]))
    if options["stop_when_done"]:
        job = replace(job, stop_when_done=True)
    job = _with_class_weight(_with_columns(_with_data(job, options), options), options)
    job = _with_finalists(job, options["finalists"], options["ensemble"])
    job = _with_metric(job, options.get("metric"), options.get("mode"))
    for assignment in options["sets"]:
        job = override(job, assignment)
    return job


def _with_data(job: Job, options: Mapping[str, Any]) -> Job:
    from tune_jobs.engine.errors import JobError

    for field, option in DATA.items():
        if options[option] is None:
            continue
        if job.data is None:
            raise JobError(f"--{option} does not apply: the job has no data set")
        if not hasattr(job.data, field):
            raise JobError(f"--{option} does not apply: the data set of the job has no {field}")
        recipe: Any = job.data
        value = options[option]
        if option == "target" and "," in value:
            value = tuple(name.strip() for name in value.split(","))
        job = replace(job, data=replace(recipe, **{field: value}))
    return job


def _with_columns(job: Job, options: Mapping[str, Any]) -> Job:
    """Apply what is said of single columns and of rows without a target."""
    from tune_jobs.engine.errors import JobError

    added = {
        name: [column for each in options.get(name) or () for column in each.split(",")]
        for name in ("ignore", "ids")
    }
    flags = {"drop_missing_target": True} if options.get("drop_missing_target") else {}
    given = [_flag(name) for name, value in {**added, **flags}.items() if value]
    if not given:
        return job
    if not all(hasattr(job.data, field) for field in (*added, "drop_missing_target")):
        raise JobError(f"{given[0]} does not apply: the job's data is not a table")
    recipe: Any = job.data
    fields = {
        name: (*getattr(recipe, name), *(c for c in more if c not in getattr(recipe, name)))
        for name, more in added.items()
    }
    return replace(job, data=replace(recipe, **fields, **flags))


def _with_class_weight(job: Job, options: Mapping[str, Any]) -> Job:
    from tune_jobs.engine.errors import JobError

    wanted = options.get("class_weight")
    if wanted is None:
        return job
    if getattr(job.data, "task", None) == "regression":
        raise JobError("--class-weight does not apply: the target is a number")
    return replace(job, space={**job.space, "class_weight": wanted})


def _with_metric(job: Job, metric: str | None, mode: Mode | None) -> Job:
    from tune_jobs.engine.job.metric import with_metric

    if metric is not None:
        return with_metric(job, metric, mode)
    return job if mode is None else replace(job, mode=mode)


def _with_finalists(job: Job, count: int | None, ensemble: bool) -> Job:
    from tune_jobs.engine.errors import JobError
    from tune_jobs.engine.job.finalists import Finalists

    if count is None and not ensemble:
        return job
    if not (job.finalists if count is None else count):
        if ensemble:
            raise JobError("--ensemble needs finalists, but the job has none; add --finalists 5")
        return replace(job, finalists=None)
    found = job.finalists or Finalists()
    found = found if count is None else replace(found, count=count)
    return replace(job, finalists=replace(found, ensemble=ensemble or found.ensemble))
