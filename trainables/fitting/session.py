"""The session with Tune: what a fit reports, what it keeps, and where its time goes.

Epochs are sent in messages. A fit runs on to the next rung, where a scheduler may decide, or until
some seconds have passed, and then reports all epochs since; outside Tune it reports nothing.
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

from trainables.fitting.checkpoints import DamagedCheckpointError

Config = Mapping[str, Any]

# After so many seconds a message is sent even if no decision is due.
MESSAGE_SECONDS = 2.0

# Checkpoints that nobody may need take at most this part of the time spent on training.
CHECKPOINT_SHARE = 0.02


@dataclass
class Ledger:
    """What a worker process remembers of its trials of one experiment.

    Attributes:
        best: the best score that a checkpoint was written for.
        training: seconds spent on training.
        checkpoints: seconds spent on checkpoints.
    """

    best: float = math.inf
    training: float = 0.0
    checkpoints: float = 0.0


LEDGERS: dict[str, Ledger] = defaultdict(Ledger)


class Session:
    """One fit's conversation with Tune.

    Attributes:
        spent: seconds by what they were spent on: building, compiling, training, reporting, ...
        path: how the epochs are run, and why so.
        parameters: how many the model has, trainable or not.
    """

    def __init__(self, config: Config) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self.path = ""
        self.parameters: int | None = None
        self.in_tune = is_in_session()
        self._began = time.time()
        self._told = time.monotonic()
        self._rows: list[dict[str, Any]] = []
        self._rungs: Collection[int] | None = config.get("rungs")
        self._wanted: int | None = config.get("epochs")  # the epoch whose weights are wanted
        self._ledger = Ledger()
        if self.in_tune:
            self._ledger = LEDGERS[str(Path(tune.get_context().get_trial_dir()).parent)]

    def resume(self, load: Callable[[str], None]) -> None:
        """Go on from this trial's checkpoint, if it has one; where it is damaged, from the start.

        Args:
            load: reads the state of the fit from a folder.
        """
        checkpoint = tune.get_checkpoint() if self.in_tune else None
        if checkpoint is None:
            return
        try:
            with checkpoint.as_directory() as folder:
                load(folder)
        except DamagedCheckpointError as error:
            warnings.warn(f"{error}; the trial begins anew", stacklevel=2)

    @contextmanager
    def clock(self, purpose: str) -> Iterator[Callable[[], float]]:
        """Count the seconds of the block as spent on a purpose; yields what has elapsed."""
        before = time.perf_counter()
        try:
            yield lambda: time.perf_counter() - before
        finally:
            self.spent[purpose] += time.perf_counter() - before

    def next_stop(self, epoch: int, last: int) -> int:
        """Return the next epoch at which somebody may decide, or the last one."""
        if not self.in_tune:
            return last
        later = [epoch + 1] if self._rungs is None else [r for r in self._rungs if r > epoch]
        return min([*later, last])

    def note(self, row: dict[str, Any]) -> None:
        """Add an epoch to the next message."""
        self._rows.append(row)
        seconds = row["seconds"]
        self.spent["training"] += seconds
        self._ledger.training += seconds

    def is_due(self, epoch: int, *, ended: bool) -> bool:
        """Return whether a message has to be sent after an epoch."""
        if not self.in_tune or not self._rows:
            return False
        is_rung = self._rungs is None or epoch in self._rungs
        return ended or is_rung or time.monotonic() - self._told > MESSAGE_SECONDS

    def send(self, score: float, save: Callable[[str], None]) -> None:
        """Report the epochs since the last message, with a checkpoint where one is worth it.

        Args:
            score: the best value so far, smaller being better, infinite where there is none.
            save: writes the state of the fit into a folder.
        """
        message = {**self._rows[-1], "training_iteration": self._rows[-1]["epoch"]}
        message["epochs"] = self._rows
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = self._checkpoint(folder, score, save)
            message["work"] = self._describe()
            with self.clock("checkpoints" if checkpoint else "reporting") as elapsed:
                tune.report(message, checkpoint=checkpoint)
        self._ledger.checkpoints += elapsed() if checkpoint else 0.0
        self._rows, self._told = [], time.monotonic()

    def _checkpoint(self, folder: str, score: float, save: Callable[[str], None]) -> Any:
        """Save the state of the fit into a folder if it is worth it, else return None."""
        if not self._is_worth_saving(score):
            return None
        with self.clock("checkpoints") as elapsed:
            save(folder)
        self._ledger.checkpoints += elapsed()
        self._ledger.best = min(score, self._ledger.best)
        return tune.Checkpoint.from_directory(folder)

    def _is_worth_saving(self, score: float) -> bool:
        """Save the best of this worker, which may be the best of all, and others if it is cheap.

        A scheduler whose rungs are not known may pause a trial after any epoch.
        """
        ledger = self._ledger
        is_cheap = ledger.checkpoints < CHECKPOINT_SHARE * ledger.training
        is_wanted = self._rows[-1]["epoch"] == self._wanted
        return self._rungs is None or is_wanted or score < ledger.best or is_cheap

    def _describe(self) -> dict[str, Any]:
        return {
            "path": self.path,
            "parameters": self.parameters,
            "worker": f"{platform.node()}:{os.getpid()}",
            "began": self._began,
            "spent": dict(self.spent),
            "memory": memory_used(),
        }


def memory_used() -> float:
    """Return the resident memory of this process, in MiB; where Linux does not tell, its peak."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # macOS: in bytes


def is_in_session() -> bool:
    """Return whether this function runs inside a Tune trial; Ray warns where it does not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return tune.get_context().get_trial_id() is not None
