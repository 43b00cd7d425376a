"""Who holds an experiment, for people who look on.

Unlike a run that asks for the lease they do not wait: they compare clocks, and see what may be some
seconds old.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from tune_jobs.engine.experiments.claims import Claim, Facts, is_here, is_running, name_of
from tune_jobs.engine.experiments.lease import SILENT, read_claims
from tune_jobs.engine.storage.folder import Folder

# How far the clocks of two machines may be apart, and how long a run that moves may take for one
# step, the training of the winner being the longest.
CLOCKS_APART, LONGEST_STEP = 60.0, 2 * 3600.0

Life = Literal["running", "hung", "dead"]
LIVES: tuple[Life, ...] = get_args(Life)


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
    facts: Facts


def find_holder(folder: Folder) -> Holder | None:
    """Find who has an experiment, alive or not, as far as can be seen now; None if nobody has."""
    return choose_holder(read_claims(folder).values())


def choose_holder(claims: Iterable[Claim | None]) -> Holder | None:
    """Choose the holder among all claims on an experiment; one that cannot be read is passed over.

    A claim of another machine that is not written anew is dead after the time in which its run
    would lose the experiment to one that asks for it, and what clocks may be apart.
    """
    holders = [_holder(claim) for claim in claims if claim is not None and claim.holds]
    return min(holders, key=lambda holder: LIVES.index(holder.life), default=None)


def _holder(claim: Claim) -> Holder:
    is_there = is_running(claim)
    now = time.time()
    quiet = 0.0 if claim.moved is None else now - claim.moved
    unwritten = 0.0 if claim.time is None else now - claim.time
    late = unwritten > SILENT + (0 if is_there else CLOCKS_APART)
    life: Life = "running"
    if is_there:
        life = "hung" if late or quiet > LONGEST_STEP else "running"
    elif late or is_here(claim):
        life = "dead"
    return Holder(name_of(claim), life, quiet, claim.facts)
