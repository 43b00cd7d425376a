"""Continue or extend an experiment that exists, or do nothing if it is done."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tune_jobs.engine.data.own_data import OwnData
from tune_jobs.engine.errors import JobError
from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.job.changes import differing, find_changes
from tune_jobs.engine.job.describing import describe_job
from tune_jobs.engine.job.description import Description
from tune_jobs.engine.job.setup import Setup
from tune_jobs.engine.resume.past import KnownResult, Past, read_past
from tune_jobs.engine.resume.warm_start import read_results
from tune_jobs.engine.space.membership import identity
from tune_jobs.engine.storage.folder import Folder

if TYPE_CHECKING:
    from tune_jobs.engine.data.dataset import Dataset

logger = logging.getLogger(__name__)

MOST_SHOWN = 5


@dataclass(frozen=True)
class Continuation:
    """The relation of a run to earlier runs of its experiment.

    Attributes:
        resume: whether to continue an experiment that exists.
        extend: how many trials to add to it.
        warm_start: results of other searches, as :func:`~.warm_start.read_results`
            takes them.
        defaults: values, by dotted name, of hyperparameters that earlier trials did not have.
        allow_changed: whether data and code may have changed.
        allow_repeats: whether a config may be trained more than once.
        in_stages: whether the space and the maximum of epochs change by intention.
        past: the experiment so far.
        imported: results of other searches, and their sources.
        target: how many trials the experiment has in the end.
    """

    resume: bool = False
    extend: int = 0
    warm_start: Sequence[str] = ()
    defaults: Mapping[str, object] = field(default_factory=dict)
    allow_changed: bool = False
    allow_repeats: bool = False
    in_stages: bool = False
    past: Past = field(default_factory=Past)
    imported: Sequence[tuple[KnownResult, str]] = ()
    target: int | None = None

    @property
    def is_wanted(self) -> bool:
        """True if an experiment that exists may be written."""
        return self.resume or bool(self.extend)

    @property
    def is_done(self) -> bool:
        """True if nothing is left to train."""
        target = self.target or 0
        return bool(self.past.last) and self.past.last >= target and not self.past.unfinished

    def for_next_stage(self) -> Continuation:
        """Return how the next stage continues what this one has done."""
        return Continuation(
            resume=True,
            defaults=self.defaults,
            allow_changed=True,
            allow_repeats=self.allow_repeats,
        )


def keep_unit(
    data: Dataset | OwnData | None, *experiments: Experiment | None
) -> Dataset | OwnData | None:
    """Return a dataset with errors reported as the first experiment that exists has them.

    Those of version 0.1 are in standard deviations of the target; the unit is one per experiment,
    and per series of retests.
    """
    experiment = next((each for each in experiments if each and each.exists), None)
    if data is None or isinstance(data, OwnData) or experiment is None:
        return data
    new = {"target_mean", "target_scale"} - experiment.description.constants.keys()
    kept = {name: value for name, value in data.signature.items() if name not in new}
    return replace(data, signature=kept)


def check_name(folder: Folder, how: Continuation) -> None:
    """Refuse a name that is taken, or one that is not there to be extended.

    Raises:
        JobError: with the options to choose from.
    """
    exists = bool(set(folder.names()) - {"lease"})
    if exists and not how.is_wanted:
        raise JobError(
            f"experiment {folder.name!r} already exists at {folder.uri}; "
            "continue it with --resume or --extend, or choose another --name"
        )
    if how.extend and not exists:
        raise JobError(f"cannot extend {folder.name!r}: no experiment at {folder.uri}")


def read_continuation(how: Continuation, setup: Setup) -> Continuation:
    """Read what earlier runs have done, and log what of it is ignored.

    Raises:
        JobError: if new results could not be compared with earlier ones.
    """
    job, past = setup.job, _read_experiment(how, setup)
    imported = _read_sources(how, setup, past)
    before = max(past.target or 0, past.last)
    if not how.extend and job.num_trials < before:
        logger.warning(
            f"num_samples is {job.num_trials}, but the experiment already has {before} trials"
        )
    target = before + how.extend if how.extend else max(before, job.num_trials)
    return replace(how, past=past, imported=imported, target=target)


def _read_experiment(how: Continuation, setup: Setup) -> Past:
    """Read the experiment so far, if there is any.

    Raises:
        JobError: if new results could not be compared with its own.
    """
    experiment = Experiment(setup.folder)
    if not experiment.exists:
        return Past()
    for problem in experiment.problems:
        logger.warning(problem)
    now = describe_job(setup)
    _check_changes(experiment, now, how)
    code_changed = "source" in differing(experiment.description, now)
    past = read_past(experiment, setup.job, how.defaults, code_changed=code_changed)
    if not how.in_stages:
        _say_left_out("earlier trials", past.left_out, len(past.trials))
    return past


def _read_sources(how: Continuation, setup: Setup, past: Past) -> list[tuple[KnownResult, str]]:
    """Read the results of other searches that the experiment does not know yet.

    Raises:
        JobError: if a source has no result for the space.
    """
    imported: list[tuple[KnownResult, str]] = []
    known = {_key(each) for each in past.results}  # a source may be given again
    for source in how.warm_start:
        found, left_out = read_results(source, setup.job, setup.profile.storage, how.defaults)
        _say_left_out(f"results in {source}", left_out, len(found))
        if not found:
            raise JobError(f"--warm-start {source}: no result fits the search space of the job")
        imported += [(each, source) for each in found if _key(each) not in known]
    return imported


def _key(result: KnownResult) -> tuple[str, float | None]:
    return identity(result.config), result.score


def _check_changes(experiment: Experiment, now: Description, how: Continuation) -> None:
    before = experiment.description
    for name in ("metric", "mode"):
        if getattr(before, name) != getattr(now, name):
            raise JobError(
                f"the experiment has {name} {getattr(before, name)!r}, but the job has "
                f"{getattr(now, name)!r}; choose another --name"
            )
    changes = find_changes(before, now)
    decisive = changes.decisive
    for note in () if how.in_stages else changes.notes:  # what a stage changes is meant
        logger.warning(f"since the last run, {note}")
    if decisive and not how.allow_changed and experiment.trials["value"].notna().any():
        same = _settings(before.command) == _settings(now.command)
        original = "" if same else "leave out JOB to continue with the original options, "
        raise JobError(
            f"new results cannot be compared with earlier ones: {'; '.join(decisive)}; {original}"
            "add --allow-changed to compare them anyway, or choose another --name"
        )
    for change in decisive:
        logger.warning(f"since the last run, {change}; results are compared anyway")


def _settings(command: Mapping[str, object]) -> dict[str, object]:
    """Return the job and the options of a command line, whatever folder it was given in."""
    job = command.get("job")
    place = str(Path(str(command.get("cwd", "")), str(job)))
    return {**command, "cwd": None, "job": place if place.endswith(".py") else job}


def _say_left_out(what: str, left_out: Sequence[str], used: int) -> None:
    if not left_out:
        return
    total = len(left_out) + used
    more = f"; and {len(left_out) - MOST_SHOWN} more" if len(left_out) > MOST_SHOWN else ""
    logger.warning(
        f"{len(left_out)} of {total} {what} do not fit the search space and are ignored "
        f"({'; '.join(left_out[:MOST_SHOWN])}{more})"
    )
