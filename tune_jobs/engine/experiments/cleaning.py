"""Delete what nobody needs of old experiments.

If an experiment's model was exported, its checkpoints are deleted: only a trial that was cut off
would need them. An experiment that found nothing is deleted as a whole. Active runs, best models
(a file, or still a checkpoint) and anything that a verdict refers to are kept.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.experiments.files import INCUMBENT, LEASE, MODEL, RETESTS
from tune_jobs.engine.experiments.holder import find_holder
from tune_jobs.engine.experiments.lease import TakenError, leased
from tune_jobs.engine.experiments.listing import DAMAGED, Entry, list_experiments
from tune_jobs.engine.outcome import FINAL
from tune_jobs.engine.serialization import parse
from tune_jobs.engine.storage.folder import Folder

# The folders of checkpoints: of the search, and of finals that were cut off.
CHECKPOINTS = ("trials", "finalists/trials")


@dataclass(frozen=True)
class Removable:
    """The parts of an experiment that may be deleted.

    Attributes:
        name: the experiment's.
        parts: folders in it; empty for all of it.
        size: in bytes.
    """

    name: str
    parts: tuple[str, ...]
    size: int

    @property
    def what(self) -> str:
        """Its description in words."""
        return "checkpoints" if self.parts else "everything, since it has no results"


def find_removable(storage: Folder, *, keep_last: int, older_than: float | None) -> list[Removable]:
    """Find what may be deleted, the oldest first.

    Args:
        storage: the folder of the experiments.
        keep_last: how many of the latest experiments of each series are kept.
        older_than: seconds; younger experiments are kept. Runs that have not finished are kept,
            too, unless this is given.
    """
    protected = protected_experiments(storage)
    chosen = [
        entry
        for entry in _old(list_experiments(storage), keep_last, older_than)
        if entry.name not in protected
    ]
    found = [_removable_of(storage.child(entry.name)) for entry in reversed(chosen)]
    return [removable for removable in found if removable is not None]


@dataclass(frozen=True)
class _Reference:
    """What a record of a retest, or of a promotion, refers to; it may be of a newer version."""

    name: str
    time: float


def protected_experiments(storage: Folder) -> set[str]:
    """Find the experiments that verdicts refer to.

    They are those that were retested, the latest retest of each, and the one whose challenger was
    promoted. If a record cannot be read, all retests of its experiment are protected.
    """
    answers = storage.child(RETESTS)
    return set().union(*(_referred(answers.child(name)) for name in answers.folders()))


def _referred(answers: Folder) -> set[str]:
    """Find what the retests of one experiment refer to, that experiment included."""
    records = [name for name in answers.names() if name.endswith(".json")]
    try:
        read = {record: parse(_Reference, answers.read_json(record)) for record in records}
    except (OSError, ValueError):
        return {answers.name, *(record.removesuffix(".json") for record in records)}
    promoted = read.pop(INCUMBENT, None)
    retests = sorted(read.values(), key=lambda each: each.time)
    found = {each.name for each in [*retests[-1:], *([promoted] if promoted else [])]}
    return found | ({answers.name} if retests else set())


def remove(storage: Folder, removable: Removable) -> bool:
    """Delete it while holding the experiment's lease; return False if a run holds that."""
    folder = storage.child(removable.name)
    try:
        with leased(folder):
            for part in removable.parts or set(folder.names()) - {LEASE}:
                folder.delete_whatever(part)
    except TakenError:
        return False
    return True


def _old(entries: Sequence[Entry], keep_last: int, older_than: float | None) -> Iterator[Entry]:
    """Select the entries that have ended, without the latest of each series and the younger."""
    seen: dict[str, int] = defaultdict(int)
    for entry in entries:
        if entry.state in ("running", "hung", DAMAGED):
            continue  # kept, and not counted among the latest
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
