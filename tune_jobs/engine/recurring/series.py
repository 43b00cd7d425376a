"""A series: the runs of one job that a schedule starts, one for each of its slots.

What belongs to a series as a whole lies in the hidden folder ``.series`` beside the experiments:
the lease that keeps two of its runs from going on at once, and what people were told last.
"""

from __future__ import annotations

import string
from dataclasses import dataclass

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.experiments.files import SERIES
from tune_jobs.engine.job.description import content_of
from tune_jobs.engine.job.job import Job, MakeTuner
from tune_jobs.engine.names import check_experiment_name
from tune_jobs.engine.recurring.slots import name_of_slot
from tune_jobs.engine.storage.folder import Folder, open_folder

PLACES = ("job", "slot", "hash")


@dataclass(frozen=True)
class Slot:
    """What a scheduled run is: its job, its slot, and what is searched.

    Attributes:
        job: the job's short name.
        slot: the slot's name.
        content: a hash of all that the job says.
    """

    job: str
    slot: str
    content: str


def fill_name(template: str, slot: Slot | None) -> str:
    """The name of a slot's experiment; without a slot the template is the name.

    Raises:
        JobError: for a template that all slots would share, one with a place that nobody fills,
            and for one with places where there is no slot.
    """
    places = places_of(template)
    if slot is None:
        if places:
            raise JobError(f"--name {template!r} has the place {{{places[0]}}}, but no --slot")
        return template
    if "slot" not in places:
        raise JobError(f"--name is {template!r}, but all slots would be one run; add {{slot}}")
    name = template.format(job=slot.job, slot=slot.slot, hash=slot.content)
    check_experiment_name(name)
    return name


def places_of(template: str) -> list[str]:
    """What a template of names leaves to be filled in.

    Raises:
        JobError: for braces that are not of a place that there is.
    """
    try:
        parsed = list(string.Formatter().parse(template))
    except ValueError as error:
        raise JobError(f"--name {template!r}: {error}") from None
    places = [place for _, place, _, _ in parsed if place is not None]
    for _, place, form, conversion in parsed:
        if place is not None and (place not in PLACES or form or conversion):
            known = ", ".join(f"{{{known}}}" for known in PLACES)
            raise JobError(f"--name {template!r} has the place {{{place}}}; there are {known}")
    return places


def folder_of(template: str, job: str, storage: str) -> Folder:
    """Where a series lies: the same for all its slots; that of a name without a place is its own.

    Args:
        template: the name, its places not yet filled in.
        job: the job's short name.
        storage: where the experiments lie.
    """
    name = template.replace("{job}", job)
    for place in PLACES:
        name = name.replace(f"{{{place}}}", place.upper())
    check_experiment_name(name)
    return open_folder(storage).child(SERIES).child(name)


def schedule(job: Job | MakeTuner, slot: str | None, zone: str, asked: str) -> Slot | None:
    """What a scheduled run is; None for one that is not.

    Raises:
        JobError: for a slot that is none, or a job that could not go on.
    """
    if slot is None:
        return None
    if not isinstance(job, Job):
        raise JobError("a job that builds its own tuner cannot go on, and so has no --slot")
    return Slot(short_name(asked), name_of_slot(slot, zone), content_of(job))


def short_name(job: str) -> str:
    """What a job is called that is a module, or a file."""
    return job.removesuffix(".py").replace("\\", "/").rsplit("/", 1)[-1].rsplit(".", 1)[-1]
