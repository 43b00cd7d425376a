"""Cleaning: what of old experiments may go, and what never does.

Of an experiment whose model was exported the checkpoints go: nothing but a trial that was cut off
would need them. One that found nothing goes as a whole. What is being written, what a verdict
refers to, and a best model, be it a file or still a checkpoint, stay.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.experiments.files import LEASE, MODEL, RETESTS
from tune_jobs.engine.experiments.holder import find_holder
from tune_jobs.engine.experiments.lease import TakenError, leased
from tune_jobs.engine.experiments.listing import Entry, list_experiments
from tune_jobs.engine.outcome import FINAL
from tune_jobs.engine.storage.folder import Folder

# Where checkpoints lie: those of the search, and those of finals that were cut off.
CHECKPOINTS = ("trials", "finalists/trials")


@dataclass(frozen=True)
class Removable:
    """What may go of an experiment.

    Attributes:
        name: the experiment's.
        parts: folders in it; none stands for all of it.
        size: bytes.
    """

    name: str
    parts: tuple[str, ...]
    size: int

    @property
    def what(self) -> str:
        """What it is, in words."""
        return "its checkpoints" if self.parts else "all of it: it found nothing"


def find_removable(storage: Folder, *, keep_last: int, older_than: float | None) -> list[Removable]:
    """What may go, the oldest first.

    Args:
        storage: where the experiments lie.
        keep_last: of each series so many of the latest stay as they are.
        older_than: seconds; what is younger stays as it is. Runs that did not come to their end
            stay, too, unless this is given.
    """
    sacred = protected_experiments(storage)
    chosen = [
        entry
        for entry in _old(list_experiments(storage), keep_last, older_than)
        if entry.name not in sacred
    ]
    found = [_removable_of(storage.child(entry.name)) for entry in reversed(chosen)]
    return [waste for waste in found if waste is not None]


def protected_experiments(storage: Folder) -> set[str]:
    """The experiments that verdicts refer to.

    They are those that were retested, the latest retest of each, and the one whose challenger was
    promoted.
    """
    answers = storage.child(RETESTS)
    found: set[str] = set()
    for name in answers.folders():
        records = answers.child(name).names()
        read = [answers.child(name).read_object(record) for record in records]
        found |= {str(each["name"]) for each in read if "config" in each}  # promoted
        retests = [each for each in read if "answer" in each]
        retests.sort(key=lambda each: float(each["time"]))
        found |= {str(each["name"]) for each in retests[-1:]} | ({name} if retests else set())
    return found


def remove(storage: Folder, waste: Removable) -> bool:
    """Delete it, holding the experiment meanwhile; whether that could be."""
    folder = storage.child(waste.name)
    try:
        with leased(folder):
            for part in waste.parts or set(folder.names()) - {LEASE}:
                folder.delete_whatever(part)
    except TakenError:
        return False
    return True


def _old(entries: Sequence[Entry], keep_last: int, older_than: float | None) -> Iterator[Entry]:
    """The entries that have ended, without the latest of each series and the younger ones."""
    seen: dict[str, int] = defaultdict(int)
    for entry in entries:
        if entry.state in ("running", "hung"):
            continue  # it stays, and is none of those that are kept instead of older ones
        seen[entry.series] += 1
        is_young = older_than is not None and time.time() - (entry.since or 0) < older_than
        is_open = older_than is None and entry.state not in FINAL
        if seen[entry.series] > keep_last and not is_young and not is_open:
            yield entry


def _removable_of(folder: Folder) -> Removable | None:
    holder = find_holder(folder)
    if holder is not None and holder.life != "dead":
        return None
    if folder.exists(MODEL):
        parts = tuple(part for part in CHECKPOINTS if folder.exists(part))
        size = sum(folder.child(part).size() for part in parts)
        return Removable(folder.name, parts, size) if size else None
    try:
        experiment = Experiment(folder)
        found_nothing = experiment.usable.empty and not experiment.problems
    except JobError:  # nothing of it can be read
        found_nothing = False
    return Removable(folder.name, (), folder.size()) if found_nothing else None
