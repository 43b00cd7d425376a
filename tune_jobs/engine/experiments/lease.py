"""The lease of an experiment: at most one run writes it, wherever it lies.

A run that wants an experiment writes a claim, then looks at the others' claims. One that holds the
experiment is respected; of several that ask at once the first by name goes on, once the others
have seen it and withdrawn. Nothing but writing and listing files is needed, so it works in a
folder, on NFS and in S3. A holder writes its claim anew every few seconds; one that does not change
any more belongs to a run that died, and is removed. No two clocks are ever compared for that.

A run that was suspended may wake up after another one has taken over. So a lease is a fence, too:
every write passes it, and is refused if the claim is gone or if the history has records of a later
run. Such a run leaves no trace, and says that it lost the experiment.

A claim says, too, how far its run is and when that last moved, for people who look on
(:mod:`~tune_jobs.engine.experiments.holder`).
"""

from __future__ import annotations

import json
import logging
import os
import random
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from tune_jobs.engine.deadline import NO_DEADLINE, Deadline
from tune_jobs.engine.errors import JobError, StorageError
from tune_jobs.engine.experiments.claims import Claim, describe_self, is_here, is_running, name_of
from tune_jobs.engine.experiments.files import HISTORY, LEASE
from tune_jobs.engine.experiments.history.packing import newest_attempt
from tune_jobs.engine.outcome import EXIT_CODES
from tune_jobs.engine.plain import plain
from tune_jobs.engine.serialization import serialize
from tune_jobs.engine.storage.folder import ATTEMPTS, Folder

logger = logging.getLogger(__name__)

BEAT = 5.0  # seconds between two writings of a claim
SILENT = 4 * BEAT  # a claim that has not changed for so long is dead

# The claims of this process, by place: a copy of one, or what one has left behind, is no claim.
_OWN: set[str] = set()


class TakenError(JobError):
    """Another run holds the experiment."""

    exit_code = EXIT_CODES["lease held"]


class SkippedError(TakenError):
    """Another run holds the experiment, and there is nothing to do then, as was asked for."""

    exit_code = 0
    word = "skipped"


class Lease:
    """One run's claim on an experiment.

    Attributes:
        within: the lease of the series that the experiment is one of, None where it is of none.
        facts: how far the run is, for those who look on.
        moved: when it last moved, in seconds since 1970.
    """

    def __init__(self, folder: Folder, beat: float = BEAT) -> None:
        self._experiment = folder.fenced(None)
        self._folder = self._experiment.child(LEASE)
        self._beat = beat
        self._name = f"{uuid.uuid4().hex}.json"
        self._claim = describe_self()
        self._released = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_lost = False
        self._attempts: dict[str, tuple[Folder, int]] = {}
        self._has_history = False
        self.within: Lease | None = None
        self.facts: dict[str, Any] = {}
        self.moved = time.time()

    @property
    def is_lost(self) -> bool:
        """True if another run has taken the experiment over, or its series."""
        return self._is_lost or (self.within is not None and self.within.is_lost)

    def check(self) -> None:
        """Refuse to write if the experiment is no longer held by this run.

        Raises:
            TakenError: if another run has taken it over, or its series.
            StorageError: if the experiment was moved or deleted.
        """
        has_history = bool(self._experiment.child(HISTORY).names())
        if (self._has_history and not has_history) or not self._experiment.exists():
            raise self._gone()
        self._has_history = has_history
        if self.within is not None:
            self.within.check()
        later = any(newest_attempt(folder) > own for folder, own in self._attempts.values())
        self._is_lost = self._is_lost or later or not self._folder.exists(self._name)
        if self._is_lost:
            raise TakenError(
                f"{self._experiment.uri} was taken over by another run while this one was "
                "suspended; this one has ended, and has written nothing since"
            )

    def note_attempt(self, folder: Folder, attempt: int) -> None:
        """Take note of the number under which this run writes a history, of a folder inside too."""
        self._attempts[folder.path] = folder.fenced(None), attempt

    def acquire(self) -> None:
        """Hold the experiment.

        Raises:
            TakenError: where another run does.
        """
        self._folder.create()
        _OWN.add(f"{self._folder.uri}/{self._name}")
        try:
            self._write()
            while others := self._others():
                holder = next((c for c in others.values() if c.holds), None)
                if holder is not None or min(others) < self._name:
                    raise TakenError(self._explain(holder or others[min(others)]))
                time.sleep(self._beat / 20)  # those after us withdraw, or turn out to hold it
            self._claim = replace(self._claim, holds=True)
            self._write()
            self.note_attempt(self._experiment, newest_attempt(self._experiment))
        except BaseException:
            self.release()
            raise
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()

    def say(self, **facts: Any) -> None:
        """Say at once how far the run is, rather than at the next beat."""
        self.facts = facts
        self._write()

    def release(self) -> None:
        """Give the experiment back, and leave no folder behind that holds nothing."""
        self._released.set()
        if self._thread is not None:
            self._thread.join()  # so that it does not write the claim once more
        _OWN.discard(f"{self._folder.uri}/{self._name}")
        with suppress(OSError):  # where nothing can be written, it will be found dead
            self._folder.delete(self._name)
        for folder in (self._folder, self._experiment):
            folder.delete_if_empty()

    def _keep(self) -> None:
        while not self._released.wait(self._beat):
            try:
                self.check()
                self._write()
            except TakenError:
                return
            except (OSError, JobError):  # away for a moment; the run notices a longer time
                continue

    def _write(self) -> None:
        beats = self._claim.beats + 1
        self._claim = replace(self._claim, beats=beats, time=time.time(), moved=self.moved)
        content = json.dumps(plain({**serialize(self._claim), "facts": self.facts})).encode()
        for _ in range(ATTEMPTS):
            with suppress(FileNotFoundError):
                self._folder.write(self._name, content)
                return
            if self._claim.holds:
                raise self._gone()
            self._folder.create()  # another run has just removed it, since it was empty
        raise JobError(f"{self._folder.uri} keeps being removed while it is written to")

    def _others(self) -> dict[str, Claim]:
        """Return the claims of other runs that live, and remove those of dead ones."""
        before = self._read()
        living, doubtful = dict[str, Claim](), dict[str, Claim | None]()
        for name, claim in before.items():
            if claim is not None and self._is_surely_alive(name, claim):
                living[name] = claim
            elif claim is not None and is_here(claim):
                self._folder.delete(name)
            else:
                doubtful[name] = claim
        return {**living, **(self._watch(doubtful) if doubtful else {})}

    def _watch(self, claims: dict[str, Claim | None]) -> dict[str, Claim]:
        """Wait until each claim changes, is gone, or has been silent for too long."""
        result: dict[str, Claim] = {}
        end = time.monotonic() + SILENT * self._beat / BEAT
        while claims and time.monotonic() < end:
            time.sleep(self._beat / 10)
            now = self._read()
            for name, claim in list(claims.items()):
                found = now.get(name)
                if name in now and found is None:
                    claims[name] = None  # it cannot be read, perhaps for a moment
                elif found != claim:
                    del claims[name]
                    result |= {} if found is None else {name: found}
        for name in claims:
            self._folder.delete(name)
        return result

    def _read(self) -> dict[str, Claim | None]:
        """Read the claims of others."""
        claims = read_claims(self._experiment)
        return {name: claim for name, claim in claims.items() if name != self._name}

    def _is_surely_alive(self, name: str, claim: Claim) -> bool:
        """Return whether the claim's process runs on this machine."""
        if claim.pid == os.getpid() and f"{self._folder.uri}/{name}" not in _OWN:
            return False
        return is_running(claim)

    def _gone(self) -> StorageError:
        place, name = self._experiment.uri, self._experiment.name
        return StorageError(
            f"storage failed: {place} is gone: it was moved or deleted during the run; put it back "
            f"and continue with --name {name} --resume"
        )

    def _explain(self, claim: Claim) -> str:
        what = claim.facts.writes or self._experiment.uri
        return f"{what} is in use by {name_of(claim)}; see --on-overlap"


def read_claims(experiment: Folder) -> dict[str, Claim | None]:
    """Read all claims on an experiment, by their files; one that cannot be read is None."""
    folder = experiment.child(LEASE)
    found: dict[str, Claim | None] = {}
    for name in folder.names():
        if name.endswith(".json"):
            try:
                found[name] = Claim.from_json(folder.read_json(name))
            except FileNotFoundError:  # released meanwhile
                continue
            except (OSError, ValueError):
                found[name] = None
    return found


@contextmanager
def leased(
    folder: Folder, beat: float = BEAT, *, waits: bool = False, deadline: Deadline = NO_DEADLINE
) -> Iterator[Lease]:
    """Hold an experiment for the time of a block.

    Args:
        folder: the experiment.
        beat: seconds between two writings of the claim.
        waits: whether to wait if another run holds it.
        deadline: when to stop waiting.

    Raises:
        TakenError: if another run holds it, or still held it at the deadline.
    """
    lease = _acquire(folder, beat, waits=waits, deadline=deadline)
    try:
        yield lease
    finally:
        lease.release()


def _acquire(folder: Folder, beat: float, *, waits: bool, deadline: Deadline) -> Lease:
    is_told = False
    while True:
        lease = Lease(folder, beat)
        try:
            lease.acquire()
            return lease
        except TakenError as taken:
            if not waits:
                raise
            if deadline.is_past:
                said = str(taken).split("; ")[0]
                raise TakenError(f"{said}; gave up waiting at the deadline") from None
            if not is_told:
                logger.warning(f"waiting: {str(taken).split('; ')[0]}")
            is_told = True
        time.sleep(beat * random.uniform(0.5, 1.5))  # several that wait ask one after the other
