"""The session with Tune: what a fit reports, which checkpoints it saves, where its time goes.

A message reports several epochs. It is sent at the next rung, where a scheduler may decide, or
after some seconds, whichever comes first. Outside Tune nothing is reported.
"""

from __future__ import annotations

import math
import os
import platform
import resource
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray import tune

from trainables.fitting.compiled.kept_programs import PROGRAMS

Config = Mapping[str, Any]

# Seconds after which a message is sent even if no decision is due.
MESSAGE_SECONDS = 2.0

# The most time that optional checkpoints may take, as a share of the time spent on training.
CHECKPOINT_SHARE = 0.02


class DamagedCheckpointError(ValueError):
    """Raised for a checkpoint that cannot be read."""


@dataclass
class CheckpointBudget:
    """The scores and times of a worker's trials of one experiment, which limit its checkpoints.

    Attributes:
        best: the best score that a checkpoint was saved for.
        training: seconds spent on training.
        checkpoints: seconds spent on checkpoints.
    """

    best: float = math.inf
    training: float = 0.0
    checkpoints: float = 0.0


# By the run and the folder of the experiment; a worker process runs many trials. Runs that begin in
# the same second have the same folder on the machine.
BUDGETS: dict[tuple[Path, Path], CheckpointBudget] = defaultdict(CheckpointBudget)


class Session:
    """The reports and checkpoints of one fit, and what it says about itself.

    Attributes:
        spent: seconds by purpose: building, compiling, training, reporting, ...
        path: how the epochs are run, and why.
        fallback: why a fit that should have been compiled runs ``model.fit``, None if it does not.
        parameters: the number of the model's parameters, trainable or not.
    """

    def __init__(self, config: Config) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self.path = ""
        self.fallback: str | None = None
        self.parameters: int | None = None
        self.in_tune = is_in_session()
        self._began = time.time()
        self._last_sent = time.monotonic()
        self._rows: list[dict[str, Any]] = []
        self._rungs: Collection[int] | None = config.get("rungs")
        self._pauses: bool = config.get("pauses", False)
        self._last_epoch: int | None = config.get("epochs")  # whose weights are kept
        self._saves_all: bool = config.get("saves_all", False)  # each trial's model is wanted
        self._budget = CheckpointBudget()
        if self.in_tune:
            context = tune.get_context()
            places = (context.get_trial_dir(), context.get_storage().trial_fs_path)
            run, experiment = (Path(place).parent for place in places)
            self._budget = BUDGETS[run, experiment]

    def resume(self, load: Callable[[str], None]) -> None:
        """Resume from this trial's checkpoint, if it has one; if that is damaged, start afresh.

        Args:
            load: reads the state of the fit from a folder; it raises a DamagedCheckpointError if it
                cannot.
        """
        checkpoint = tune.get_checkpoint() if self.in_tune else None
        if checkpoint is None:
            return
        try:
            with checkpoint.as_directory() as folder:
                load(folder)
        except DamagedCheckpointError as error:
            warnings.warn(f"{error}; the trial restarts from its first epoch", stacklevel=2)

    @contextmanager
    def clock(self, purpose: str) -> Iterator[Callable[[], float]]:
        """Count the seconds of a block for a purpose; yield a function that returns them."""
        before = time.perf_counter()
        try:
            yield lambda: time.perf_counter() - before
        finally:
            self.spent[purpose] += time.perf_counter() - before

    def next_stop(self, epoch: int, last: int) -> int:
        """Return the next epoch at which a scheduler may decide, or the last one."""
        if not self.in_tune:
            return last
        later = [epoch + 1] if self._rungs is None else [r for r in self._rungs if r > epoch]
        return min([*later, last])

    def note(self, row: dict[str, Any]) -> None:
        """Add an epoch to the next message."""
        self._rows.append(row)
        seconds = row["seconds"]
        self.spent["training"] += seconds
        self._budget.training += seconds

    def is_due(self, epoch: int, *, ended: bool) -> bool:
        """Return whether a message has to be sent after an epoch."""
        if not self.in_tune or not self._rows:
            return False
        is_rung = self._rungs is None or epoch in self._rungs
        return ended or is_rung or time.monotonic() - self._last_sent > MESSAGE_SECONDS

    def send(self, score: float, save: Callable[[str], None] | None) -> None:
        """Report the epochs since the last message, with a checkpoint if one is worth saving.

        Args:
            score: the best value so far, smaller being better; infinite if no epoch has one.
            save: writes the state of the fit into a folder; None if it has none.
        """
        message = {**self._rows[-1], "training_iteration": self._rows[-1]["epoch"]}
        message["epochs"] = self._rows
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = self._checkpoint(folder, score, save)
            message["work"] = self._describe()
            with self.clock("checkpoints" if checkpoint else "reporting") as elapsed:
                tune.report(message, checkpoint=checkpoint)
        self._budget.checkpoints += elapsed() if checkpoint else 0.0
        self._rows, self._last_sent = [], time.monotonic()

    def _checkpoint(
        self, folder: str, score: float, save: Callable[[str], None] | None
    ) -> tune.Checkpoint | None:
        """Save the state of the fit into a folder and return it; None if it is not worth saving."""
        if save is None or not self._is_worth_saving(score):
            return None
        with self.clock("checkpoints") as elapsed:
            save(folder)
        self._budget.checkpoints += elapsed()
        self._budget.best = min(score, self._budget.best)
        return tune.Checkpoint.from_directory(folder)

    def _is_worth_saving(self, score: float) -> bool:
        """Return whether a checkpoint is needed, may be the best of all trials, or is cheap.

        With ``saves_all`` in the config, every message has one.
        Without known rungs it is always needed: a scheduler may pause the trial after any epoch.
        """
        budget, epoch = self._budget, self._rows[-1]["epoch"]
        may_pause = self._rungs is None or (self._pauses and epoch in self._rungs)
        is_needed = may_pause or epoch == self._last_epoch or self._saves_all
        is_cheap = budget.checkpoints < CHECKPOINT_SHARE * budget.training
        return is_needed or score < budget.best or is_cheap

    def _describe(self) -> dict[str, Any]:
        return {
            "path": self.path,
            "fallback": self.fallback,
            "parameters": self.parameters,
            "worker": f"{platform.node()}:{os.getpid()}",
            "began": self._began,
            "spent": dict(self.spent),
            "memory": memory_used() - PROGRAMS.memory,
        }


def memory_used() -> float:
    """Return the resident memory of this process, in MiB; outside Linux its peak."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # macOS: in bytes


def is_in_session() -> bool:
    """Return whether this process runs a trial of Tune."""
    with warnings.catch_warnings():  # Ray warns if it does not
        warnings.simplefilter("ignore")
        return tune.get_context().get_trial_id() is not None
