"""A setup: a job, and everything that a search of it starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tune_jobs.engine.data.own_data import OwnData, Store
from tune_jobs.engine.job.description import Slot
from tune_jobs.engine.job.job import Job
from tune_jobs.engine.job.profile import Profile
from tune_jobs.engine.storage.folder import Folder

if TYPE_CHECKING:
    from tune_jobs.engine.data.dataset import Dataset


@dataclass(frozen=True)
class Setup:
    """A job, the place it runs in, and the command that asked for it.

    Attributes:
        job: the job, or a stage of it.
        profile: the machines, and the resources of a trial.
        folder: the experiment's.
        data: the job's data, None if it has none.
        command: the options of the command line, so that it can be repeated.
        slot: the slot of a schedule that the run is for, None without a schedule.
        store: what of the data is in Ray's object store.
    """

    job: Job
    profile: Profile
    folder: Folder
    data: Dataset | OwnData | None = None
    command: Mapping[str, object] = field(default_factory=dict)
    slot: Slot | None = None
    store: Store = field(default_factory=Store, repr=False, compare=False)

    @property
    def dataset(self) -> Dataset | None:
        """The data, if they have columns or images, a test set, and can be cut into folds."""
        return None if isinstance(self.data, OwnData) else self.data

    @property
    def own_data(self) -> OwnData | None:
        """The data, if they are arrays that a recipe has made itself."""
        return self.data if isinstance(self.data, OwnData) else None
