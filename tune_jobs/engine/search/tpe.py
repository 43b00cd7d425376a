"""A tree-structured Parzen estimator over whole configs (Bergstra et al. 2011, Watanabe 2023)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tune_jobs.engine.search.knowledge import Knowledge, Proposal
from tune_jobs.engine.search.parzen import Bandwidth, KernelDensity
from tune_jobs.engine.space.coordinates import Rows

# No more configs than this are good.
MOST_GOOD = 25

CANDIDATES = 64

# Further rounds of candidates, if too few of the first are new.
ROUNDS, ENOUGH = 5, 8


NEIGHBOURS = Bandwidth()


@dataclass(frozen=True)
class JointTPE:
    """Chooses where the good configs are densest compared with the others.

    Attributes:
        gamma: the share of the configs that are good.
        bandwidth: of kernels over numbers.
    """

    gamma: float = 0.1
    bandwidth: Bandwidth = NEIGHBOURS

    def choose(self, knowledge: Knowledge, random: np.random.Generator) -> Proposal | None:
        """Return the candidate with the largest ratio of both densities; None if all are known."""
        order = np.argsort(knowledge.losses, kind="stable")
        count = min(math.ceil(self.gamma * len(order)), MOST_GOOD)
        rows = knowledge.rows[order]
        good = KernelDensity(knowledge.coordinates, rows[:count], self.bandwidth)
        others = np.concatenate([rows[count:], knowledge.failed, knowledge.pending])
        rest = KernelDensity(knowledge.coordinates, others, self.bandwidth)
        candidates = _candidates(knowledge, good, random)
        if not len(candidates):
            return None
        ratio = good.log_density(candidates) - rest.log_density(candidates)
        return Proposal(candidates[int(np.argmax(ratio))], "tpe")


def _candidates(knowledge: Knowledge, good: KernelDensity, random: np.random.Generator) -> Rows:
    """Return untried rows near good ones, or all untried rows of a small finite space."""
    if knowledge.points is not None:
        return knowledge.untried(knowledge.points)
    found = knowledge.untried(good.draw(CANDIDATES, random))
    for _ in range(ROUNDS):
        if len(found) >= ENOUGH:
            break
        more = [good.draw(CANDIDATES, random), knowledge.coordinates.draw(CANDIDATES, random)]
        found = knowledge.untried(np.concatenate([found, *more]))
    return found
