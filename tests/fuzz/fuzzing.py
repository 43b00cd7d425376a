"""Run random commands in this process: exit code 1, a traceback and a wait are faults.

``python -m tests.fuzz.fuzzing --seconds 3600`` runs for an hour; ``--seed N --cases 1`` repeats a
case that it printed.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import json
import os
import random
import shlex
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn
from unittest import mock

from click.testing import CliRunner

from tests.engine.search.simulated import History
from tests.fuzz.generators import GENERATORS
from tune_jobs.cli.main import main
from tune_jobs.engine.cluster import connection
from tune_jobs.engine.errors import ClusterError, JobError
from tune_jobs.engine.job.describing import describe_settings
from tune_jobs.engine.job.job import Job
from tune_jobs.engine.job.modules import find_job
from tune_jobs.engine.outcome import EXIT_CODES, OVERDUE, VERDICT_CODES
from tune_jobs.engine.plain import plain
from tune_jobs.engine.runs import phases, rehearsal
from tune_jobs.engine.space.domains import distinct
from tune_jobs.engine.space.membership import from_json, identity
from tune_jobs.engine.space.notation import describe, read_described

KNOWN_CODES = {0, OVERDUE, *EXIT_CODES.values(), *VERDICT_CODES.values()} - {1}
LONGEST = 300  # seconds that a command may take where many others import TensorFlow


@dataclass(frozen=True)
class Fault:
    """A command that ended out of order."""

    kind: str
    seed: int
    command: str
    said: str

    @property
    def place(self) -> str:
        """The line of ours that was reached last; by it, faults are told apart."""
        lines = [line for line in self.said.splitlines() if "/tune_jobs/" in line]
        return lines[-1].strip() if lines else self.said.strip()[-200:]


class TooLongError(BaseException):
    """A command takes too long."""


def run_case(kind: str, seed: int) -> Fault | None:
    """Make a case and run its command in a folder of its own; return its fault, if it has one."""
    rng = random.Random(f"{kind} {seed}")
    with tempfile.TemporaryDirectory() as folder, _inside(folder):
        words = GENERATORS[kind](rng)
        try:
            with _in_time():
                code, said = _run(words)
                if kind == "job file" and code == 0:
                    code, said = _search(words[1])
        except TooLongError:
            code, said = 1, f"took more than {LONGEST} s\n{traceback.format_exc()}"
    if code in KNOWN_CODES and "Traceback (most recent" not in said:
        return None
    return Fault(kind, seed, f"exit code {code}: {shlex.join(words)}"[:500], said)


def _search(job_file: str) -> tuple[int, str]:
    """Let the job's searcher choose configs, which have to survive being written down."""
    try:
        job = find_job(job_file).job
        if not isinstance(job, Job):
            return 0, ""
        json.dumps(plain(describe_settings(job).to_json()))
        read_described(describe(job.space))
        history = History(lambda: job.make_searcher(0), distinct(job.space), _curve_of)
        for config in history.run(12):
            read = from_json(job.space, json.loads(json.dumps(plain(config))))
            if identity(read) != identity(config):
                raise ValueError(f"{config} is read back as {read}")
    except JobError as error:
        return error.exit_code, str(error)
    except Exception:  # noqa: BLE001  # whatever it is
        return 1, traceback.format_exc()
    return 0, ""


def _curve_of(_: dict[str, Any], number: int) -> list[float] | None:
    """Return the losses of a trial; some fail."""
    return None if number % 5 == 3 else [number * 7919 % 13 / 13 + 1 / e for e in range(1, 10)]


def _run(words: list[str]) -> tuple[int, str]:
    ended = CliRunner().invoke(main, words)
    said = ended.output
    if ended.exception is not None and not isinstance(ended.exception, SystemExit):
        said += "".join(traceback.format_exception(ended.exception))
    return ended.exit_code, said


@contextlib.contextmanager
def _inside(folder: str) -> Iterator[None]:
    """Enter a folder, with what jobs change in this process put back afterwards."""
    before, path, modules = Path.cwd(), list(sys.path), set(sys.modules)
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
        sys.path[:] = path
        for name in set(sys.modules) - modules:
            if getattr(sys.modules[name], "__file__", None) and folder in str(
                sys.modules[name].__file__
            ):
                del sys.modules[name]


@contextlib.contextmanager
def _in_time() -> Iterator[None]:
    def give_up(number: int, frame: FrameType | None) -> NoReturn:
        raise TooLongError

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(LONGEST)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def no_ray() -> Iterator[None]:
    """Start no Ray, and let a run end where it would build its tuner, with exit code 9."""

    def refuse(*_: object, **__: object) -> NoReturn:
        raise ClusterError("nothing is trained here")

    with (
        mock.patch.object(connection, "connect"),
        mock.patch.object(phases, "prepare", refuse),
        mock.patch.object(rehearsal, "LIMIT", LONGEST / 5),  # it imports TensorFlow twice
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield


def fuzz(seeds: Iterator[int], kinds: list[str], until: float) -> list[Fault]:
    """Run cases until a time on the monotonic clock, or the seeds end; print each new fault."""
    found: dict[str, Fault] = {}
    count: Counter[str] = Counter()
    with no_ray():
        for seed in seeds:
            if time.monotonic() > until:
                break
            kind = kinds[seed % len(kinds)]
            count[kind] += 1
            fault = run_case(kind, seed)
            if fault and fault.place not in found:
                found[fault.place] = fault
                print(f"--seed {seed} --kind {kind!r}: {fault.command}\n{fault.said[-3000:]}\n")
    print(f"{count.total():,} cases, {len(found)} different faults; {dict(count)}")
    return list(found.values())


def main_() -> None:
    """Fuzz for as long as asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--seconds", type=float, help="instead of --hours")
    parser.add_argument("--cases", type=int, default=10**9)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--kind", choices=list(GENERATORS), default=None)
    asked = parser.parse_args()
    faulthandler.enable()
    seconds = 3600 * asked.hours if asked.seconds is None else asked.seconds
    first = int(time.time()) * 1000 if asked.seed is None else asked.seed
    kinds = [asked.kind] if asked.kind else list(GENERATORS)
    seeds = iter(range(first, first + asked.cases))
    found = fuzz(seeds, kinds, time.monotonic() + seconds)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main_()
