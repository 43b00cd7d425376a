"""A series: the runs of one job that a schedule starts, one per slot.

What belongs to a series as a whole lies in the hidden folder ``.series`` beside the experiments:
the lease that keeps its runs from overlapping, and the state that people were last sent.
"""

from __future__ import annotations

import string

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.experiments.files import SERIES
from tune_jobs.engine.job.describing import content_of
from tune_jobs.engine.job.description import Slot
from tune_jobs.engine.job.job import Job, MakeTuner
from tune_jobs.engine.names import check_experiment_name
from tune_jobs.engine.recurring.slots import name_of_slot
from tune_jobs.engine.storage.folder import Folder, open_folder

PLACES = ("job", "slot", "hash")


def fill_name(template: str, slot: Slot | None) -> str:
    """Fill in the name of a slot's experiment; without a slot the template is the name.

    Raises:
        JobError: if all slots would share the name, a placeholder is unknown, or there are
            placeholders but no slot.
    """
    places = places_of(template)
    if slot is None:
        if places:
            raise JobError(f"--name {template!r} has {{{places[0]}}}, but --slot is not given")
        return template
    if "slot" not in places:
        raise JobError(f"--name {template!r} would be the same for every slot; add {{slot}}")
    name = template.format(job=slot.job, slot=slot.slot, hash=slot.content)
    check_experiment_name(name)
    return name


def places_of(template: str) -> list[str]:
    """List the placeholders in a template of names.

    Raises:
        JobError: if a placeholder is unknown or a brace is not closed.
    """
    try:
        parsed = list(string.Formatter().parse(template))
    except ValueError as error:
        raise JobError(f"--name {template!r}: {error}") from None
    places = [place for _, place, _, _ in parsed if place is not None]
    for _, place, form, conversion in parsed:
        if place is not None and (place not in PLACES or form or conversion):
            known = ", ".join(f"{{{known}}}" for known in PLACES)
            raise JobError(f"--name {template!r} may have only the plain placeholders {known}")
    return places


def folder_of(template: str, job: str, storage: str) -> Folder:
    """Return the folder of a series, the same for all its slots.

    Args:
        template: the name with its placeholders.
        job: the job's short name.
        storage: the folder or URI of the experiments.
    """
    name = template.replace("{job}", job)
    for place in PLACES:
        name = name.replace(f"{{{place}}}", place.upper())
    check_experiment_name(name)
    return open_folder(storage).child(SERIES).child(name)


def schedule(job: Job | MakeTuner, slot: str | None, zone: str, asked: str) -> Slot | None:
    """Return the slot of a scheduled run; None if the run is not scheduled.

    Raises:
        JobError: if the slot is not valid, or the job cannot be continued.
    """
    if slot is None:
        return None
    if not isinstance(job, Job):
        raise JobError("a job that builds its own tuner cannot be continued, so it takes no --slot")
    return Slot(short_name(asked), name_of_slot(slot, zone), content_of(job))


def short_name(job: str) -> str:
    """Return the short name of a job given as a module or a file."""
    return job.removesuffix(".py").replace("\\", "/").rsplit("/", 1)[-1].rsplit(".", 1)[-1]
