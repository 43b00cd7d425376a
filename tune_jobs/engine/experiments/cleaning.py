"""Delete what nobody needs of old experiments.

If an experiment's model was exported, its checkpoints are deleted: only a trial that was cut off
would need them. An experiment that found nothing is deleted as a whole. Active runs, best models
(a file, or still a checkpoint) and anything that a verdict refers to are kept.

Only files that a run writes are deleted (:mod:`~.written`), and no link is followed: what users put
into the folder of an experiment stays, and so does what their links lead to.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.experiments.files import FINALISTS, INCUMBENT, LEASE, MODEL, RETESTS, TRIALS
from tune_jobs.engine.experiments.holder import find_holder
from tune_jobs.engine.experiments.lease import TakenError, leased
from tune_jobs.engine.experiments.listing import DAMAGED, Entry, list_experiments
from tune_jobs.engine.experiments.written import is_of_a_run, is_of_checkpoints
from tune_jobs.engine.formatting import count
from tune_jobs.engine.outcome import FINAL
from tune_jobs.engine.serialization import parse
from tune_jobs.engine.storage.folder import Folder

# The folders of checkpoints: of the search, and of finals that were cut off.
CHECKPOINTS = (TRIALS, f"{FINALISTS}/{TRIALS}")


@dataclass(frozen=True)
class Removable:
    """The files of an experiment that may be deleted.

    Attributes:
        name: the experiment's.
        is_whole: whether they are all files of its runs, rather than its checkpoints.
        files: their paths inside it.
        size: in bytes.
        kept: how many other files and links lie where files are deleted, which no run wrote.
    """

    name: str
    is_whole: bool
    files: tuple[str, ...]
    size: int
    kept: int = 0

    @property
    def what(self) -> str:
        """Its description in words."""
        what = "everything, since it has no results" if self.is_whole else "checkpoints"
        kept = f"{count(self.kept, 'file')} that no run wrote"
        return f"{what}; kept: {kept}" if self.kept else what


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
    own = [entry for entry in reversed(chosen) if not storage.is_link(entry.name)]
    found = [_removable_of(storage.child(entry.name)) for entry in own]
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
            now = _waste_of(folder)  # a run may have come and gone
            if now is None or now.is_whole != removable.is_whole:
                return False
            folder.delete_all(now.files)
            for part in [folder] if now.is_whole else map(folder.child, CHECKPOINTS):
                part.delete_empty_folders()
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
    return _waste_of(folder) if holder is None or holder.life == "dead" else None


def _waste_of(folder: Folder) -> Removable | None:
    """Find what may be deleted of an experiment that nobody else holds; None if nothing may."""
    if folder.exists(MODEL):
        found = _choose_files(folder, is_whole=False)
        return found if found.files else None
    try:
        experiment = Experiment(folder)
        found_nothing = experiment.usable.empty and not experiment.problems
    except JobError:  # nothing of it can be read
        found_nothing = False
    return _choose_files(folder, is_whole=True) if found_nothing else None


def _choose_files(folder: Folder, *, is_whole: bool) -> Removable:
    is_waste = is_of_a_run if is_whole else is_of_checkpoints
    places = ("",) if is_whole else tuple(f"{place}/" for place in CHECKPOINTS)
    listed = {path: size for path, size in folder.list_files().items() if path.startswith(places)}
    others = [path for path in listed if not path.startswith(f"{LEASE}/")]
    files = tuple(filter(is_waste, listed))
    size = sum(listed[path] for path in files)
    return Removable(folder.name, is_whole, files, size, len(others) - len(files))
