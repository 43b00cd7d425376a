"""The lease of an experiment: at most one run writes it, wherever it lies.

A run that wants an experiment writes a claim, then looks at the others' claims. One that holds the
experiment is respected; of several that ask at once the first by name goes on, once the others
have seen it and withdrawn. Nothing but writing and listing files is needed, so it works in a
folder, on NFS and in S3. A holder writes its claim anew every few seconds; one that does not change
any more belongs to a run that died, and is removed. No two clocks are ever compared for that.

A claim says, too, how far its run is and when that last moved, for people who look on: those
compare clocks, and see what may be some seconds old.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import random
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.outcome import EXIT_CODES
from tune_jobs.engine.storage import ATTEMPTS, Folder

logger = logging.getLogger(__name__)

FOLDER = "lease"
BEAT = 5.0  # seconds between two writings of a claim
SILENT = 4 * BEAT  # a claim that has not changed for so long is dead

# For those who look on: how far the clocks of two machines may be apart, and what a run that moves
# may take for one step, the training of the winner being the longest.
CLOCKS_APART, LONGEST_STEP = 60.0, 2 * 3600.0

Life = Literal["running", "hung", "dead"]
LIVES: tuple[Life, ...] = get_args(Life)

Claim = dict[str, Any]

# The claims of this process, by place: a copy of one, or what one has left behind, is no claim.
_OWN: set[str] = set()


class TakenError(JobError):
    """Another run holds the experiment."""

    exit_code = EXIT_CODES["lease held"]


class SkippedError(TakenError):
    """Another run holds the experiment, and there is nothing to do then, as was asked for."""

    exit_code = 0
    word = "skipped"


@dataclass(frozen=True)
class Holder:
    """Who has an experiment, as far as can be seen at once.

    Attributes:
        who: process and machine.
        life: whether it runs: a process that is there but whose claim or whose search does not move
            any more is ``hung``.
        quiet: seconds since it last moved.
        facts: how far it is.
    """

    who: str
    life: Life
    quiet: float
    facts: dict[str, Any]


class Lease:
    """One run's claim on an experiment.

    Attributes:
        is_lost: whether another run has taken the experiment over.
        facts: how far the run is, for those who look on.
        moved: when it last moved, in seconds since 1970.
    """

    def __init__(self, folder: Folder, beat: float = BEAT) -> None:
        self._experiment, self._folder = folder, folder.child(FOLDER)
        self._beat = beat
        self._name = f"{uuid.uuid4().hex}.json"
        self._claim: Claim = {
            "host": platform.node(),
            "boot": _boot(),
            "pid": os.getpid(),
            "started": _process_start(os.getpid()),
            "holds": False,
            "beats": 0,
        }
        self._released = threading.Event()
        self._thread: threading.Thread | None = None
        self.is_lost = False
        self.facts: dict[str, Any] = {}
        self.moved = time.time()

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
                holder = next((c for c in others.values() if c.get("holds")), None)
                if holder is not None or min(others) < self._name:
                    raise TakenError(self._explain(holder or others[min(others)]))
                time.sleep(self._beat / 20)  # those after us withdraw, or turn out to hold it
            self._claim["holds"] = True
            self._write()
        except BaseException:
            self.release()
            raise
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()

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
                if not self._folder.exists(self._name):
                    self.is_lost = True
                    return
                self._write()
            except OSError:  # away for a moment; the run itself notices a longer time
                continue

    def _write(self) -> None:
        self._claim["beats"] += 1
        self._claim |= {"time": time.time(), "moved": self.moved, "facts": self.facts}
        content = json.dumps(self._claim).encode()
        for _ in range(ATTEMPTS):
            with suppress(FileNotFoundError):
                self._folder.write(self._name, content)
                return
            self._folder.create()  # another run has just removed it, since it was empty
        raise JobError(f"{self._folder.uri} is removed again and again while it is written to")

    def _others(self) -> dict[str, Claim]:
        """The claims of other runs that live; those of dead ones are removed."""
        before = self._read()
        doubtful = {
            name for name, claim in before.items() if not self._is_surely_alive(name, claim)
        }
        for name in [name for name in doubtful if _is_here(before[name])]:
            self._folder.delete(name)
            doubtful.discard(name)
            before.pop(name)
        if doubtful:
            before = {**before, **self._watch({name: before[name] for name in doubtful})}
            before = {name: claim for name, claim in before.items() if claim}
        return before

    def _watch(self, claims: dict[str, Claim]) -> dict[str, Claim]:
        """Wait until each claim changes, is gone, or has been silent for too long."""
        result: dict[str, Claim] = {}
        end = time.monotonic() + SILENT * self._beat / BEAT
        while claims and time.monotonic() < end:
            time.sleep(self._beat / 10)
            now = self._read()
            for name, claim in list(claims.items()):
                if now.get(name) != claim:
                    result[name] = now.get(name, {})
                    del claims[name]
        for name in claims:
            self._folder.delete(name)
            result[name] = {}
        return result

    def _read(self) -> dict[str, Claim]:
        found = {}
        for name in self._folder.names():
            if name.endswith(".json") and name != self._name:
                try:
                    found[name] = dict(self._folder.read_json(name))
                except (OSError, ValueError, TypeError):
                    found[name] = {"damaged": True}
        return found

    def _is_surely_alive(self, name: str, claim: Claim) -> bool:
        """Whether the claim's process is one of this machine that is running."""
        if claim.get("pid") == os.getpid() and f"{self._folder.uri}/{name}" not in _OWN:
            return False
        return _is_here(claim) and _process_start(claim.get("pid", -1)) == claim.get("started")

    def _explain(self, claim: Claim) -> str:
        what = claim.get("facts", {}).get("writes") or self._experiment.uri
        return f"{what} is being written by {_who(claim)}; wait for it, or choose another --name"


def find_holder(folder: Folder) -> Holder | None:
    """Who has an experiment, alive or not, as far as can be seen at once; None where nobody has.

    A claim of another machine that is not written anew is dead after the time in which its run
    would lose the experiment to one that asks for it, and what clocks may be apart.
    """
    lease = Lease(folder)
    holders = [
        _holder(claim, is_there=lease._is_surely_alive(name, claim))
        for name, claim in lease._read().items()
        if claim.get("holds")
    ]
    return min(holders, key=lambda holder: LIVES.index(holder.life), default=None)


@contextmanager
def leased(
    folder: Folder, beat: float = BEAT, *, waits: bool = False, until: float | None = None
) -> Iterator[Lease]:
    """Hold an experiment for the time of a block.

    Args:
        folder: the experiment.
        beat: seconds between two writings of the claim.
        waits: whether to wait where another run holds it.
        until: how long to wait, in seconds since 1970; None for as long as it takes.

    Raises:
        TakenError: where another run holds it, or held it until then.
    """
    lease = _acquire(folder, beat, waits=waits, until=until)
    try:
        yield lease
    finally:
        lease.release()


def _acquire(folder: Folder, beat: float, *, waits: bool, until: float | None) -> Lease:
    is_told = False
    while True:
        lease = Lease(folder, beat)
        try:
            lease.acquire()
            return lease
        except TakenError as taken:
            if not waits or (until is not None and time.time() >= until):
                raise
            if not is_told:
                logger.warning(f"waiting: {str(taken).split('; ')[0]}")
            is_told = True
        time.sleep(beat * random.uniform(0.5, 1.5))  # several that wait ask one after the other


def _holder(claim: Claim, *, is_there: bool) -> Holder:
    now = time.time()
    moved, written = (claim.get(name) for name in ("moved", "time"))
    quiet = now - moved if isinstance(moved, float) else 0.0
    unwritten = now - written if isinstance(written, float) else 0.0
    late = unwritten > SILENT + (0 if is_there else CLOCKS_APART)
    life: Life = "running"
    if is_there:
        life = "hung" if late or quiet > LONGEST_STEP else "running"
    elif late or _is_here(claim):
        life = "dead"
    return Holder(_who(claim), life, quiet, dict(claim.get("facts") or {}))


def _who(claim: Claim) -> str:
    return f"process {claim.get('pid')} on {claim.get('host')}"


def _is_here(claim: Claim) -> bool:
    """Whether the claim's process is or was one of this machine, so that one can look."""
    return bool(claim.get("boot")) and (claim.get("host"), claim["boot"]) == (
        platform.node(),
        _boot(),
    )


def _boot() -> str:
    """What is the same for all processes that can see each other: boot and process namespace."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _process_start(pid: int) -> str | None:
    """When a process was started, as Linux counts; None where there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        state, *rest = text.rpartition(")")[2].split()
        return None if state in "ZX" else rest[18]  # a zombie has ended
    except (OSError, IndexError, ValueError):
        return None
