"""The id of an experiment, which stands in all its files: a file of another one is noticed.

It is drawn when the experiment begins, and never changes; it has nothing to do with the name of the
folder, which may be renamed or copied as a whole. Version 0.1 wrote no ids; an experiment of it
that is continued is adopted: it gets an id, and its files without one remain its own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import uuid4

from tune_jobs.engine.experiments.files import DESCRIPTION, HISTORY, MIRROR, SUMMARY
from tune_jobs.engine.experiments.history.packing import list_segments, read_head
from tune_jobs.engine.storage.folder import Folder

ADOPTED = "adopted-"

# Bytes of a JSON file that hold its id, the first of its keys.
START = 2**12
ID = re.compile(rb'\A\s*\{\s*"experiment_id"\s*:\s*"([a-z0-9-]+)"')


@dataclass(frozen=True)
class Identity:
    """The identity of an experiment.

    Attributes:
        id: the experiment's, None if version 0.1 wrote it.
    """

    id: str | None

    def owns(self, found: str | None) -> bool:
        """Return whether a file with this id, or without one, is the experiment's."""
        is_adopted = self.id is not None and self.id.startswith(ADOPTED)
        return found == self.id or (found is None and is_adopted)


def identify(folder: Folder) -> Identity:
    """Find the identity of the experiment in a folder: what most of its files say.

    They are the description, the newest segment of the history, its copy, and the summary; the
    first two that agree are enough, so that a list of experiments reads only small files.
    """
    said = [*_ids_in(folder, DESCRIPTION), *_ids_in(folder, SUMMARY)]
    if len(said) == 2 and said[0] == said[1] is not None:
        return Identity(said[0])
    inside = folder.child(HISTORY)
    if segments := list_segments(inside):
        newest = max(segments, key=lambda each: (each.attempt, each.last))
        heads = [read_head(place, newest) for place in (inside, inside.child(MIRROR))]
        said[1:1] = [head.experiment_id for head in heads if head is not None]
    return _choose(said)


def draw_id(folder: Folder, *, exists: bool) -> str:
    """Return the id of the experiment in a folder, a new one if it has none.

    Args:
        folder: the experiment.
        exists: whether an earlier run has written it, which had no ids then.
    """
    return identify(folder).id or f"{ADOPTED if exists else ''}{uuid4().hex}"


def _choose(said: Sequence[str | None]) -> Identity:
    """Choose the identity that owns most of what files say; of several the first."""
    choices = [Identity(each) for each in said]
    return max(choices, key=lambda choice: sum(map(choice.owns, said)), default=Identity(None))


def _ids_in(folder: Folder, name: str) -> list[str | None]:
    """Return the id in a JSON file, None if it has none; nothing if the file cannot be read."""
    try:
        found = ID.match(folder.read(name, most=START))
        return [found[1].decode()] if found else [None]
    except OSError:
        return []
